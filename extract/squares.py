"""Cuts squares out of images: one antialiased resize, borders continued by their edge pixels."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image


def cut_face(image: np.ndarray, box: np.ndarray, *, margin: float, size: int) -> np.ndarray:
    """The square around a face box, wider than its longer side by `margin` in all.

    Args:
        image: [H, W, 3] uint8.
        box: [4] x0, y0, x1, y1 in pixels; may reach over the border.
        margin: 0.3 gives a square 1.3 times as wide as the box.
        size: side of the result in pixels.

    Returns:
        [size, size, 3] uint8.
    """
    side = max(float(box[2] - box[0]), float(box[3] - box[1])) * (1 + margin)
    return _cut(image, (float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2), side, size)


def cut_centre(image: np.ndarray, *, size: int) -> np.ndarray:
    """The largest centred square of an image [H, W, 3], as [size, size, 3] uint8."""
    height, width = image.shape[:2]
    return _cut(image, (width / 2, height / 2), float(min(height, width)), size)


def fit_square(image: np.ndarray, *, size: int) -> np.ndarray:
    """A whole image [H, W, 3] as [size, size, 3] uint8; unchanged where it has that size."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def _cut(image: np.ndarray, centre: tuple[float, float], side: float, size: int) -> np.ndarray:
    reach = math.ceil(side / size) + 1  # what the resize filter reads beyond the square
    starts = []
    for axis, middle in ((0, centre[1]), (1, centre[0])):
        first = math.floor(middle - side / 2) - reach
        last = math.ceil(middle + side / 2) + reach
        length = image.shape[axis]
        if first >= 0 and last <= length:
            image = image[first:last] if axis == 0 else image[:, first:last]
        else:
            image = image.take(np.clip(np.arange(first, last), 0, length - 1), axis=axis)
        starts.append(middle - side / 2 - first)
    top, left = starts
    square = (left, top, left + side, top + side)
    patch = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(patch.resize((size, size), Image.Resampling.BILINEAR, box=square))
