"""Everyone who is followed in a video: from frames to smoothed places of each item's face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..dataset import Subject
from ..media.frames import Frame
from ..media.probe import MediaInfo
from .boxes import area
from .finder import FaceFinder, Seen
from .follow import FaceLinker, FaceRow, Side, Tracker
from .smooth import Smoother

_RIVAL = 0.3  # of the largest face's area, of which another one may be meant


class SubjectTracks:
    """Follows all subjects. Both sides are, even if one is asked for: each knows the other."""

    def __init__(
        self,
        info: MediaInfo,
        finder: FaceFinder,
        subjects: Sequence[Subject],
        *,
        patience: float,
        acquire: float,
        smooth: float,
    ) -> None:
        """Start before the first frame.

        Args:
            info: the probed video.
            finder: gives the faces of its frames.
            subjects: whom to follow.
            patience: seconds for which rows may wait for a lost face.
            acquire: score that a face needs to be followed.
            smooth: seconds over which boxes are smoothed.
        """
        self._pts = info.timeline.pts
        self._finder = finder
        patience = max(patience, 3 / info.timeline.fps)  # some rows, however slow the video
        self._linker = FaceLinker(patience=patience, acquire=acquire)
        left = Tracker(patience=patience, side="left")
        right = Tracker(patience=patience, side="right")
        left.rival, right.rival = right, left
        self._trackers: dict[Side | None, Tracker] = {
            None: Tracker(patience=patience),
            "left": left,
            "right": right,
        }
        self.items = {subject.id: subject.side for subject in subjects}
        self._smoothers = {item: Smoother(width=smooth) for item in self.items}
        self._placed = dict.fromkeys(self.items, 0)
        self.rivalled = 0  # rows with a second sure face that is not much smaller
        self._acquire = acquire

    @property
    def settled(self) -> int:
        """All rows before this one have a place for everyone."""
        return min(self._placed.values())

    def push(self, frame: Frame) -> Iterator[tuple[str, FaceRow]]:
        """Add the next frame; give items and places decided by it, rows of an item in order."""
        yield from self._follow(self._finder.push(frame, float(self._pts[frame.row])))

    def finish(self) -> Iterator[tuple[str, FaceRow]]:
        """The places of the rows that still wait at the end."""
        yield from self._follow(self._finder.finish())
        yield from self._smooth({side: f.finish() for side, f in self._trackers.items()})
        for item, smoother in self._smoothers.items():
            for place in smoother.finish():
                self._placed[item] += 1
                yield item, place

    def _follow(self, rows: Sequence[Seen]) -> Iterator[tuple[str, FaceRow]]:
        for seen in rows:
            sizes = sorted(map(area, seen.faces.boxes[seen.faces.scores >= self._acquire]))
            self.rivalled += len(sizes) > 1 and sizes[-2] >= _RIVAL * sizes[-1]
            row = self._linker.push(seen)
            yield from self._smooth({side: f.push(row) for side, f in self._trackers.items()})

    def _smooth(self, places: Mapping[Side | None, list[FaceRow]]) -> Iterator[tuple[str, FaceRow]]:
        for item, side in self.items.items():
            for raw in places[side]:
                for place in self._smoothers[item].push(raw, float(self._pts[raw.row])):
                    self._placed[item] += 1
                    yield item, place
