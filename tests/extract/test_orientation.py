"""Pictures are seen as players show them: turned, mirrored, and with square pixels."""

import struct

import av
import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from remux import MATRICES, ffmpeg, problem, set_matrix

from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.orientation import Orientation
from vapipe.extract.media.probe import probe
from vapipe.reports.overlay import write_overlay

SIZE = (64, 48)


def corners(row):
    """Every corner has a grey of its own."""
    image = np.full((SIZE[1], SIZE[0], 3), 120, np.uint8)
    image[:16, :16], image[:16, -16:], image[-16:, :16] = 20, 80, 180
    image[-16:, -16:] = 240
    return image


def shown(image):
    """The greys of the corners: top left, top right, bottom left, bottom right."""
    near, far = slice(2, 10), slice(-10, -2)
    greys = np.array([image[y, x].mean() for y in (near, far) for x in (near, far)])
    return [int(np.argmin(np.abs(np.array([20, 80, 180, 240]) - grey))) for grey in greys]


def expected(matrix):
    """Worked out from the formula: where each corner goes."""
    a, b, c, d = matrix
    places = {}
    for number, (x, y) in enumerate([(-1, -1), (1, -1), (-1, 1), (1, 1)]):
        places[(b * x + d * y, a * x + c * y)] = number
    return [places[key] for key in sorted(places)]


def write(path, rows=3, **options):
    times = constant_times(PAL, rows)
    options = {"options": {"crf": "5"}} | options
    return write_clip(path, times=times, size=SIZE, draw=corners, **options).path


def as_ffmpeg_shows(path, folder):
    """The first picture by FFmpeg's command line."""
    ffmpeg("-i", path, "-frames:v", 1, folder / "first.png")
    with av.open(str(folder / "first.png")) as file:
        return next(file.decode(video=0)).to_ndarray(format="rgb24")


def facts(info):
    return info.width, info.height, info.orientation.rotation, info.orientation.mirrored


@pytest.mark.parametrize("matrix", MATRICES, ids=str)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_all_eight_matrices_are_applied(tmp_path, matrix, suffix):
    path = write(tmp_path / f"c.{suffix}")
    set_matrix(path, matrix)
    info = probe(path)
    image = next(read_frames(info)).image
    assert shown(image) == expected(matrix)
    assert image.shape[:2] == (info.height, info.width)
    assert info.orientation.mirrored == (np.linalg.det(np.reshape(matrix, (2, 2))) < 0)
    assert shown(as_ffmpeg_shows(path, tmp_path)) == expected(matrix)


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
def test_a_mirror_and_a_turn_say_the_same(swap, flip_x, flip_y):
    orientation = Orientation(swap, flip_x, flip_y)
    picture = np.arange(24).reshape(2, 4, 3)
    made = picture[:, ::-1] if orientation.mirrored else picture
    np.testing.assert_array_equal(
        orientation.apply(picture), np.rot90(made, -orientation.rotation // 90)
    )


@pytest.mark.parametrize("turn", ["rotate=90", "rotate=180", "flip=horizontal", "flip=vertical"])
def test_what_the_stream_itself_says_is_applied(tmp_path, turn):
    """As supplemental information (SEI) of key frames, in a container that says nothing."""
    source, path = write(tmp_path / "source.mkv", rows=9), tmp_path / "c.mkv"
    ffmpeg(
        "-i",
        source,
        "-c",
        "copy",
        "-bsf:v",
        f"h264_metadata=display_orientation=insert:{turn}",
        path,
    )
    info = probe(path)
    images = [frame.image for frame in read_frames(info)]
    assert shown(images[0]) == shown(as_ffmpeg_shows(path, tmp_path)) != [0, 1, 2, 3]
    assert {image.shape[:2] for image in images} == {(info.height, info.width)}
    assert all(shown(image) == shown(images[0]) for image in images)


@pytest.mark.parametrize("matrix", MATRICES[::3], ids=str)
def test_pixels_are_made_square_before_the_turn(tmp_path, matrix):
    path = write(tmp_path / "c.mp4", options={"aspect": "16:9", "crf": "5"})
    set_matrix(path, matrix)
    info = probe(path)
    image = next(read_frames(info)).image
    assert shown(image) == expected(matrix)
    assert sorted(image.shape[:2]) == [48, 114]
    assert image.shape[:2] == (info.height, info.width)


@pytest.mark.parametrize("matrix", MATRICES[1::2], ids=str)
def test_a_trimmed_clip_is_turned_as_well_and_so_is_its_overlay(tmp_path, matrix):
    """The edit list discards the first pictures, which alone tell the decoder the matrix."""
    path = write(tmp_path / "c.mp4", rows=20, sound=Sound(), options={"bf": "0", "crf": "5"})
    set_matrix(path, matrix)
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 16
    data[at : at + 4] = struct.pack(">i", 5 * 512)
    path.write_bytes(data)
    info = probe(path)
    assert (len(info.timeline), info.damage) == (15, [])
    assert shown(next(read_frames(info)).image) == expected(matrix)
    made = write_overlay(path, tmp_path / "overlay", np.zeros((15, 2)))
    picture = next(read_frames(probe(made))).image
    top, left = (200 - info.height) // 2, (200 - info.width) // 2  # amid a larger area
    inner = picture[top : top + info.height, left : left + info.width]
    assert shown(inner) == expected(matrix)


def test_a_real_mirrored_clip_is_upright(tmp_path):
    path = problem("hflip_matrix.mp4")
    info = probe(path)
    assert facts(info) == (640, 360, 0, True)
    ours, theirs = next(read_frames(info)).image, as_ffmpeg_shows(path, tmp_path)
    assert np.abs(ours.astype(int) - theirs).mean() < 3


def test_a_real_trimmed_and_turned_clip_has_right_facts(tmp_path):
    path = problem("trimmed_rotated.mp4")
    info = probe(path)
    assert facts(info) == (640, 360, 90, False)
    ours, theirs = next(read_frames(info)).image, as_ffmpeg_shows(path, tmp_path)
    assert ours.shape == theirs.shape
    assert np.abs(ours.astype(int) - theirs).mean() < 3


@pytest.mark.parametrize("aspect", [(1000, 1), (1, 1000)])
def test_pixels_of_an_absurd_shape_are_taken_for_square(tmp_path, aspect):
    path = write(tmp_path / "c.mp4", options={"aspect": "4:3", "crf": "5"})
    data = bytearray(path.read_bytes())
    at = data.index(b"pasp") + 4
    data[at : at + 8] = struct.pack(">II", *aspect)
    path.write_bytes(data)
    info = probe(path)
    assert next(read_frames(info)).image.shape == (48, 64, 3)
    (note,) = info.damage
    assert "times as wide as high: ignored" in note
