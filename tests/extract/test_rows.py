"""Rows are the pictures that are shown, whatever packets there are: no label slides."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from clips import PAL, Sound, constant_times, write_clip
from remux import ffmpeg, problem, remux, shown_times

from vapipe.errors import MediaError
from vapipe.extract.media import rows as rows_module
from vapipe.extract.media.audio import read_audio
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.packets import open_media
from vapipe.extract.media.pictures import UNSURE, picture_counter
from vapipe.extract.media.probe import probe
from vapipe.extract.media.rows import PacketLog, PictureLog, best_effort, rows_of_pictures


def coded(row):
    """An image whose eight bars say its row."""
    bars = np.array([(row >> bit) & 1 for bit in range(8)], np.uint8) * 180 + 40
    return np.repeat(np.tile(np.repeat(bars, 16), (48, 1))[..., None], 3, axis=2)


def said(image):
    bars = image.reshape(image.shape[0], 8, -1, 3).mean(axis=(0, 2, 3)) > 128
    return int((bars * 2 ** np.arange(8)).sum())


def clip(path, rows=40, **options):
    times = constant_times(PAL, rows)
    return write_clip(path, times=times, size=(128, 48), draw=coded, **options).path


def contents(info):
    """What every row's image says; the rows are all there, in order."""
    frames = list(read_frames(info))
    assert [frame.row for frame in frames] == list(range(len(info.timeline)))
    return [None if frame.image is None else said(frame.image) for frame in frames]


def counted(path, index):
    """Pictures that the decoder gives."""
    with av.open(str(path)) as file:
        return sum(1 for _ in file.decode(file.streams[index]))


# -- packets that hold no picture, or half of one --------------------------------------------------


@pytest.mark.parametrize(
    ("name", "packets", "rows"), [("RRSF49.webm", 111, 107), ("C0023S01.mp4", 95, 95)]
)
def test_real_files_have_a_row_per_picture(name, packets, rows):
    path = problem(name)
    info = probe(path)
    with av.open(str(path)) as file:
        assert sum(bool(p.size) for p in file.demux(video=0)) == packets
    assert len(info.timeline) == rows == counted(path, info.index)
    assert None not in contents_any(info)
    assert not any("belong to no frame" in note for note in info.damage)


def contents_any(info):
    return [None if frame.image is None else 0 for frame in read_frames(info, lines=32)]


def test_fields_are_no_rows_and_what_precedes_the_first_key_frame_is_named():
    info = probe(problem("h264_intra_first-small.ts.mp4"))
    assert len(info.timeline) == 17
    assert info.timeline.fps == pytest.approx(25)
    assert info.damage == ["12 packets before the first key frame cannot be shown: no rows of that"]
    assert contents_any(info) == [0] * 17


@pytest.mark.parametrize("codec", ["libvpx", "libvpx-vp9"])
def test_hidden_frames_of_vp8_and_vp9_are_no_rows(tmp_path, codec):
    path = tmp_path / "c.webm"
    source = ("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=25:duration=3", "-c:v", codec)
    tuned = ("-auto-alt-ref", 1, "-lag-in-frames", 25, "-b:v", "100k", "-cpu-used", 5)
    log = ("-passlogfile", tmp_path / "log")
    ffmpeg(*source, *tuned, "-pass", 1, *log, "-f", "null", "-")
    ffmpeg(*source, *tuned, "-pass", 2, *log, path)
    info = probe(path)
    assert not info.rows.by_order  # told by the packets
    assert info.ticks.tolist() == shown_times(path, 0)
    assert contents_any(info) == [0] * 75
    assert info.damage == []
    with av.open(str(path)) as file:
        name = file.streams.video[0].codec_context.name
        counter = picture_counter(name, None, intra_only=False)
        pieces = [bytes(p) for p in split(file.streams.video[0]) if p.size]
    assert len(pieces) > 75
    assert sum(map(counter, pieces)) == 75


def split(stream):
    """Packets with one frame each, hidden ones apart."""
    packets = stream.container.demux(stream)
    if stream.codec_context.name != "vp9":
        return list(packets)
    divide = BitStreamFilterContext("vp9_superframe_split", stream)
    return [part for packet in packets for part in divide.filter(packet if packet.size else None)]


def test_hidden_frames_of_av1_are_no_rows(tmp_path):
    whole, parts = clip(tmp_path / "c.mkv", codec="libsvtav1"), tmp_path / "parts.mkv"
    ffmpeg("-i", whole, "-c", "copy", "-bsf:v", "av1_frame_split", parts)
    for path in (whole, parts):
        info = probe(path)
        assert not info.rows.by_order
        assert info.ticks.tolist() == probe(whole).ticks.tolist()
        assert contents(info) == list(range(40))
    with av.open(str(parts)) as file:
        assert sum(bool(packet.size) for packet in file.demux(video=0)) > 40


def not_coded(time):
    """A video object plane of MPEG-4 that is not coded; ISO/IEC 14496-2, 6.2.5; 25 per second."""
    bits = f"01{'0'}1{time % 25:05b}10"
    bits += "0" + "1" * (-len(bits) - 1 & 7)
    return b"\x00\x00\x01\xb6" + int(bits, 2).to_bytes(len(bits) // 8, "big")


@pytest.mark.parametrize("suffix", ["avi", "mp4", "mkv"])
def test_planes_that_are_not_coded_are_no_rows(tmp_path, suffix):
    """MPEG-4 marks so that nothing is new; every fifth packet here."""
    source = clip(tmp_path / f"whole.{suffix}", codec="mpeg4", options={"bf": "0", "g": "10"})

    def edit(number, packet):
        if number % 5 != 3:
            return [packet]
        empty = av.Packet(not_coded(number))
        empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
        empty.duration = packet.duration
        return [empty]

    path = remux(source, tmp_path / f"c.{suffix}", edit)
    info = probe(path)
    assert len(info.timeline) == 32 == counted(path, 0)
    kept = [row for row in range(40) if row % 5 != 3]
    np.testing.assert_allclose(info.timeline.pts, np.array(kept) / 25, atol=1e-3)
    got = contents(info)
    # What is lost is never seen again: pictures after a gap show the next ones at their own times.
    assert [number for number in got if number % 5 == 0] == list(range(0, 40, 5))
    assert got[::4] == kept[::4]


# -- times that cannot be trusted ------------------------------------------------------------------


def presented_as_decoded(number, packet):
    packet.pts = packet.dts
    return [packet]


@pytest.mark.parametrize("suffix", ["ts", "mov", "flv"])
def test_times_that_contradict_the_order_give_pictures_in_order(tmp_path, suffix):
    source = clip(tmp_path / f"whole.{suffix}", options={"bf": "2"})
    path = remux(source, tmp_path / f"c.{suffix}", presented_as_decoded)
    info = probe(path)
    got = contents(info)
    assert got == sorted(got)
    assert len(got) == len(shown_times(path, 0)) == counted(path, 0)
    (note,) = info.damage
    assert "missing or contradict their order: they are placed where a player shows them" in note
    shown = np.maximum.accumulate(shown_times(path, 0))
    np.testing.assert_array_equal(info.ticks, shown)


@pytest.mark.parametrize("name", ["cts0.mp4", "cts0.flv"])
def test_real_files_with_such_times_are_shown_as_a_player_does(name):
    info = probe(problem(name))
    np.testing.assert_array_equal(info.ticks, np.maximum.accumulate(shown_times(info.path, 0)))
    assert contents_any(info) == [0] * len(info.timeline)
    (note,) = info.damage
    assert "contradict their order" in note


@pytest.mark.parametrize(("codec", "suffix"), [("libx264", "h264"), ("libx265", "hevc")])
def test_streams_without_any_times_are_placed_by_their_rate(tmp_path, codec, suffix):
    options = {"x265-params": "log-level=error"} if codec == "libx265" else {"bf": "2"}
    info = probe(clip(tmp_path / f"c.{suffix}", codec=codec, options=options))
    np.testing.assert_allclose(info.timeline.pts, np.arange(40) / 25)
    assert contents(info) == list(range(40))
    (note,) = info.damage
    assert "stores no times: its pictures are placed at 25 frames per second" in note


def test_a_recording_that_begins_between_key_frames_begins_at_the_first(tmp_path):
    source = clip(tmp_path / "whole.ts", options={"g": "20", "bf": "0", "sc_threshold": "0"})
    path = remux(source, tmp_path / "c.ts", lambda n, p: [p] if n >= 13 else [])
    info = probe(path)
    assert contents(info) == list(range(20, 40))
    assert info.damage == ["7 packets before the first key frame cannot be shown: no rows of that"]


def test_time_that_goes_back_is_named_and_what_fits_is_kept():
    info = probe(problem("spliced_back.ts"))
    assert len(info.timeline) == 75  # of 137 pictures, 62 of them from the end of the time
    assert contents_any(info) == [0] * 75
    assert any(
        "time goes back at 1 picture, first at picture 62 of 137" in note
        and "62 pictures without a place left out" in note
        for note in info.damage
    )


def test_what_players_do_with_times():
    """Worked out by hand from FFmpeg's rule."""
    assert best_effort([0, 10, 20], [0, 10, 20]) == [0, 10, 20]
    assert best_effort([0, 20, 10, 30, 25], [5, 6, 7, 8, 9]) == [0, 20, 7, 8, 9]
    assert best_effort([None, None], [3, 4]) == [3, 4]
    assert best_effort([5, None], [None, None]) == [5, None]


STEP = {"rate": Fraction(100), "base": Fraction(1, 1000), "timed": True}  # of 10 ticks


def logs(times, refused=()):
    packets = PacketLog(list(times), list(times), [UNSURE] * len(times), [False] * len(times))
    packets.key = [True] + [False] * (len(times) - 1)
    shown = [number for number in range(len(times)) if number not in refused]
    seen = [times[number] for number in shown]
    return packets, PictureLog(shown, seen, list(seen), list(refused))


@pytest.mark.parametrize(
    ("times", "kept"),
    [
        ([50, 70, 60, 0, 20, 10, *range(30, 400, 10)], 43),  # in reach of the decoder's delay
        ([*range(200, 260, 10), *range(0, 400, 10)], 40),
        ([*range(0, 400, 10), 100, 110], 40),
        ([*range(0, 200, 10), *range(100, 400, 10)], 40),
    ],
)
def test_as_many_pictures_are_kept_as_have_a_place(times, kept):
    rows = rows_of_pictures(*logs(times), **STEP)
    assert len(rows.ticks) == kept
    assert (np.diff(rows.ticks) >= 0).all()
    placed = {row: times[n] for n, row in enumerate(rows.places.tolist()) if row >= 0}
    assert [placed[row] for row in range(kept)] == rows.ticks.tolist()


def test_a_packet_that_the_decoder_refuses_keeps_its_row():
    rows = rows_of_pictures(*logs(list(range(0, 100, 10)), [3, 4]), **STEP)
    assert rows.ticks.tolist() == list(range(0, 100, 10))
    assert rows.places.tolist() == [0, 1, 2, 5, 6, 7, 8, 9]


def test_refused_halves_of_pictures_are_no_rows():
    """Of a field pair the second half is broken: the picture is there."""
    packets, pictures = logs([0, 5, 10, 15, 20, 25], [1, 3])
    rows = rows_of_pictures(packets, pictures, **STEP)
    assert rows.ticks.tolist() == [0, 10, 20, 25]


# -- the decoder has the last word -----------------------------------------------------------------


def test_a_difference_between_rows_and_pictures_is_named(tmp_path, monkeypatch):
    """Should packets ever tell wrongly: here one of them claims to hide its frame."""
    path = clip(tmp_path / "c.mp4", options={"bf": "0"})
    real = rows_module.rows_of_packets

    def wrong(log, **facts):
        log.shown[7] = 0
        return real(log, **facts)

    monkeypatch.setattr("vapipe.extract.media.probe.rows_of_packets", wrong)
    info = probe(path)
    assert contents(info) == [row for row in range(40) if row != 7]
    assert info.damage == ["the decoder gives 1 picture without a frame"]


def test_pictures_that_do_not_come_are_named(tmp_path, monkeypatch):
    path = clip(tmp_path / "c.webm", codec="libvpx")
    info = probe(path)
    packets = bytearray(path.read_bytes())
    with open_media(path) as container:
        hidden = bytes([p for p in container.demux(video=0) if p.size][9])
    at = packets.index(hidden)
    packets[at] &= ~16  # the tenth frame is hidden after all
    path.write_bytes(packets)
    assert contents(info)[9] is None
    assert info.damage == [
        "the decoder gives 39 pictures for 40 frames and calls 0 packets damaged"
    ]
    assert len(probe(path).timeline) == 39


def test_a_video_of_which_nothing_can_be_decoded_is_refused(tmp_path):
    path = remux(clip(tmp_path / "whole.mkv", codec="ffv1"), tmp_path / "c.mkv", zeros)
    with pytest.raises(MediaError, match="none of the 40 packets of video stream 0 can be decoded"):
        probe(path)


def zeros(number, packet):
    empty = av.Packet(bytes(packet.size))
    empty.pts, empty.dts, empty.time_base = packet.pts, packet.dts, packet.time_base
    empty.is_keyframe = packet.is_keyframe
    return [empty]


def test_real_files_with_edit_lists_begin_where_they_are_shown():
    for name, rows in (("mov_neg_first_pts_discard.mp4", 15), ("trimmed_rotated.mp4", 30)):
        info = probe(problem(name))
        assert (len(info.timeline), info.damage) == (rows, [])
        assert contents_any(info) == [0] * rows
    assert (info.width, info.height, info.orientation.rotation) == (640, 360, 90)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("mp4", "libx264", {"bf": "3"}),
        ("mkv", "libx264", {"bf": "2", "flags": "+ildct+ilme"}),
        ("mov", "libx265", {"x265-params": "log-level=error"}),
        ("avi", "mpeg4", {"bf": "2"}),
        ("mpg", "mpeg2video", {"bf": "2"}),
        ("mkv", "ffv1", {}),
    ],
)
def test_packets_and_decoder_tell_the_same_rows(tmp_path, monkeypatch, suffix, codec, options):
    """The quick way and the sure one."""
    path = clip(tmp_path / f"c.{suffix}", codec=codec, options=options)
    quick = probe(path)
    monkeypatch.setattr("vapipe.extract.media.probe.rows_of_packets", lambda *_, **__: None)
    sure = probe(path)
    assert sure.rows.by_order
    assert quick.ticks.tolist() == sure.ticks.tolist()
    assert contents(quick) == contents(sure) == list(range(40))


def test_sound_and_pictures_of_every_kind_share_a_clock(tmp_path):
    """A flash and a click in the middle of its row."""
    for name, codec, options in (
        ("c.avi", "mpeg4", {"bf": "2"}),
        ("c.ts", "libx264", {"bf": "2", "flags": "+ildct+ilme"}),
        ("c.mpg", "mpeg2video", {"bf": "2"}),
    ):
        sound = Sound(codec="mp2", rate=48000)
        made = write_clip(
            tmp_path / name,
            times=constant_times(Fraction(25), 40),
            events=[23],
            sound=sound,
            codec=codec,
            options=options,
        )
        info = probe(made.path)
        bright = [frame.image.mean() for frame in read_frames(info)]
        assert int(np.argmax(bright)) == 23, name


def test_where_time_goes_back_the_sound_is_that_of_the_pictures_kept():
    info = probe(problem("spliced_back.ts"))
    blocks = list(read_audio(info))
    first, last = blocks[0], blocks[-1]
    assert first.start / 16000 < info.timeline.pts[2]
    assert last.stop / 16000 == pytest.approx(4.317, abs=0.01)  # where it ends


def test_times_that_are_missing_are_filled_in_and_said():
    packets, pictures = logs([*range(0, 100, 10)])
    pictures.pts = [None, None, 20, 30, None, 50, 60, 70, None, None]
    pictures.dts = [None] * 10
    rows = rows_of_pictures(packets, pictures, **STEP)
    assert rows.ticks.tolist() == list(range(0, 100, 10))
    (note,) = rows.notes
    assert note.startswith("the times of 5 of 10 pictures are missing or contradict their order")


def test_where_time_goes_back_in_a_silent_film_nothing_is_heard(tmp_path):
    path = clip(tmp_path / "c.ts", rows=30)
    path.write_bytes(2 * path.read_bytes())
    info = probe(path)
    assert info.rows.has_left_out
    assert list(read_audio(info)) == []
