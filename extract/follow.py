"""Follows one person's face through a video, given the faces found in every frame.

Pure geometry and time: no images here. Boxes are in units of the image's height.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..cache.timeline import Valid

Side = Literal["left", "right"]

_PROMINENCE_SECONDS = 2.0  # memory of a face's size: a larger one must stay so long to matter
_TAKEOVER = 1.5  # a face takes over when it has been so many times as prominent
_MIN_OVERLAP = 0.2  # intersection over union that makes two boxes the same face
_MAX_SHIFT = 0.6  # or a shift of the centre by less than this part of the side ...
_MAX_GROWTH = 1.8  # ... with a change of size by less than this factor
_MAX_WAITING = 32  # rows whose images may be held while a face is out of sight


@dataclass(frozen=True, eq=False)
class Place:
    """Where the followed face is in one row: box [4] or None, and why."""

    row: int
    box: np.ndarray | None
    code: Valid


@dataclass(eq=False)
class _Track:
    """One face over time."""

    id: int
    box: np.ndarray
    seen: float
    prominence: float = 0.0


@dataclass(frozen=True, eq=False)
class _Row:
    """What was seen in one row: boxes and prominences by track, and the image's aspect."""

    row: int
    time: float
    boxes: dict[int, np.ndarray]
    prominence: dict[int, float]
    aspect: float


class Tracker:
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

    def push(
        self, row: int, time: float, boxes: np.ndarray, scores: np.ndarray, aspect: float
    ) -> _Row:
        """Add the next frame: its faces [n, 4], scores [n], and width by height."""
        step = 0.04 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        self._tracks = [t for t in self._tracks if time - t.seen <= self._patience]
        memory = math.exp(-step / _PROMINENCE_SECONDS)
        for old in self._tracks:
            old.prominence *= memory
        visible = {}
        for index, track in self._match(boxes):
            if track is None:
                if scores[index] < self._acquire:
                    continue
                track = _Track(self._next_id, boxes[index], time)
                self._next_id += 1
                self._tracks.append(track)
            track.box, track.seen = boxes[index], time
            area = float(np.prod(track.box[2:] - track.box[:2]))
            track.prominence += (1 - memory) * area * float(scores[index])
            visible[track.id] = track
        return _Row(
            row,
            time,
            {id_: track.box for id_, track in visible.items()},
            {id_: track.prominence for id_, track in visible.items()},
            aspect,
        )

    def _match(self, boxes: np.ndarray) -> list[tuple[int, _Track | None]]:
        """Every face with its track; None for a new one. The likest pairs go first."""
        likeness = [
            (value, index, place)
            for index, box in enumerate(boxes)
            for place, track in enumerate(self._tracks)
            if (value := _likeness(box, track.box)) is not None
        ]
        owner: dict[int, int] = {}
        for _, index, place in sorted(likeness, key=lambda pair: (-pair[0], pair[1], pair[2])):
            if index not in owner and place not in owner.values():
                owner[index] = place
        return [
            (index, self._tracks[owner[index]] if index in owner else None)
            for index in range(len(boxes))
        ]


def _likeness(box: np.ndarray, other: np.ndarray) -> float | None:
    """Intersection over union less the relative shift; None for boxes of different faces."""
    low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
    shared = float(np.prod(np.clip(high - low, 0, None)))
    area, other_area = (float(np.prod(b[2:] - b[:2])) for b in (box, other))
    overlap = shared / (area + other_area - shared)
    side = math.sqrt(other_area)
    shift = float(np.hypot(*((box[:2] + box[2:]) - (other[:2] + other[2:])))) / 2 / side
    growth = max(area, other_area) / min(area, other_area)
    if overlap < _MIN_OVERLAP and not (shift < _MAX_SHIFT and growth < _MAX_GROWTH**2):
        return None
    return overlap - shift


class Follower:
    """Decides, row by row, which track is the subject.

    The largest face is taken first. It keeps the role while it is seen, unless another has been
    clearly larger for seconds: one who passes close to the camera does not steal it. While it is
    out of sight, rows wait: if it returns within `patience`, its place is interpolated (TRACKED);
    if not, the most prominent face of that time takes the role, from where it was first seen.
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
        self.subject: int | None = None
        self.rival: Follower | None = None  # who follows the other side, if anyone

    def push(self, row: _Row) -> list[Place]:
        """Add the next row; return the places decided by it, in order."""
        if self.subject is None:
            self.subject = self._choose([row])
            if self.subject is None:
                return [Place(row.row, None, Valid.NO_FACE)]
        if self.subject in row.boxes:
            places = self._seen(row)
            self._yield_role(row)
            return places
        self._waiting.append(row)
        assert self._last is not None
        if row.time - self._last[0] <= self._patience and len(self._waiting) < _MAX_WAITING:
            return []
        return self._give_up()

    def finish(self) -> list[Place]:
        """Decide the rows that still wait when the video ends."""
        places = []
        while self._waiting:
            places += self._give_up()
        return places

    def _seen(self, row: _Row) -> list[Place]:
        assert self.subject is not None
        box = row.boxes[self.subject]
        places = []
        for between in self._waiting:
            assert self._last is not None
            time, last = self._last
            share = (between.time - time) / (row.time - time) if row.time > time else 1.0
            places.append(Place(between.row, last + share * (box - last), Valid.TRACKED))
        self._waiting = []
        self._last = (row.time, box)
        return [*places, Place(row.row, box, Valid.DETECTED)]

    def _yield_role(self, row: _Row) -> None:
        """Let a face that has long been much more prominent take over from the next row on."""
        if self._side is not None or self.subject is None:
            return
        rival = max(row.prominence, key=lambda id_: row.prominence[id_])
        if row.prominence[rival] > _TAKEOVER * row.prominence[self.subject]:
            self.subject = rival
            self._last = (row.time, row.boxes[rival])

    def _give_up(self) -> list[Place]:
        """The subject is lost: choose another among the waiting rows and start again there."""
        rows, self._waiting = self._waiting, []
        self._last = None
        self.subject = self._choose(rows)
        places = []
        for row in rows:
            if self._last is None and self.subject not in row.boxes:
                places.append(Place(row.row, None, Valid.NO_FACE))
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
        """Tracks that this follower may take: on its side, and not another follower's."""
        taken = self.rival.subject if self.rival is not None else None
        if self._side is None:
            return [id_ for id_ in row.boxes if id_ != taken]
        main = sorted(row.boxes, key=lambda id_: -row.prominence[id_])[:2]
        if len(main) == 2:
            main.sort(key=lambda id_: float(row.boxes[id_][0] + row.boxes[id_][2]))
            main = [main[0 if self._side == "left" else 1]]
        elif main:
            box = row.boxes[main[0]]
            on_left = float(box[0] + box[2]) / 2 < row.aspect / 2
            main = main if on_left == (self._side == "left") else []
        return [id_ for id_ in main if id_ != taken]
