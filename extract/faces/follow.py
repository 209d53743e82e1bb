"""Follows one person's face through a video, given the faces found in every frame.

Pure geometry and time: no images here. Boxes are in units of the image's height; the five points
and the score follow a box's four numbers and go along with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ...cache.timeline import Valid
from .boxes import area, pair_up

if TYPE_CHECKING:
    from .finder import Seen

Side = Literal["left", "right"]

_PROMINENCE_SECONDS = 2.0  # memory of a face's size: a larger one must stay so long to matter
_TAKEOVER = 1.5  # a face takes over when it has been so many times as prominent
_MAX_WAITING = 32  # rows whose images may be held while a face is out of sight


@dataclass(frozen=True, eq=False)
class FaceRow:
    """Where the followed face is in one row.

    Attributes:
        row: index in the timeline.
        box: [4 or more], or None.
        code: why there is a box or none.
        path: track and shot; successive rows of one path show one continuous movement.
        seen: whether the face was found there; False where its place is only supposed.
    """

    row: int
    box: np.ndarray | None
    code: Valid
    path: tuple[int, int] | None = None
    seen: bool = True


@dataclass(eq=False)
class _Track:
    """One face over time."""

    id: int
    box: np.ndarray
    seen: float
    prominence: float = 0.0


@dataclass(frozen=True, eq=False)
class _Row:
    """What was seen in one row, boxes and prominences by track."""

    seen: Seen
    boxes: dict[int, np.ndarray]
    prominence: dict[int, float]


class FaceLinker:
    """Links the faces of successive frames into tracks."""

    def __init__(self, *, patience: float, acquire: float) -> None:
        """Start without tracks.

        Args:
            patience: seconds after which a track that is not seen ends.
            acquire: score that a face needs to start a track; any goes on with one.
        """
        self._patience = patience
        self._acquire = acquire
        self._tracks: list[_Track] = []
        self._time: float | None = None
        self._next_id = 0

    def push(self, seen: Seen) -> _Row:
        """Add what was seen in the next row."""
        time, scores = seen.time, seen.faces.scores
        boxes = np.column_stack([seen.faces.boxes, scores])
        step = 0.04 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        self._tracks = [t for t in self._tracks if time - t.seen <= self._patience]
        memory = math.exp(-step / _PROMINENCE_SECONDS)
        for old in self._tracks:
            old.prominence *= memory
        visible = {}
        owner = pair_up(list(boxes), [track.box for track in self._tracks])
        for index in range(len(boxes)):
            if index in owner:
                track = self._tracks[owner[index]]
            elif scores[index] < self._acquire:
                continue
            else:
                track = _Track(self._next_id, boxes[index], time)
                self._next_id += 1
                self._tracks.append(track)
            track.box, track.seen = boxes[index], time
            track.prominence += (1 - memory) * area(track.box) * float(scores[index])
            visible[track.id] = track
        return _Row(
            seen,
            {id_: track.box for id_, track in visible.items()},
            {id_: track.prominence for id_, track in visible.items()},
        )


class Tracker:
    """Decides, row by row, which track is the subject.

    The largest face is taken first. It keeps the role while it is seen, unless another has been
    clearly larger for seconds: one who passes close to the camera does not steal it. While it is
    out of sight, rows wait: if it returns within `patience`, its place is interpolated (TRACKED);
    if not, the most prominent face of that time takes the role, from where it was first seen.
    Nobody is waited for across a cut.
    """

    def __init__(
        self,
        *,
        patience: float,
        side: Side | None = None,
    ) -> None:
        """Follow the face on one side of the image, or the main one.

        Args:
            patience: seconds for which rows may wait for a lost face.
            side: "left" or "right" as seen in the image; None follows the main face.
        """
        self._patience = patience
        self._side = side
        self._waiting: list[_Row] = []
        self._last: tuple[float, np.ndarray] | None = None  # when and where the subject was seen
        self._shot = 0
        self.subject: int | None = None
        self.rival: Tracker | None = None  # who follows the other side, if anyone

    def push(self, row: _Row) -> list[FaceRow]:
        """Add the next row; return the places decided by it, in order."""
        if row.seen.shot == self._shot:
            return self._push(row)
        before = self.finish()
        self._shot, self._last = row.seen.shot, None
        if self.subject not in row.boxes:
            self.subject = None
        return [*before, *self._push(row)]

    def _push(self, row: _Row) -> list[FaceRow]:
        if self.subject is None:
            self.subject = self._choose([row])
            if self.subject is None:
                return [FaceRow(row.seen.row, None, Valid.NO_FACE)]
        if self.subject in row.boxes:
            places = self._seen(row)
            self._yield_role(row)
            return places
        self._waiting.append(row)
        assert self._last is not None
        if row.seen.time - self._last[0] <= self._patience and len(self._waiting) < _MAX_WAITING:
            return []
        return self._give_up()

    def finish(self) -> list[FaceRow]:
        """Decide the rows that still wait when the video ends."""
        places = []
        while self._waiting:
            places += self._give_up()
        return places

    def _seen(self, row: _Row) -> list[FaceRow]:
        assert self.subject is not None
        now, box = row.seen, row.boxes[self.subject]
        places = []
        for between in (waiting.seen for waiting in self._waiting):
            assert self._last is not None
            time, last = self._last
            share = (between.time - time) / (now.time - time) if now.time > time else 1.0
            supposed, path = last + share * (box - last), (self.subject, between.shot)
            places.append(FaceRow(between.row, supposed, Valid.TRACKED, path, seen=False))
        self._waiting = []
        self._last = (now.time, box)
        code = Valid.DETECTED if now.detected else Valid.TRACKED
        return [*places, FaceRow(now.row, box, code, (self.subject, now.shot))]

    def _yield_role(self, row: _Row) -> None:
        """Let a face that has long been much more prominent take over from the next row on."""
        if self._side is not None or self.subject is None:
            return
        rival = max(row.prominence, key=lambda id_: row.prominence[id_])
        if row.prominence[rival] > _TAKEOVER * row.prominence[self.subject]:
            self.subject = rival
            self._last = (row.seen.time, row.boxes[rival])

    def _give_up(self) -> list[FaceRow]:
        """The subject is lost: choose another among the waiting rows and start again there."""
        rows, self._waiting = self._waiting, []
        self._last = None
        self.subject = self._choose(rows)
        places = []
        for row in rows:
            if self._last is None and self.subject not in row.boxes:
                places.append(FaceRow(row.seen.row, None, Valid.NO_FACE))
            elif self.subject in row.boxes:
                places += self._seen(row)
            else:
                self._waiting.append(row)
        return places

    def _choose(self, rows: list[_Row]) -> int | None:
        """The track to follow from these rows on, None where none is eligible."""
        prominence: dict[int, float] = {}
        for row in rows:
            for id_ in self._eligible(row):
                prominence[id_] = row.prominence[id_]
        return max(prominence, key=lambda id_: prominence[id_], default=None)

    def _eligible(self, row: _Row) -> list[int]:
        """Tracks that this tracker may take: on its side, and not another tracker's."""
        taken = self.rival.subject if self.rival is not None else None
        if self._side is None:
            return [id_ for id_ in row.boxes if id_ != taken]
        main = sorted(row.boxes, key=lambda id_: -row.prominence[id_])[:2]
        if len(main) == 2:
            main.sort(key=lambda id_: float(row.boxes[id_][0] + row.boxes[id_][2]))
            main = [main[0 if self._side == "left" else 1]]
        elif main:
            box = row.boxes[main[0]]
            on_left = float(box[0] + box[2]) / 2 < row.seen.aspect / 2
            main = main if on_left == (self._side == "left") else []
        return [id_ for id_ in main if id_ != taken]
