"""Draws two curves beside a picture: a point in their plane, and both over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_PLANE = 280  # largest side of the plane in pixels
_TALL_PLANE = 360  # the same beside a tall picture, with room for the curves below
_STRIP = 128  # height of the curves in pixels
_SMALLEST = 200  # width and height of the picture's area in pixels
_SPAN_S = 20.0  # seconds of the curves that are seen at once
_TRAIL_S = 1.5  # seconds for which the point's way is seen
_EDGE = 12  # pixels left free around plane and curves
_COLOURS = ((230, 159, 0), (86, 180, 233))  # told apart with every kind of colour vision
_SHADE = (84, 52, 52)  # behind the curves where values are to be taken with care ...
_CARE = (224, 108, 108)  # ... and around the face there
_BACK, _LINE, _TEXT = (24, 24, 28), (90, 90, 96), (225, 225, 225)
_SOFT = (150, 150, 150)  # numbers of the axes
_TRAIL = (235, 235, 235)  # where the point was just now; older parts fade


class Panel:
    """A canvas with the picture at the left, the plane at the right and the curves below.

    Beside a tall picture the curves stand below the plane, so that nothing is left empty.

    Attributes:
        size: width and height of the canvas in pixels, both even.
    """

    def __init__(
        self,
        picture: tuple[int, int],
        times: np.ndarray,
        values: np.ndarray,
        names: Sequence[str],
        shaded: Mapping[str, np.ndarray] | None = None,
        boxes: np.ndarray | None = None,
        title: str = "",
    ) -> None:
        """Draw what never changes.

        Args:
            picture: width and height of the pictures in pixels.
            times: [T] seconds, never decreasing.
            values: [T, 2] in [-1, 1]; others are drawn at the edge.
            names: of the two values; the first is the plane's horizontal axis.
            shaded: why values are to be taken with care -> [T] bool; None for nowhere.
            boxes: [T, 4] left, top, width and height of faces in pixels of the picture, NaN where
                there is none; None for no boxes.
            title: what the values are of, above the curves; cut off where it is too long.
        """
        self._reasons = shaded or {}
        self._shaded = np.any([*self._reasons.values(), np.zeros(len(times), bool)], axis=0)
        self._boxes = boxes
        self._area = max(picture[0], _SMALLEST), max(picture[1], _SMALLEST)
        self._side = min(self._area[1], _PLANE)
        below = _STRIP
        self._tall = self._area[1] >= max(self._side + _STRIP, self._area[0] + 1)
        if self._tall:
            self._side, below = min(self._area[1] - _STRIP, _TALL_PLANE), 0
        self.size = (
            (self._area[0] + self._side + 1) // 2 * 2,
            (self._area[1] + below + 1) // 2 * 2,
        )
        self._times, self._values = times, values
        self._drawn = np.clip(values, -1, 1)
        self._names = names
        self._font = ImageFont.load_default(13)
        self._back = Image.new("RGB", self.size, _BACK)
        draw = ImageDraw.Draw(self._back)
        left, top, right, bottom = box = self._plane_box()
        draw.rectangle(box, outline=_LINE)
        draw.line([(left, (top + bottom) / 2), (right, (top + bottom) / 2)], fill=_LINE)
        draw.line([((left + right) / 2, top), ((left + right) / 2, bottom)], fill=_LINE)
        self._number_axes(draw)
        draw.text((right - 4, (top + bottom) / 2 - 2), names[0], _COLOURS[0], self._font, "rs")
        draw.text(((left + right) / 2 + 5, top + 4), names[1], _COLOURS[1], self._font, "la")
        left, top, right, bottom = box = self._strip_box()
        draw.rectangle(box, outline=_LINE)
        draw.line([(left, (top + bottom) / 2), (right, (top + bottom) / 2)], fill=_LINE)
        while title and draw.textlength(title, self._font) > right - left:
            title = title.removesuffix("...")[:-1] + "..."
        draw.text((left, top - 19), title, _TEXT, self._font, "ls")

    def _number_axes(self, draw: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = self._plane_box()
        across, up = (left + right) / 2, (top + bottom) / 2
        small = ImageFont.load_default(10)
        for value, below, beside, inwards in (
            (-1, "la", "rd", 3), (-0.5, "ma", "rm", 0), (0.5, "ma", "rm", 0), (1, "ra", "ra", -3)
        ):  # fmt: skip
            x, y = across + value * (right - left) / 2, up - value * (bottom - top) / 2
            draw.line([(x, up - 3), (x, up + 3)], fill=_LINE)
            draw.line([(across - 3, y), (across + 3, y)], fill=_LINE)
            text = f"{value:+g}"
            draw.text((x + inwards, up + 4), text, _SOFT, small, below)
            draw.text((across - 6, y - inwards), text, _SOFT, small, beside)

    def draw(self, row: int, picture: np.ndarray | None) -> np.ndarray:
        """The canvas [H, W, 3] uint8 of a row; a picture [h, w, 3] that is None stays dark."""
        canvas = self._back.copy()
        if picture is not None:
            height, width = picture.shape[:2]
            corner = ((self._area[0] - width) // 2, (self._area[1] - height) // 2)
            shown = Image.fromarray(picture)
            self._draw_box(ImageDraw.Draw(shown), row)
            canvas.paste(shown, corner)
        draw = ImageDraw.Draw(canvas)
        self._draw_point(draw, row)
        self._draw_curves(draw, row)
        return np.asarray(canvas)

    def _draw_box(self, draw: ImageDraw.ImageDraw, row: int) -> None:
        if self._boxes is not None and np.isfinite(self._boxes[row]).all():
            left, top, width, height = self._boxes[row].tolist()
            colour = _CARE if self._shaded[row] else _TEXT
            draw.rectangle((left, top, left + width, top + height), outline=colour, width=2)

    def _draw_point(self, draw: ImageDraw.ImageDraw, row: int) -> None:
        left, top, right, bottom = self._plane_box()
        first = int(np.searchsorted(self._times, self._times[row] - _TRAIL_S))
        way = self._drawn[first : row + 1]
        x = (left + right) / 2 + way[:, 0] * (right - left) / 2
        y = (top + bottom) / 2 - way[:, 1] * (bottom - top) / 2
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        ages = (self._times[row] - self._times[first : row + 1]) / _TRAIL_S
        for pair, age in zip(pairwise(points), ages[1:].tolist(), strict=True):
            draw.line(pair, fill=_blend(_TRAIL, 1 - 0.9 * min(max(age, 0), 1)), width=2)
        fill = _BACK if self._shaded[row] else (255, 255, 255)
        draw.circle(points[-1], 6, fill=fill, outline=(255, 255, 255))

    def _draw_curves(self, draw: ImageDraw.ImageDraw, row: int) -> None:
        left, top, right, bottom = self._strip_box()
        start, end, now = self._times[0], self._times[-1], self._times[row]
        low = max(start, min(now - _SPAN_S / 2, end - _SPAN_S))
        span = max(min(_SPAN_S, end - start), 1e-3)
        seen = slice(
            max(0, int(np.searchsorted(self._times, low)) - 1),
            int(np.searchsorted(self._times, low + span, side="right")),
        )
        x = left + np.clip((self._times[seen] - low) / span, 0, 1) * (right - left)
        ends = np.append(x[1:], x[-1] + 1)
        shaded = self._shaded[seen]
        for start_x, end_x in zip(x[shaded], ends[shaded], strict=True):
            draw.rectangle((start_x, top + 1, min(end_x, right), bottom - 1), fill=_SHADE)
        for column, colour in enumerate(_COLOURS):
            y = (top + bottom) / 2 - self._drawn[seen, column] * (bottom - top) / 2
            draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), fill=colour, width=2)
        cursor = left + (now - low) / span * (right - left)
        draw.line([(cursor, top), (cursor, bottom)], fill=(255, 255, 255))
        place = float(left)
        for column, colour in enumerate(_COLOURS):
            text = f"{self._names[column]} {self._values[row, column]:+.2f}   "
            draw.text((place, top - 3), text, colour, self._font, "ls")
            place += draw.textlength(text, self._font)
        draw.text((right, top - 3), f"{now:.2f} s", _TEXT, self._font, "rs")
        reasons = ", ".join(reason for reason, rows in self._reasons.items() if rows[row])
        draw.text((right - 4, top + 3), reasons, _TEXT, self._font, "ra")

    def _plane_box(self) -> tuple[int, int, int, int]:
        left = self._area[0] + _EDGE
        return left, _EDGE, left + self._side - 2 * _EDGE, self._side - _EDGE

    def _strip_box(self) -> tuple[int, int, int, int]:
        left, above = (self._area[0], self._side) if self._tall else (0, self._area[1])
        bottom = self._area[1] if self._tall else above + _STRIP
        return left + _EDGE, above + _EDGE + 28, self.size[0] - _EDGE, bottom - _EDGE


def _blend(colour: tuple[int, int, int], share: float) -> tuple[int, ...]:
    """A share of a colour over the background."""
    return tuple(round(b + share * (c - b)) for c, b in zip(colour, _BACK, strict=True))
