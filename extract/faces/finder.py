"""Faces of every frame at a fraction of the cost: full detection now and then, tracking between.

Knows pictures and faces, but not whom to follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..media.frames import Frame
from .boxes import area, overlap, pair_up
from .detector import NO_FACES, FaceDetector, Faces

_CUT = 20.0  # mean grey difference (of 255) between successive small images that means a cut
_CUT_BLOCK = 8  # pixels of the detection image averaged into one of the small image
_NEAR = 0.5  # overlap with the place expected that a tracked face must keep
_IMPORTANT = 0.5  # faces of at least this part of the largest one's area must not get lost


@dataclass(frozen=True, eq=False)
class Seen:
    """What was seen in one row.

    Attributes:
        row: index in the timeline.
        time: seconds.
        faces: the faces; none where the row has no picture.
        detected: True if the whole picture was searched, False if faces were tracked.
        shot: counts the cuts up to this row.
        aspect: the picture's width by its height.
    """

    row: int
    time: float
    faces: Faces
    detected: bool
    shot: int
    aspect: float


@dataclass(eq=False)
class _View:
    """A frame on its way; `faces` is None until they are known."""

    row: int
    time: float
    image: np.ndarray | None
    shot: int
    faces: Faces | None = None
    detected: bool = False

    def seen(self) -> Seen:
        height, width = self.image.shape[:2] if self.image is not None else (1, 1)
        faces = self.faces if self.faces is not None else NO_FACES
        return Seen(self.row, self.time, faces, self.detected, self.shot, width / height)


class FaceFinder:
    """Gives the faces of every frame.

    Every k-th picture is searched as a whole. Between two of them a face that is in both is
    expected on the straight line from place to place, and the detector's last network, run there
    alone, gives its true place and a score. Where that does not hold (a face is missing at one
    end, a low score, a place far from the line, a cut) a picture between is searched and the two
    shorter gaps are treated alike, in the end picture by picture. Results do not depend on how
    frames are grouped when they come in.
    """

    def __init__(
        self, detector: FaceDetector, *, every: int, track_score: float, acquire: float
    ) -> None:
        """Start before the first frame.

        Args:
            detector: finds faces in images.
            every: every so many pictures, one is searched as a whole; 1 searches all.
            track_score: score that a tracked face must keep.
            acquire: faces of lower scores may get lost between two searches.
        """
        self._detector = detector
        self._every = every
        self._track_score = track_score
        self._acquire = acquire
        self._known: _View | None = None  # the last picture whose faces are known
        self._waiting: list[_View] = []
        self._small: np.ndarray | None = None
        self._shot = 0
        self._pictures = 0
        self.searches = 0  # pictures searched as a whole so far

    def push(self, frame: Frame, time: float) -> list[Seen]:
        """Add the next row; return what becomes known by it, in order of rows."""
        image = frame.reduced
        if image is not None:
            self._shot += self._cut_before(image)
            self._pictures += 1
        self._waiting.append(_View(frame.row, time, image, self._shot))
        due = image is not None and (self._pictures - 1) % self._every == 0
        return self.finish() if due else []

    def finish(self) -> list[Seen]:
        """Decide all rows that still wait; their last picture is searched."""
        pictures = [view for view in self._waiting if view.image is not None]
        if pictures:
            last = pictures[-1]
            self._search(last)
            if self._known is None:  # frames before the first search: there are none
                assert len(pictures) == 1
            else:
                self._fill(self._known, pictures[:-1], last)
            self._known = last
        waiting, self._waiting = self._waiting, []
        return [view.seen() for view in waiting]

    def _cut_before(self, image: np.ndarray) -> bool:
        """Whether a picture [h, w, 3] differs too much from the one before to continue it."""
        grey = Image.fromarray(image[::2]).reduce((_CUT_BLOCK, _CUT_BLOCK // 2)).convert("L")
        before, self._small = self._small, np.asarray(grey, np.float32)
        if before is None or before.shape != self._small.shape:
            return before is not None
        return float(np.abs(before - self._small).mean()) > _CUT

    def _search(self, view: _View) -> None:
        assert view.image is not None
        view.faces, view.detected = self._detector.detect(view.image), True
        self.searches += 1

    def _fill(self, first: _View, between: Sequence[_View], last: _View) -> None:
        """Find the faces between two pictures whose faces are known."""
        if not between:
            return
        for index, view in enumerate(between):
            if view.shot > (between[index - 1] if index else first).shot:
                self._split(first, between, last, index)  # the first picture of a new shot
                return
        if last.shot > first.shot:
            self._split(first, between, last, len(between) - 1)  # the last one of a shot
            return
        doubtful = self._track(first, between, last)
        if doubtful:
            middle = (len(between) - 1) / 2
            self._split(first, between, last, min(doubtful, key=lambda i: (abs(i - middle), i)))

    def _split(self, first: _View, between: Sequence[_View], last: _View, index: int) -> None:
        middle = between[index]
        self._search(middle)
        self._fill(first, between[:index], middle)
        self._fill(middle, between[index + 1 :], last)

    def _track(self, first: _View, between: Sequence[_View], last: _View) -> list[int]:
        """Set the faces between; the indices of the pictures where that failed."""
        assert first.faces is not None
        assert last.faces is not None
        pairs = pair_up(list(first.faces.boxes), list(last.faces.boxes))
        ends = self._important(first.faces), self._important(last.faces)
        if not ends[0] <= pairs.keys() or not ends[1] <= set(pairs.values()):
            return list(range(len(between)))
        if not pairs:
            for view in between:
                view.faces = NO_FACES
            return []
        lines = [(first.faces.boxes[i], last.faces.boxes[j]) for i, j in pairs.items()]
        needed = np.array([i in ends[0] or j in ends[1] for i, j in pairs.items()])
        shares = [(view.time - first.time) / max(last.time - first.time, 1e-9) for view in between]
        expected = [a + share * (b - a) for share in shares for a, b in lines]
        images = [view.image for view in between for _ in lines if view.image is not None]
        found = self._detector.refine(images, expected)
        near = [overlap(*boxes) >= _NEAR for boxes in zip(found.boxes, expected, strict=True)]
        sound = (np.array(near) & (found.scores >= self._track_score)).reshape(-1, len(lines))
        boxes, scores = (v.reshape(*sound.shape, -1) for v in (found.boxes, found.scores))
        for view, good, places, sure in zip(between, sound, boxes, scores, strict=True):
            view.faces = Faces(places[good], sure[good, 0])
        return np.flatnonzero((~sound & needed).any(axis=1)).tolist()

    def _important(self, faces: Faces) -> set[int]:
        sizes = {
            index: area(box)
            for index, box in enumerate(faces.boxes)
            if faces.scores[index] >= self._acquire
        }
        largest = max(sizes.values(), default=0.0)
        return {index for index, size in sizes.items() if size >= _IMPORTANT * largest}
