"""Which share of a video is done: rows of its streams, by what such rows have cost so far."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from ..progress import tell

_EXPECTED = {"visual": 1.0, "audio": 0.1}  # cost of a row, as long as none of the kind was made
_seconds: dict[str, float] = {}  # modality -> what its rows have cost in this process, altogether
_rows: dict[str, int] = {}


class VideoShare:
    """Counts the rows of one video, and tells how many frames of it that comes to."""

    def __init__(self, frames: int, units: Iterable[str]) -> None:
        """Take the number of frames, and the modality of every shard that is written."""
        self._frames, self._highest = frames, 0.0
        self._left = dict.fromkeys(_EXPECTED, 0)
        for modality in units:
            self._left[modality] += frames
        self._done = dict.fromkeys(self._left, 0)

    def count(
        self, modality: str, blocks: Iterator[tuple[str, str, Any, Any]]
    ) -> Iterator[tuple[str, str, Any, Any]]:
        """Pass blocks of rows (stream, owner, features, codes) on."""
        began = time.perf_counter()
        for block in blocks:
            yield block
            now, rows = time.perf_counter(), len(block[3])
            _seconds[modality] = _seconds.get(modality, 0.0) + now - began
            _rows[modality] = _rows.get(modality, 0) + rows
            self._done[modality] += rows
            self._left[modality] -= rows
            began = now
            tell(round(self._frames * self._share()), self._frames, "frames")

    def _share(self) -> float:
        """Never less than before."""
        cost = {kind: _seconds[kind] / _rows[kind] for kind in _rows if _rows[kind]}
        unit = max((cost[kind] / _EXPECTED[kind] for kind in cost), default=1.0)
        cost = {kind: unit * expected for kind, expected in _EXPECTED.items()} | cost
        done = sum(cost[kind] * rows for kind, rows in self._done.items())
        left = sum(cost[kind] * rows for kind, rows in self._left.items())
        self._highest = max(self._highest, done / (done + left) if done + left else 1.0)
        return self._highest
