"""Cuts squares out of images: one antialiased resize, borders continued by their edge pixels."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

# Left and right eye, nose, left and right corner of the mouth in a square of 112 pixels: the places
# common since SphereFace (Liu et al. 2017, there in 96 x 112) and ArcFace (Deng et al. 2019).
_STANDARD = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)


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


def cut_aligned(image: np.ndarray, points: np.ndarray, *, size: int) -> np.ndarray:
    """The square in which eyes, nose and mouth lie where face networks usually expect them.

    Shift, turn and scale are the least-squares fit of the five points to the standard places
    (closed form over complex numbers; without reflection).

    Args:
        image: [H, W, 3] uint8.
        points: [5, 2] x, y in pixels: left and right eye, nose, left and right corner of the
            mouth, as seen; not all equal.
        size: side of the result in pixels.

    Returns:
        [size, size, 3] uint8.
    """
    places = (_STANDARD[:, 0] + 1j * _STANDARD[:, 1]) * size / 112
    seen = points[:, 0] + 1j * points[:, 1]
    shifted = places - places.mean()
    # From pixels of the result to pixels of the image: seen = turn * place + shift.
    turn = complex(np.vdot(shifted, seen - seen.mean()) / np.vdot(shifted, shifted))
    middle = turn * (complex(size, size) / 2 - places.mean()) + seen.mean()
    # First the reduction with its filter, upright and wide enough to turn in; then the turn.
    wide = math.ceil(size * math.sqrt(2)) + 2
    patch = Image.fromarray(_cut(image, (middle.real, middle.imag), abs(turn) * wide, wide))
    turn /= abs(turn)
    start = complex(wide, wide) / 2 - turn * complex(size, size) / 2
    across = (turn.real, -turn.imag, start.real, turn.imag, turn.real, start.imag)
    turned = patch.transform((size, size), Image.Transform.AFFINE, across, Image.Resampling.BICUBIC)
    return np.asarray(turned)
