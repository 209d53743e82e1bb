"""Smooths the boxes of one followed face over time. The detector's boxes jitter; faces do not."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np

from .boxes import overlap
from .follow import FaceRow

_REACH = 2.5  # neighbours count up to so many widths away ...
_MAX_ROWS = 16  # ... and up to so many rows, whose images wait meanwhile
_JUMP = 0.4  # boxes of successive rows that overlap less are no smooth movement


class Smoother:
    """Replaces each box by a local straight line through its neighbours in time.

    Weighted least squares with Gaussian weights (Cleveland 1979: local linear regression), which
    neither lags nor shrinks a steady movement, at the ends neither. Only neighbours on the same
    path count: never across a cut, a change of the subject or a row without a face.
    """

    def __init__(self, *, width: float) -> None:
        """Start without rows.

        Args:
            width: standard deviation of the weights in seconds; 0 leaves boxes as they are.
        """
        self._width = width
        self._past: deque[tuple[float, FaceRow]] = deque(maxlen=_MAX_ROWS)
        self._waiting: deque[tuple[float, FaceRow]] = deque()

    def push(self, place: FaceRow, time: float) -> Iterator[FaceRow]:
        """Add the next row's place and its time in seconds; give what is decided by it."""
        self._waiting.append((time, place))
        reach = _REACH * self._width
        while len(self._waiting) > _MAX_ROWS or self._waiting[0][0] + reach <= time:
            yield self._decide()
            if not self._waiting:
                return

    def finish(self) -> Iterator[FaceRow]:
        """The rows that still wait at the end."""
        while self._waiting:
            yield self._decide()

    def _decide(self) -> FaceRow:
        time, place = self._waiting.popleft()
        before = self._steady([(time, place), *reversed(self._past)])
        after = self._steady([(time, place), *self._waiting])
        self._past.append((time, place))
        if place.box is None or len(before) + len(after) == 2:
            return place
        near = [*before, *after[1:]]
        return replace(place, box=_line(near, time, self._width))

    def _steady(self, chain: list[tuple[float, FaceRow]]) -> list[tuple[float, np.ndarray]]:
        """Times and boxes from the first place on, as far as it moves on steadily."""
        (start, first), *_ = chain
        if first.box is None:
            return []
        steady = [(start, first.box)]
        for (_, here), (time, there) in pairwise(chain):
            if (
                there.box is None
                or here.box is None
                or there.path != first.path
                or abs(time - start) > _REACH * self._width
                or overlap(here.box, there.box) < _JUMP
            ):
                break
            steady.append((time, there.box))
        return steady


def _line(near: list[tuple[float, np.ndarray]], time: float, width: float) -> np.ndarray:
    """Value at `time` of the weighted least-squares line through boxes over time."""
    times = (np.array([t for t, _ in near]) - time) / width
    boxes = np.array([box for _, box in near])  # [n, 4 or more]
    weights = np.exp(-(times**2) / 2)
    weights /= weights.sum()
    mean = weights @ times
    spread = weights @ (times - mean) ** 2
    middle: np.ndarray = weights @ boxes
    if spread < 1e-9:  # equal times tell no direction
        return middle
    slope: np.ndarray = (weights * (times - mean)) @ boxes / spread
    return middle - mean * slope
