"""A decoded picture, kept as the decoder gives it and converted to RGB only where it is looked at.

Knows colours, planes, turns and the shape of pixels; not what is in a picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from .orientation import Orientation

# Averages over areas, hence no aliasing; the same bits on any machine.
_SCALER = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
_HELD = 5_000_000  # bytes at most, as some hundred pictures wait until their faces are known
_PLANAR = {  # size of the chroma planes where a picture has 8 x 8 pixels -> format in 8 bits
    (8, 8): "yuv444p",
    (4, 8): "yuv422p",
    (8, 4): "yuv440p",
    (4, 4): "yuv420p",
    (2, 8): "yuv411p",
    (2, 2): "yuv410p",
}
# Colour spaces (ITU-T H.273, matrix coefficients) -> parts of red and blue in the luma.
_BT601, _BT709 = 5, 1
_LUMA = {
    _BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),  # FCC
    _BT601: (0.299, 0.114),
    6: (0.299, 0.114),  # SMPTE 170M
    7: (0.212, 0.087),  # SMPTE 240M
    9: (0.2627, 0.0593),  # BT.2020; the other kind of it, 10, differs by little
    10: (0.2627, 0.0593),
}
_UNTOLD = (0, 2, 3)  # RGB, unspecified, reserved
_HD = (1280, 576)  # from this width on, or of more lines, videos that do not tell are in BT.709

_UPRIGHT = Orientation()


class Picture:
    """A picture as displayed: turned, its pixels square.

    Attributes:
        width: pixels.
        height: pixels.
        strange: the number of its colour space where that is none known here; it is then taken for
            the one that players assume. Else None.
    """

    def __init__(
        self,
        frame: av.VideoFrame,
        orientation: Orientation = _UPRIGHT,
        *,
        aspect: float = 1.0,
        lines: int | None = None,
        scaler: VideoReformatter | None = None,
    ) -> None:
        """Take a decoded frame as it is, if possible: in 8 bits, one plane per component.

        Args:
            frame: as decoded; its colour space is set where it does not tell any.
            orientation: how it is turned for display.
            aspect: width of a stored pixel by its height.
            lines: it is reduced until its shorter side has at most so many pixels.
            scaler: converts; to be used for all pictures of a video, as it keeps its tables.
        """
        self._orientation, self._aspect = orientation, aspect
        self.strange = _settle_colours(frame)
        name = _planar(frame.format)
        width, height = frame.width * aspect, float(frame.height)
        size = frame.width * frame.height * av.VideoFormat(name).padded_bits_per_pixel / 8
        scale = min(1.0, math.sqrt(_HELD / size))
        if lines:
            scale = min(scale, lines / min(width, height))
        if scale < 1 or name != frame.format.name:
            frame = (scaler or VideoReformatter()).reformat(
                frame,
                width=max(1, round(frame.width * scale)),
                height=max(1, round(frame.height * scale)),
                format=name,
                interpolation=_SCALER,
                threads=1,
            )
        self._frame = frame
        shown = frame.width * aspect, float(frame.height)
        self.width, self.height = shown[::-1] if orientation.swap else shown

    def rgb(self, lines: int | None = None, scaler: VideoReformatter | None = None) -> np.ndarray:
        """All of it as [H, W, 3] uint8 RGB, its shorter side at most `lines`."""
        scale = min(1.0, lines / min(self.width, self.height)) if lines else 1.0
        made = (scaler or VideoReformatter()).reformat(
            self._frame,
            width=max(1, round(self._frame.width * self._aspect * scale)),
            height=max(1, round(self._frame.height * scale)),
            format="gbrp",
            interpolation=_SCALER,
            threads=1,
        )
        green, blue, red = _planes(made)
        return self._orientation.apply(np.stack([red, green, blue], axis=-1))

    def square(self, x: float, y: float, side: float, size: int) -> np.ndarray:
        """The upright square around a point, as [size, size, 3] uint8 RGB.

        One antialiased resize of each plane from full resolution; then the colours. Borders are
        continued by their edge pixels.

        Args:
            x: of the square's centre in pixels; it may reach over the border.
            y: likewise.
            side: of the square in pixels.
            size: side of the result in pixels.
        """
        frame = self._frame
        places = np.array([x, y]) + np.array([[-side / 2], [side / 2]])  # two corners
        corners = [self._orientation.stored(*at) for at in places / [self.width, self.height]]
        box = np.sort(corners, axis=0).ravel() * ([frame.width, frame.height] * 2)
        first, *others = _planes(frame)[:3]
        if frame.format.is_rgb:
            green, blue, red = first, *others
            made = _resize([red, green, blue], box, size)
        elif not others:
            made = Image.merge("RGB", [_resize([first], box, size)] * 3)
        else:  # both planes of chroma at once
            cb, cr, _ = _resize([*others, others[0]], self._on_chroma(box), size).split()
            made = Image.merge("RGB", [_resize([first], box, size), cb, cr])
            full = frame.color_range == 2 or frame.format.name.startswith("yuvj")
            made = made.convert("RGB", _matrix(frame.colorspace, full))
        return self._orientation.apply(np.asarray(made))

    def _on_chroma(self, box: np.ndarray) -> np.ndarray:
        """A box [4] of stored pixels on the planes of chroma."""
        form = self._frame.format
        across, down = 64 / form.chroma_width(64), 64 / form.chroma_height(64)
        box = box / [across, down, across, down]
        if not form.name.startswith("yuvj"):  # JPEG has chroma amid its pixels, others at the left
            box[::2] += 0.5 - 0.5 / across
        return box


def _settle_colours(frame: av.VideoFrame) -> int | None:
    """See to it that a frame tells a colour space that is known; what it told if that is none."""
    form, told = frame.format, frame.colorspace
    if form.is_rgb or form.has_palette or told in _LUMA:
        if told == 10:
            frame.colorspace = 9
        return None
    is_hd = frame.width >= _HD[0] or frame.height > _HD[1]
    frame.colorspace = _BT709 if is_hd else _BT601
    return None if told in _UNTOLD else told


def _planar(form: av.VideoFormat) -> str:
    """The format itself if it has a plane of 8 bits per component, else the nearest that has."""
    if form.is_rgb or form.has_palette:
        name = "gbrp"
    elif len(form.components) < 3:
        name = "gray"
    else:
        name = _PLANAR[form.chroma_width(8), form.chroma_height(8)]
    plain = form.name.replace("yuvj", "yuv").replace("yuva", "yuv").replace("gbrap", "gbrp")
    return form.name if plain == name else name


def _planes(frame: av.VideoFrame) -> list[np.ndarray]:
    """[h, w] uint8 of every plane, without a copy."""
    return [
        # Lines may be stored from the last to the first.
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, abs(plane.line_size))[
            :: 1 if plane.line_size > 0 else -1, : plane.width
        ]
        for plane in frame.planes
    ]


def _resize(planes: Sequence[np.ndarray], box: np.ndarray, size: int) -> Image.Image:
    """A box [4] of one or three planes [h, w], at fractions of a pixel, as a square image."""
    starts = []
    for axis in (0, 1):
        low, high = box[1 - axis], box[3 - axis]
        reach = math.ceil((high - low) / size) + 1  # what the filter reads beyond the box
        first, last = math.floor(low) - reach, math.ceil(high) + reach
        length = planes[0].shape[axis]
        if first >= 0 and last <= length:
            planes = [p[first:last] if axis == 0 else p[:, first:last] for p in planes]
        else:
            planes = [p.take(np.arange(first, last), axis, mode="clip") for p in planes]
        starts.append(first)
    left, top, right, bottom = (box - [starts[1], starts[0]] * 2).tolist()
    patches = [Image.fromarray(np.ascontiguousarray(p)) for p in planes]
    patch = patches[0] if len(patches) == 1 else Image.merge("RGB", patches)
    return patch.resize((size, size), Image.Resampling.BILINEAR, (left, top, right, bottom))


@lru_cache
def _matrix(space: int, full: bool) -> tuple[float, ...]:
    """From Y, Cb, Cr to R, G, B: three rows of factors and a shift, as Pillow takes them.

    In steps of 1 / 4096, with which float32 computes exactly, in any order.
    """
    red, blue = _LUMA[space]
    green = 1 - red - blue
    luma, chroma = (1.0, 1.0) if full else (255 / 219, 255 / 224)
    rows = [
        (0.0, 2 * (1 - red)),
        (-2 * blue * (1 - blue) / green, -2 * red * (1 - red) / green),
        (2 * (1 - blue), 0.0),
    ]
    factors: list[float] = []
    for cb, cr in rows:
        row = [round(factor * 4096) / 4096 for factor in (luma, cb * chroma, cr * chroma)]
        zero = (0 if full else 16) * row[0] + 128 * (row[1] + row[2])
        factors += [*row, -zero]
    return tuple(factors)
