"""The faces between two searched pictures: where to expect them, and where one got lost.

Pure geometry and time: no images here. Pictures are counted from 0, the first searched one, to
n + 1, the second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .boxes import area, overlap, pair_up
from .detector import FACE, Faces

_NEAR = 0.5  # overlap with the place expected that a tracked face must keep
_SAME = 0.5  # overlap of two boxes of one face
_IMPORTANT = 0.5  # faces of at least this part of the largest one's area must not get lost


class Gap:
    """Tracks the faces of its ends: those of both, and the important ones of either.

    A face of both ends is expected on straight lines between the places where it is known, one of
    a single end where it was last known.
    """

    def __init__(
        self,
        ends: tuple[Faces, Faces],
        times: Sequence[float],
        *,
        track_score: float,
        acquire: float,
    ) -> None:
        """Start with the ends alone.

        Args:
            ends: faces of the first and the second searched picture.
            times: [n + 2] seconds of all pictures.
            track_score: score that a tracked face must keep.
            acquire: faces of lower scores may get lost.
        """
        self._times, self._track_score = times, track_score
        pairs = pair_up(list(ends[0].boxes), list(ends[1].boxes))
        before, after = (_important(faces, acquire) for faces in ends)
        lines: list[tuple[int | None, int | None, bool]] = [
            (i, j, i in before or j in after) for i, j in pairs.items()
        ]
        lines += [(i, None, True) for i in sorted(before - pairs.keys())]
        lines += [(None, j, True) for j in sorted(after - set(pairs.values()))]
        self._lines = [
            _Line(
                None if i is None else ends[0].boxes[i],
                None if j is None else ends[1].boxes[j],
                needed=needed,
                count=len(times),
            )
            for i, j, needed in lines
        ]

    def expected(self) -> list[tuple[int, int, np.ndarray]]:
        """Line, picture and place of every face that is worth a look (again)."""
        return [
            (number, picture, line.expected(picture, self._times))
            for number, line in enumerate(self._lines)
            if line.open
            for picture in (np.flatnonzero(~line.sound[1:-1]) + 1).tolist()
        ]

    def see(self, looks: Sequence[tuple[int, int, np.ndarray]], found: Faces) -> None:
        """Take in what is at the places that `expected` gave."""
        before = [int(line.sound.sum()) for line in self._lines]
        for (number, picture, place), box, score in zip(
            looks, found.boxes, found.scores, strict=True
        ):
            if score >= self._track_score and overlap(box, place) >= _NEAR:
                line = self._lines[number]
                line.sound[picture], line.boxes[picture], line.scores[picture] = True, box, score
        for line, known in zip(self._lines, before, strict=True):
            line.close(known)

    def doubtful(self) -> int | None:
        """The picture to search, since a face got lost there; None where none did."""
        lost = {
            int(picture)
            for line in self._lines
            if line.needed
            for picture in line.lost()
            if not self._goes_on(line, picture)
        }
        middle = (len(self._times) - 1) / 2
        return min(lost, key=lambda picture: (abs(picture - middle), picture), default=None)

    def _goes_on(self, line: _Line, picture: int) -> bool:
        """Whether a face of one end is in another line beyond: it moved too far to be paired."""
        if line.both:
            return False
        known = picture - 1 if line.sound[0] else picture + 1
        return any(
            other is not line
            and other.sound[picture]
            and other.sound[known]
            and overlap(other.boxes[known], line.boxes[known]) >= _SAME
            for other in self._lines
        )

    def faces(self, picture: int) -> Faces:
        """The faces found in a picture between."""
        kept: list[_Line] = []
        for line in self._lines:
            if line.sound[picture] and not any(
                overlap(line.boxes[picture], other.boxes[picture]) >= _SAME for other in kept
            ):
                kept.append(line)
        boxes = np.array([line.boxes[picture] for line in kept]).reshape(-1, FACE)
        return Faces(boxes, np.array([line.scores[picture] for line in kept]))


class _Line:
    """One face through all pictures; `sound` where its place is known."""

    def __init__(
        self, first: np.ndarray | None, last: np.ndarray | None, *, needed: bool, count: int
    ) -> None:
        self.needed, self.both = needed, first is not None and last is not None
        self.open = True
        self.boxes, self.scores = np.zeros((count, FACE)), np.zeros(count)
        self.sound = np.zeros(count, bool)
        for index, box in ((0, first), (-1, last)):
            if box is not None:
                self.boxes[index], self.sound[index] = box, True

    def expected(self, picture: int, times: Sequence[float]) -> np.ndarray:
        """The place [14] between the nearest ones that are known, or at the nearest one."""
        below, above = np.flatnonzero(self.sound[:picture]), np.flatnonzero(self.sound[picture:])
        if not len(above):
            return self.boxes[below[-1]]
        end = picture + above[0]
        if not len(below):
            return self.boxes[end]
        begin = below[-1]
        share = (times[picture] - times[begin]) / max(times[end] - times[begin], 1e-9)
        return self.boxes[begin] + share * (self.boxes[end] - self.boxes[begin])

    def close(self, known: int) -> None:
        """Stop looking where nothing new was found, all is, or nobody needs more."""
        if not self.both:  # a face of one end is followed from there, without jumps
            way = slice(None) if self.sound[0] else slice(None, None, -1)
            self.sound[way] = np.logical_and.accumulate(self.sound[way])
        self.open = self.needed and int(self.sound.sum()) > known and not self.sound[1:-1].all()

    def lost(self) -> np.ndarray:
        """Pictures where the face should be and is not; of one end's faces, the nearest one."""
        missing = np.flatnonzero(~self.sound[1:-1]) + 1
        if self.both:
            return missing
        return missing[:1] if self.sound[0] else missing[-1:]


def _important(faces: Faces, acquire: float) -> set[int]:
    sizes = {
        index: area(box) for index, box in enumerate(faces.boxes) if faces.scores[index] >= acquire
    }
    largest = max(sizes.values(), default=0.0)
    return {index for index, size in sizes.items() if size >= _IMPORTANT * largest}
