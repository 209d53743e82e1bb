"""Numbers the people that an item's crops show, by what the crops look like.

No weights that recognise faces come with vapipe, so a number tells less than a name: the same one
stands for whom nothing tells apart, a new one for whoever cannot be recognised.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import numpy as np
from PIL import Image

_SIDE, _CELL, _ANGLES = 28, 4, 8  # pixels of a crop that are looked at, of a cell; directions
_DARK = 8.0  # grey levels (of 255) that make no edge where all is dark
_FLAT = 0.2  # strength of edges that do not count where there are no others
_ALIKE = 0.5  # less alike than this, successive rows may show two people; the likeness of one ...
_FADING = 0.3  # ... falls by so much in a second, ...
_ALIKE_LATER = 0.35  # ... to this
_DOUBTS = 3  # rows on end that are so unlike what was before that they do show another
_SAME = 0.55  # after a break, more alike than this is the same person
_PEOPLE, _LOOKS = 64, 16  # remembered of an item, and of each of them
_STILL = 0.25  # standard deviations of its levels by which a crop changes for another look
_KNOWN = 0.8  # a look so like one that is remembered adds nothing

T = TypeVar("T")

_COLUMN = np.arange(_SIDE) // _CELL
_BIN = ((_COLUMN[:, None] * (_SIDE // _CELL) + _COLUMN) * (_ANGLES + 1)).ravel()  # the cell's first
_BINS = (_ANGLES + 1) * (_SIDE // _CELL) ** 2
_LENGTH = _ANGLES * (_SIDE // _CELL) ** 2


def levels(crop: np.ndarray) -> np.ndarray:
    """Logarithm of green of a crop [S, S, 3] uint8 made small: [28, 28]."""
    green = Image.fromarray(np.ascontiguousarray(crop[..., 1]))
    small = np.asarray(
        green.resize((_SIDE, _SIDE), Image.Resampling.BOX, reducing_gap=1), np.float32
    )
    return np.log(small + _DARK)


def look(level: np.ndarray) -> np.ndarray:
    """Directions of the edges in each cell of a crop (Dalal & Triggs 2005): [392], of length 1.

    The product of two looks is a correlation. Edges are steps of the logarithm, brought to one
    strength in each cell, so that more or less light changes little.

    Args:
        level: [28, 28], see `levels`.
    """
    across, down = np.zeros((2, _SIDE, _SIDE), np.float32)
    np.subtract(level[:, 2:], level[:, :-2], out=across[:, 1:-1])
    np.subtract(level[2:], level[:-2], out=down[1:-1])
    strength = np.hypot(across, down).ravel()
    angle = (np.arctan2(down, across).ravel() / (2 * np.pi) + 0.5) * _ANGLES  # 0.._ANGLES
    lower = np.minimum(angle.astype(np.intp), _ANGLES - 1)
    upper_part = (angle - lower) * strength
    bins = np.bincount(_BIN + lower, strength - upper_part, _BINS)
    bins += np.bincount(_BIN + lower + 1, upper_part, _BINS)
    cells = bins.reshape(-1, _ANGLES + 1)
    cells[:, 0] += cells[:, -1]  # the same direction
    cells = cells[:, :-1] / (np.linalg.norm(cells[:, :-1], axis=1, keepdims=True) + _FLAT)
    centred = (cells - cells.mean()).ravel()
    return (centred / max(float(np.linalg.norm(centred)), 1e-9)).astype(np.float32)


class _Person:
    """Someone seen before: the last look, and earlier ones that differ."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._looks = np.zeros((1 + _LOOKS, _LENGTH), np.float32)  # the last look first
        self._kept = 0

    def likeness(self, seen: np.ndarray) -> float:
        """Of a look with the likest of those remembered."""
        return float((self._looks @ seen).max())

    def remember(self, seen: np.ndarray) -> None:
        """Keep a look, for as long as not too many newer ones differ from those before."""
        self._looks[0] = seen
        if (self._looks[1:] @ seen).max() < _KNOWN:
            self._looks[1 + self._kept % _LOOKS] = seen
            self._kept += 1


class PeopleNumbers(Generic[T]):
    """Gives every row of an item the number of the person whom it shows.

    Numbers count from 1 as people appear; 0 is nobody. While a face is followed, the number stays
    unless rows on end are unlike all that was seen of the person. After a break (a cut, another
    face) it is that of the person whom the rows are like, or a new one.
    """

    def __init__(self) -> None:
        """Start before the first row."""
        self._people: deque[_Person] = deque(maxlen=_PEOPLE)
        self._count = 0
        self._person: _Person | None = None  # of the rows decided last
        self._path: object = None  # on which the last row lay
        self._time = -np.inf  # of the last crop
        self._levels: np.ndarray | float = np.inf  # of the crop looked at last, their spread, ...
        self._spread, self._look = 0.0, np.zeros(_LENGTH, np.float32)  # ... and the look
        self._waiting: list[tuple[T, np.ndarray | None]] = []
        self._broken = False  # whether those who wait come after a break

    def push(
        self, row: T, path: tuple[int, int] | None, crop: np.ndarray | None, time: float
    ) -> Iterator[tuple[T, int]]:
        """Add the next row; give rows with their numbers, in order, as they are decided.

        Args:
            row: handed back.
            path: of the face, see `FaceRow`; None where there is none.
            crop: [S, S, 3] uint8; None where the face is only supposed there.
            time: seconds.
        """
        if path != self._path:
            yield from self.finish()
            self._path, self._broken = path, True
        if path is None:
            yield row, 0
            return
        seen = None if crop is None else self._look_at(levels(crop))
        if self._broken and seen is not None and self._is_another(seen):
            yield from self.finish()
        if not self._broken and self._person is not None and self._goes_on(seen, time):
            for each, _ in self._waiting:
                yield each, self._person.number
            self._waiting = []
            if seen is not None:
                self._person.remember(seen)
            yield row, self._person.number
        else:
            self._waiting.append((row, seen))
            if sum(each is not None for _, each in self._waiting) == _DOUBTS:
                yield from self.finish()
        if seen is not None:
            self._time = time

    def finish(self) -> Iterator[tuple[T, int]]:
        """Decide the rows that still wait."""
        if not self._waiting:
            return
        looks = [seen for _, seen in self._waiting if seen is not None]
        if self._person is None or self._broken or len(looks) == _DOUBTS:
            self._person = self._recognise(looks)
            for seen in looks:
                self._person.remember(seen)
        for row, _ in self._waiting:
            yield row, self._person.number
        self._waiting, self._broken = [], False

    def _look_at(self, level: np.ndarray) -> np.ndarray:
        """The look of a crop, the last one where it has hardly changed since."""
        if not np.abs(level - self._levels).mean() < _STILL * self._spread:
            self._levels, self._look, self._spread = level, look(level), float(level.std())
        return self._look

    def _goes_on(self, seen: np.ndarray | None, time: float) -> bool:
        """Whether a row shows the person of the rows before, as far as it can be told."""
        if seen is None:
            return not self._waiting
        assert self._person is not None
        least = max(_ALIKE - _FADING * (time - self._time), _ALIKE_LATER)
        return self._person.likeness(seen) >= least

    def _is_another(self, seen: np.ndarray) -> bool:
        """Whether a look is like none of those that wait."""
        looks = [each for _, each in self._waiting if each is not None]
        return bool(looks) and float((np.array(looks) @ seen).max()) < _ALIKE_LATER

    def _recognise(self, looks: Sequence[np.ndarray]) -> _Person:
        """The person whom looks are like, a new one where there is none."""
        likest, most = None, _SAME
        for person in self._people:
            like = max((person.likeness(seen) for seen in looks), default=-1.0)
            if like >= most:
                likest, most = person, like
        if likest is None:
            self._count += 1
            likest = _Person(self._count)
            self._people.append(likest)
        return likest
