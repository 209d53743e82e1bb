import gc
from fractions import Fraction

import av
import numpy as np
import pytest
from clips import constant_times, variable_times, write_clip

from vapipe.extract.media.frames import read_frames, sample_frames
from vapipe.extract.media.packets import decode_packet
from vapipe.extract.media.probe import probe

PAL = Fraction(25)


def coded(row: int) -> np.ndarray:
    """An image that says its row: eight black or white bars."""
    bits = [(row >> bit) & 1 for bit in range(8)]
    return (
        np.repeat(np.repeat([bits], 32, axis=0), 8, axis=1)[..., None]
        .repeat(3, -1)
        .astype(np.uint8)
        * 255
    )


def decoded(image: np.ndarray) -> int:
    """The row that an image says, of any size."""
    width = image.shape[1] / 8
    bars = [image[:, round(width * (bit + 0.5))].mean() > 127 for bit in range(8)]
    return sum(int(bar) << bit for bit, bar in enumerate(bars))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("c.mp4", "libx264", {"bf": "3", "g": "20"}),
        ("c.mov", "libx265", {"x265-params": "log-level=error:bframes=4"}),
        (
            "c.webm",
            "libvpx-vp9",
            {"auto-alt-ref": "1", "lag-in-frames": "16", "deadline": "realtime"},
        ),
        ("c.webm", "libvpx", {"deadline": "realtime"}),
        ("c.avi", "mpeg4", {"bf": "0"}),
        ("c.avi", "mpeg4", {"bf": "2"}),
        ("c.avi", "libx264", {"bf": "2"}),
        ("c.avi", "mjpeg", {}),
        ("c.ts", "libx264", {"bf": "2"}),
        ("c.mkv", "ffv1", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_row_gets_its_own_image(tmp_path, name, codec, options):
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    clip = write_clip(
        tmp_path / name,
        times=constant_times(PAL, 60),
        size=(64, 32),
        draw=coded,
        codec=codec,
        options=options,
        pixels=pixels,
    )
    frames = list(read_frames(probe(clip.path)))
    assert [frame.row for frame in frames] == list(range(60))
    assert [decoded(frame.image) for frame in frames] == list(range(60))
    for count in (7, 100):
        samples = list(sample_frames(probe(clip.path), count))
        rows = [sample.row for sample in samples]
        assert (
            rows == list(range(60))
            if count > 60
            else [r * count // 60 for r in rows] == [*range(7)]
        )
        for sample in samples:
            assert np.array_equal(sample.image, frames[sample.row].image)


def test_samples_decode_little_where_key_frames_are_near(tmp_path, monkeypatch):
    clip = write_clip(
        tmp_path / "c.mp4", times=variable_times(200), size=(64, 32), draw=coded,
        options={"bf": "2", "g": "10"},
    )  # fmt: skip
    info, packets = probe(clip.path), []

    def counted(stream, packet, number):
        packets.append(number)
        return decode_packet(stream, packet, number)

    monkeypatch.setattr("vapipe.extract.media.frames.decode_packet", counted)
    rows = [sample.row for sample in sample_frames(info, 8)]
    assert [row // 25 for row in rows] == list(range(8))
    assert len(packets) < 8 * 6  # a key frame, and what its decoder must see before it gives it


def test_variable_rates_map_by_time(tmp_path):
    clip = write_clip(
        tmp_path / "c.mp4",
        times=variable_times(60),
        size=(64, 32),
        draw=coded,
        options={"bf": "3"},
    )
    assert [decoded(frame.image) for frame in read_frames(probe(clip.path))] == list(range(60))


def test_frames_at_equal_times_fill_their_rows_in_turn(tmp_path):
    # Matroska keeps milliseconds, so that two frames of 2000 per second share one.
    clip = write_clip(
        tmp_path / "c.mkv",
        times=constant_times(Fraction(2000), 40),
        size=(64, 32),
        draw=coded,
        codec="mjpeg",
        pixels="yuvj420p",
    )
    info = probe(clip.path)
    assert len(np.unique(info.ticks)) < len(info.ticks) == 40
    assert [decoded(frame.image) for frame in read_frames(info)] == list(range(40))


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("c.mkv", "mjpeg", "yuvj420p"),
        ("c.mp4", "libx264", "yuv420p"),
        ("c.avi", "mpeg4", "yuv420p"),
    ],
)
def test_a_damaged_stretch_keeps_its_rows_and_decoding_goes_on(tmp_path, name, codec, pixels):
    clip = write_clip(
        tmp_path / name,
        times=constant_times(PAL, 100),
        size=(64, 32),
        draw=coded,
        codec=codec,
        pixels=pixels,
        options={"g": "10", "bf": "0"},
    )
    before = probe(clip.path)
    data = bytearray(clip.path.read_bytes())
    if codec == "libx264":
        low = data.index(b"mdat") + 8
        middle = low + int.from_bytes(data[low - 8 : low - 4], "big") // 2
    elif codec == "mpeg4":
        middle = (data.index(b"movi") + data.index(b"idx1")) // 2
    else:
        middle = len(data) // 2
    data[middle : middle + 400] = np.random.default_rng(0).bytes(400)
    clip.path.write_bytes(data)
    info = probe(clip.path)
    if codec == "libx264":  # the index is elsewhere: all rows are known
        np.testing.assert_array_equal(info.ticks, before.ticks)
    frames = list(read_frames(info))
    assert [frame.row for frame in frames] == list(range(len(info.ticks)))
    assert [decoded(frame.image) for frame in frames[:20]] == list(range(20))
    hidden = 100 - len(frames)  # packets that the damage hid from the demuxer
    assert [decoded(frame.image) for frame in frames[-20:]] == [
        frame.row + hidden for frame in frames[-20:]
    ]


def test_what_cannot_be_decoded_is_a_row_without_image(tmp_path):
    clip = write_clip(
        tmp_path / "c.mp4",
        times=constant_times(PAL, 40),
        size=(64, 32),
        draw=coded,
        codec="mjpeg",
        pixels="yuvj420p",
    )
    data = bytearray(clip.path.read_bytes())
    starts = [at for at in range(len(data) - 3) if data[at : at + 3] == b"\xff\xd8\xff"]
    for row in (11, 12, 13):
        data[starts[row] : starts[row + 1]] = bytes(starts[row + 1] - starts[row])
    clip.path.write_bytes(data)
    images = {frame.row: frame.image for frame in read_frames(probe(clip.path))}
    assert [row for row in images if images[row] is None] == [11, 12, 13]
    assert all(decoded(images[row]) == row for row in images if row not in (11, 12, 13))


@pytest.mark.parametrize(
    ("codec", "pixels", "size"),
    [
        ("libx265", "yuv420p10le", (64, 32)),
        ("ffv1", "gray", (64, 32)),
        ("ffv1", "yuva420p", (64, 32)),
        ("ffv1", "yuv444p", (67, 35)),
        ("libx264", "yuv422p", (66, 34)),
    ],
)
def test_any_pixel_format_and_odd_sizes_become_rgb(tmp_path, codec, pixels, size):
    options = {"x265-params": "log-level=error"} if codec == "libx265" else {}
    clip = write_clip(
        tmp_path / "c.mkv",
        times=constant_times(PAL, 6),
        size=size,
        draw=lambda row: np.full((size[1], size[0], 3), 20 * row + 40, np.uint8),
        codec=codec,
        pixels=pixels,
        options=options,
    )
    for frame in read_frames(probe(clip.path)):
        assert frame.image.shape == (size[1], size[0], 3)
        assert frame.image.dtype == np.uint8
        assert abs(frame.image.mean() - (20 * frame.row + 40)) < 4


@pytest.mark.parametrize(
    ("size", "lines", "shape"),
    [
        ((160, 90), 45, (45, 80, 3)),
        ((90, 160), 45, (80, 45, 3)),
        ((160, 90), 90, (90, 160, 3)),
        ((160, 90), 400, (90, 160, 3)),
    ],
)
def test_lines_bound_the_shorter_side_and_nothing_is_enlarged(tmp_path, size, lines, shape):
    clip = write_clip(tmp_path / "c.mkv", times=constant_times(PAL, 3), size=size, codec="ffv1")
    for frame in read_frames(probe(clip.path), lines=lines, reduced_lines=30):
        assert frame.image.shape == shape
        assert min(frame.reduced.shape[:2]) == 30


def test_reducing_averages_instead_of_picking_pixels(tmp_path):
    checks = np.indices((96, 96)).sum(axis=0)[..., None].repeat(3, -1) % 2 * 255
    clip = write_clip(
        tmp_path / "c.mkv",
        times=constant_times(PAL, 1),
        size=(96, 96),
        draw=lambda row: checks.astype(np.uint8),
        codec="ffv1",
        pixels="yuv444p",
    )
    image = next(read_frames(probe(clip.path), lines=24)).image
    assert abs(image.mean() - 127) < 4
    assert image.std() < 6


def test_frames_that_nobody_holds_leave_memory_at_once(tmp_path):
    clip = write_clip(tmp_path / "c.mp4", times=constant_times(PAL, 60), size=(64, 32))
    gc.collect()
    gc.disable()
    try:
        for frame in read_frames(probe(clip.path), reduced_lines=16):
            assert frame.picture is not None
        held = sum(issubclass(type(each), av.VideoFrame) for each in gc.get_objects())
    finally:
        gc.enable()
    assert held < 10
