"""Faces of every frame at a fraction of the cost: full detection now and then, tracking between.

Knows pictures and faces, but not whom to follow.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..media.frames import Frame
from ..stages import timed
from .detector import NO_FACES, FaceDetector, Faces
from .gap import Gap

_CUT = 20.0  # mean grey difference (of 255) between successive small images that means a cut
_CUT_BLOCK = 8  # pixels of the detection image averaged into one of the small image
_SEARCHED = 8  # pictures searched together
_AHEAD = 80  # rows that wait for it at most, and the bytes of their pictures
_AHEAD_BYTES = 1 << 26
_LOOKS = 4  # times a face is looked for from the places where it was found so far


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
    due: bool = False
    faces: Faces | None = None
    detected: bool = False

    def seen(self) -> Seen:
        height, width = self.image.shape[:2] if self.image is not None else (1, 1)
        faces = self.faces if self.faces is not None else NO_FACES
        return Seen(self.row, self.time, faces, self.detected, self.shot, width / height)


class FaceFinder:
    """Gives the faces of every frame.

    Every k-th picture is searched as a whole. Between two of them a face is looked for by the
    detector's last network alone, first on the straight line from place to place, then from where
    it was found. Where that fails (a face is lost, a low score, a place far from that expected) the
    picture in question is searched and the shorter gaps are treated alike. Both sides of a cut are
    searched. Many gaps are treated at once. Results do not depend on how frames come in.
    """

    def __init__(
        self,
        detector: FaceDetector,
        *,
        every: int,
        track_score: float,
        acquire: float,
        ahead: int = _AHEAD,
    ) -> None:
        """Start before the first frame.

        Args:
            detector: finds faces in images.
            every: every so many pictures, one is searched as a whole; 1 searches all.
            track_score: score that a tracked face must keep.
            acquire: faces of lower scores may get lost between two searches.
            ahead: rows that may wait for others to be treated with.
        """
        self._detector = detector
        self._every = every
        self._track_score = track_score
        self._acquire = acquire
        self._ahead = ahead
        self._known: _View | None = None  # the last picture whose faces are known
        self._waiting: list[_View] = []
        self._small: np.ndarray | None = None
        self._shot = 0
        self._pictures = 0
        self.searches = 0  # pictures searched as a whole so far

    def push(self, frame: Frame, time: float) -> list[Seen]:
        """Add the next row; return what becomes known by it, in order of rows."""
        image = frame.reduced
        if image is None:
            self._waiting.append(_View(frame.row, time, None, self._shot))
            return []
        self._shot += self._cut_before(image)
        due = self._pictures % self._every == 0
        self._pictures += 1
        self._waiting.append(_View(frame.row, time, image, self._shot, due))
        return self.finish() if due and self._is_enough(image) else []

    def finish(self) -> list[Seen]:
        """Decide all rows that still wait; their last picture is searched."""
        pictures = [view for view in self._waiting if view.image is not None]
        if pictures:
            pictures[-1].due = True
            self._search([view for view in pictures if view.due])
            self._fill(_between([self._known, *pictures] if self._known else pictures))
            self._known = pictures[-1]
        waiting, self._waiting = self._waiting, []
        return [view.seen() for view in waiting]

    def _is_enough(self, image: np.ndarray) -> bool:
        """Whether as many pictures wait for a search as go together."""
        ahead = min(self._ahead, _AHEAD_BYTES // image.nbytes)
        return sum(view.due for view in self._waiting) >= min(_SEARCHED, ahead // self._every)

    def _cut_before(self, image: np.ndarray) -> bool:
        """Whether a picture [h, w, 3] differs too much from the one before to continue it."""
        grey = Image.fromarray(image[::2]).reduce((_CUT_BLOCK, _CUT_BLOCK // 2)).convert("L")
        before, self._small = self._small, np.asarray(grey, np.float32)
        if before is None or before.shape != self._small.shape:
            return before is not None
        return float(np.abs(before - self._small).mean()) > _CUT

    def _search(self, views: Sequence[_View]) -> None:
        """Search pictures as a whole, those of one shape together."""
        shapes = dict.fromkeys(view.image.shape for view in views if view.image is not None)
        with timed("search"):
            for shape in shapes:
                alike = [v for v in views if v.image is not None and v.image.shape == shape]
                images = [view.image for view in alike if view.image is not None]
                for view, faces in zip(alike, self._detector.detect(images), strict=True):
                    view.faces, view.detected = faces, True
        self.searches += len(views)

    def _fill(self, spans: list[list[_View]]) -> None:
        """Find the faces between pictures whose faces are known: the ends of each span."""
        while spans:
            due = [view for span in spans for view in _beside_cuts(span)]
            due += self._track([span for span in spans if span[0].shot == span[-1].shot])
            if due:
                self._search(due)
            spans = [part for span in spans for part in _between(span)]

    def _track(self, spans: Sequence[Sequence[_View]]) -> list[_View]:
        """Set the faces between the ends of spans; the pictures where that failed."""
        gaps = [self._gap(span) for span in spans]
        for _ in range(_LOOKS):
            looks = [gap.expected() for gap in gaps]
            images = [
                image
                for span, mine in zip(spans, looks, strict=True)
                for _, picture, _ in mine
                if (image := span[picture].image) is not None
            ]
            if not images:
                break
            with timed("track"):
                found = self._detector.refine(images, [box for mine in looks for _, _, box in mine])
            start = 0
            for gap, mine in zip(gaps, looks, strict=True):
                part = slice(start, start + len(mine))
                gap.see(mine, Faces(found.boxes[part], found.scores[part]))
                start += len(mine)
        doubtful = []
        for span, gap in zip(spans, gaps, strict=True):
            if (lost := gap.doubtful()) is not None:
                doubtful.append(span[lost])
                continue
            for picture, view in enumerate(span[1:-1], start=1):
                view.faces = gap.faces(picture)
        return doubtful

    def _gap(self, span: Sequence[_View]) -> Gap:
        first, last = span[0].faces, span[-1].faces
        assert first is not None
        assert last is not None
        return Gap(
            (first, last),
            [view.time for view in span],
            track_score=self._track_score,
            acquire=self._acquire,
        )


def _between(views: Sequence[_View]) -> list[list[_View]]:
    """The stretches of pictures whose faces are not known yet, with the known ones around them."""
    known = [index for index, view in enumerate(views) if view.faces is not None]
    return [
        list(views[begin : end + 1]) for begin, end in itertools.pairwise(known) if end > begin + 1
    ]


def _beside_cuts(span: Sequence[_View]) -> list[_View]:
    """The pictures on both sides of cuts that are not searched yet."""
    cuts = [(a, b) for a, b in itertools.pairwise(span) if b.shot > a.shot]
    return [view for pair in cuts for view in pair if view.faces is None]
