"""Geometry of face boxes: overlap, likeness, and which boxes of two frames are the same face.

A box is x0, y0, x1, y1 in any unit. Numbers that follow the first four are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

_MIN_OVERLAP = 0.2  # intersection over union that makes two boxes the same face
_MAX_SHIFT = 0.6  # or a shift of the centre by less than this part of the side ...
_MAX_GROWTH = 1.8  # ... with a change of size by less than this factor


def area(box: np.ndarray) -> float:
    """Area of a box."""
    x0, y0, x1, y1 = box[:4].tolist()  # plain numbers: numpy takes ten times as long for so few
    return float((x1 - x0) * (y1 - y0))


def overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union, 0..1."""
    ax0, ay0, ax1, ay1 = box[:4].tolist()
    bx0, by0, bx1, by1 = other[:4].tolist()
    across, down = min(ax1, bx1) - max(ax0, bx0), min(ay1, by1) - max(ay0, by0)
    shared = max(across, 0.0) * max(down, 0.0)
    return shared / (area(box) + area(other) - shared)


def likeness(box: np.ndarray, other: np.ndarray) -> float | None:
    """Intersection over union less the relative shift; None for boxes of different faces."""
    common = overlap(box, other)
    side = math.sqrt(area(other))
    twice = (box[:2] + box[2:4]) - (other[:2] + other[2:4])  # twice the shift of the centre
    shift = float(np.hypot(*twice)) / 2 / side
    growth = max(area(box), area(other)) / min(area(box), area(other))
    if common < _MIN_OVERLAP and not (shift < _MAX_SHIFT and growth < _MAX_GROWTH**2):
        return None
    return common - shift


def pair_up(boxes: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> dict[int, int]:
    """Index of a box -> index of the same face among the others. The likest pairs go first."""
    candidates = [
        (value, index, place)
        for index, box in enumerate(boxes)
        for place, other in enumerate(others)
        if (value := likeness(box, other)) is not None
    ]
    pairs: dict[int, int] = {}
    for _, index, place in sorted(candidates, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if index not in pairs and place not in pairs.values():
            pairs[index] = place
    return pairs
