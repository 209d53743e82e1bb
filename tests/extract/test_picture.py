"""A square cut from a picture's planes is the square of the whole picture converted to RGB."""

import math

import av
import numpy as np
import pytest
from clips import PAL, constant_times, write_clip
from PIL import Image

from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.orientation import Orientation
from vapipe.extract.media.picture import Picture
from vapipe.extract.media.probe import probe

LAYS = [Orientation(s, x, y) for s in (False, True) for x in (False, True) for y in (False, True)]
EXACT = ("gray", "gbrp", "gbrap", "rgb24", "bgr0", "rgba", "pal8", "ya8")
CHROMA = (
    *("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p", "yuv440p", "yuv411p"),
    *("yuv410p", "yuva420p", "yuva444p", "nv12", "nv21", "nv16", "p010le", "yuyv422", "uyvy422"),
    *("yuv420p10le", "yuv422p10le", "yuv444p12le", "yuv420p16be", "yuva444p10le"),
)
COARSE = ("pal8", "monow", "rgb565le")  # with hard edges wherever colours change
UNSTEADY = ("gray10le",)  # swscale scales a line's end differently once in many runs
OTHERS = ("gray10le", "gray16be", "rgb48le", "gbrp10le", "rgb565le", "monow")


def scene(width: int, height: int, *, hard: bool) -> np.ndarray:
    """[H, W, 3] uint8: soft hills of different colours, and perhaps greys with hard edges."""
    y, x = np.mgrid[:height, :width]
    hills = [120 + 60 * np.sin(x / a + c) * np.cos(y / b) for a, b, c in ((23, 31, 0), (29, 19, 1))]
    image = np.stack([*hills, 250 - hills[0]], axis=-1)
    if hard:
        rows = slice(height // 3, height // 2)
        image[rows] = np.where((x // 6 + y // 5) % 2, 60, 190)[rows, :, None]
    return image.round().astype(np.uint8)


def frame_of(image: np.ndarray, form: str, space: int = 1, limits: int = 1) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(image, format="rgb24")
    if form == "pal8":  # few colours
        frame = av.VideoFrame(image.shape[1], image.shape[0], "pal8")
        lines = frame.planes[0].line_size
        index = np.zeros((image.shape[0], lines), np.uint8)
        index[:, : image.shape[1]] = image[..., 0] // 64
        frame.planes[0].update(index.tobytes())
        colours = np.zeros((256, 4), np.uint8)
        colours[:4] = [[20, 40, 60, 255], [90, 200, 30, 255], [200, 10, 90, 255], [250] * 4]
        frame.planes[1].update(colours.tobytes())
        return frame
    limits = 2 if form.startswith("yuvj") else limits
    return frame.reformat(format=form, dst_colorspace=space, dst_color_range=limits)


def square_of(image: np.ndarray, x: float, y: float, side: float, size: int) -> np.ndarray:
    """The same of a whole image, its border continued so far that no filter sees the end."""
    room = math.ceil(side * (1 + 2 / size)) + 4
    wide = np.pad(image, [(room, room), (room, room), (0, 0)], mode="edge")
    x, y = np.clip([x, y], -side / 2, [image.shape[1] + side / 2, image.shape[0] + side / 2]) + room
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return np.asarray(
        Image.fromarray(wide).resize((size, size), Image.Resampling.BILINEAR, box=box)
    )


def boxes(seed: int, picture: Picture, count: int = 3):
    """Centres and sides, small and large ones, some over the border."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        side = float(rng.uniform(8, 1.2 * min(picture.width, picture.height)))
        yield *rng.uniform(-0.1, 1.1, 2) * [picture.width, picture.height], side


@pytest.mark.parametrize("form", [*EXACT, *CHROMA, *OTHERS])
@pytest.mark.parametrize("size", [(96, 64), (67, 93)], ids=str)
def test_a_square_is_that_of_the_whole_picture(form, size):
    seed = len(form) + size[0]
    for number, lay in enumerate(LAYS):
        aspect = (1.0, 4 / 3, 0.75)[number % 3]  # of the pixels
        picture = Picture(frame_of(scene(*size, hard=aspect == 1), form), lay, aspect=aspect)
        whole = picture.rgb()
        assert abs(whole.shape[1] - picture.width) <= 0.5
        assert abs(whole.shape[0] - picture.height) <= 0.5
        for x, y, side in boxes(seed + number, picture):
            mine = picture.square(x, y, side, 24).astype(int)
            far = np.abs(mine - square_of(whole, x, y, side, 24))
            if form in ("yuv411p", "yuv410p"):
                assert (far.mean() < 4.5, np.quantile(far, 0.98) <= 10) == (True, True)
            elif form in CHROMA:  # between its samples it may be half a pixel apart
                assert (far.mean() < 2, np.quantile(far, 0.98) <= 6) == (True, True)
            elif aspect == 1:
                assert (far.max() <= 1, far.mean() < 0.4) == (True, True)
            elif form not in (*COARSE, *UNSTEADY):
                assert far.max() <= 2
            assert mine.shape == (24, 24, 3)


def luma_parts(name):
    return {"601": (0.299, 0.114), "709": (0.2126, 0.0722), "2020": (0.2627, 0.0593)}[name]


def true_colour(y, cb, cr, name, full):
    """ITU-T H.273, equations 38 to 40, in float64."""
    red, blue = luma_parts(name)
    luma, cb, cr = (
        (y / 255, (cb - 128) / 255, (cr - 128) / 255)
        if full
        else ((y - 16) / 219, (cb - 128) / 224, (cr - 128) / 224)
    )
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    return 255 * np.clip([r, (luma - red * r - blue * b) / (1 - red - blue), b], 0, 1)


def plain(form, size, values, space, limits):
    frame = av.VideoFrame(*size, form)
    for plane, value in zip(frame.planes, values, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    frame.colorspace, frame.color_range = space, limits
    return frame


SD, HD = (720, 576), (1280, 720)


@pytest.mark.parametrize(
    ("size", "space", "name"),
    [
        ((64, 48), 1, "709"),
        (HD, 5, "601"),
        (HD, 6, "601"),
        ((64, 48), 9, "2020"),
        ((64, 48), 10, "2020"),
        (SD, 2, "601"),
        (HD, 2, "709"),
        ((576, 720), 2, "709"),
        (HD, 0, "709"),
        (HD, 8, "709"),
    ],
)
@pytest.mark.parametrize(("form", "limits"), [("yuv420p", 1), ("yuv444p", 2), ("yuvj422p", 0)])
def test_colours_are_those_that_the_frame_tells_or_players_assume(size, space, name, form, limits):
    for values in ((100, 90, 180), (180, 110, 150)):
        picture = Picture(plain(form, size, values, space, limits))
        expected = true_colour(*values, name, form == "yuvj422p" or limits == 2)
        assert np.abs(picture.square(30, 20, 16, 16) - expected).max() <= 0.6
        assert np.abs(picture.rgb()[10:20, 10:20] - expected).max() <= 2
        assert picture.strange == (8 if space == 8 else None)


@pytest.mark.parametrize(("form", "steps"), [("yuv420p", 2), ("yuv411p", 4), ("yuv444p", 1)])
def test_chroma_lies_at_the_left_of_its_pixels(form, steps):
    frame = plain(form, (128, 64), (120, 128, 128), 1, 1)
    plane = frame.planes[1]
    ramp = 60 + np.arange(plane.line_size) * steps  # of the pixels' own numbers
    plane.update(np.tile(ramp.clip(0, 255).astype(np.uint8), (plane.height, 1)).tobytes())
    crop = Picture(frame).square(60, 32, 32, 32)
    numbers = np.arange(60 - 16, 60 + 16)
    expected = [true_colour(120, 60 + n, 128, "709", False)[2] for n in numbers]
    assert np.abs(crop[16, :, 2] - expected).max() < 2.2


def test_lines_stored_from_the_last_to_the_first_are_put_right():
    frame = frame_of(scene(96, 64, hard=True), "yuv420p")
    graph = av.filter.Graph()
    steps = [graph.add_buffer(template=None, width=96, height=64, format="yuv420p", time_base=PAL)]
    steps += [graph.add("vflip"), graph.add("buffersink")]
    graph.link_nodes(*steps).configure()
    frame.time_base = PAL
    graph.push(frame)
    turned = graph.pull()
    assert turned.planes[0].line_size < 0
    turned.colorspace, turned.color_range = frame.colorspace, frame.color_range
    mine, theirs = Picture(turned), Picture(frame, Orientation(flip_y=True))
    assert np.abs(mine.rgb().astype(int) - theirs.rgb()).max() <= 1
    difference = mine.square(40, 30, 20, 20).astype(int) - theirs.square(40, 30, 20, 20)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(
    ("form", "size", "lines", "kept"),
    [
        ("yuv420p", (1920, 1080), 1080, (1920, 1080)),
        ("yuv420p10le", (1920, 1080), 1080, (1920, 1080)),
        ("yuv420p", (3840, 2160), 1080, (1920, 1080)),
        ("yuv420p", (2160, 3840), 720, (720, 1280)),
        ("yuv444p", (1920, 1080), 1080, (1721, 968)),
        ("yuv420p", (6000, 1080), None, (4303, 775)),
    ],
)
def test_pictures_that_wait_stay_small(form, size, lines, kept):
    picture = Picture(plain(form, size, [9] * 3, 1, 1), lines=lines)
    assert (picture.width, picture.height) == kept
    assert picture.width * picture.height * (3 if "444" in form else 1.5) <= 5.01e6


def test_a_colour_space_that_is_not_known_is_named(tmp_path):
    options = {"x264-params": "colormatrix=YCgCo"}
    times = constant_times(PAL, 3)
    info = probe(write_clip(tmp_path / "c.mp4", times=times, size=(64, 48), options=options).path)
    assert len(list(read_frames(info))) == 3
    assert info.damage == [
        "colour space 8 (ITU-T H.273) of 3 pictures is not known here: colours may be wrong"
    ]
