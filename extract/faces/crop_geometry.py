"""Which square of a picture is cut: around a face box, amid a frame, or by the points of a face."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from ..media.picture import Picture

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


def cut_face(picture: Picture, box: np.ndarray, *, margin: float, size: int) -> np.ndarray:
    """The square around a face box, wider than its longer side by `margin` in all.

    Args:
        picture: the whole one.
        box: [4] x0, y0, x1, y1 in pixels; may reach over the border.
        margin: 0.3 gives a square 1.3 times as wide as the box.
        size: side of the result in pixels.

    Returns:
        [size, size, 3] uint8.
    """
    side = max(float(box[2] - box[0]), float(box[3] - box[1])) * (1 + margin)
    return picture.square(float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2, side, size)


def cut_centre(picture: Picture, *, size: int) -> np.ndarray:
    """The largest centred square of a picture, as [size, size, 3] uint8."""
    side = min(picture.height, picture.width)
    return picture.square(picture.width / 2, picture.height / 2, side, size)


def cut_aligned(picture: Picture, points: np.ndarray, *, size: int) -> np.ndarray:
    """The square in which eyes, nose and mouth lie where face networks usually expect them.

    Shift, turn and scale are the least-squares fit of the five points to the standard places
    (closed form over complex numbers; without reflection).

    Args:
        picture: the whole one.
        points: [5, 2] x, y in pixels: left and right eye, nose, left and right corner of the
            mouth, as seen; not all equal.
        size: side of the result in pixels.

    Returns:
        [size, size, 3] uint8.
    """
    places = (_STANDARD[:, 0] + 1j * _STANDARD[:, 1]) * size / 112
    seen = points[:, 0] + 1j * points[:, 1]
    shifted = places - places.mean()
    # From pixels of the result to pixels of the picture: seen = turn * place + shift.
    turn = complex(np.vdot(shifted, seen - seen.mean()) / np.vdot(shifted, shifted))
    middle = turn * (complex(size, size) / 2 - places.mean()) + seen.mean()
    # First the reduction with its filter, upright and wide enough to turn in; then the turn.
    wide = math.ceil(size * math.sqrt(2)) + 2
    patch = Image.fromarray(picture.square(middle.real, middle.imag, abs(turn) * wide, wide))
    turn /= abs(turn)
    start = complex(wide, wide) / 2 - turn * complex(size, size) / 2
    across = (turn.real, -turn.imag, start.real, turn.imag, turn.real, start.imag)
    turned = patch.transform((size, size), Image.Transform.AFFINE, across, Image.Resampling.BICUBIC)
    return np.asarray(turned)
