"""Windows of consecutive rows, and batches of windows gathered from a store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError
from .store import FeatureStore
from .timeline import usable

POLICIES = ("map", "ram")
_ITEMS_KEPT = 4096  # whose rows stay mapped by a reader; a process may map 65,530 regions
Allocate = Callable[[tuple[int, ...], np.dtype], np.ndarray]


@dataclass(frozen=True)
class Window:
    """Rows [start, stop) of one item."""

    video: str
    start: int
    stop: int


@dataclass(frozen=True)
class Batch:
    """B windows padded to L rows.

    Attributes:
        features: role -> [B, L, D], zeros where padded.
        valid: role -> [B, L] bool, usable rows.
        mask: [B, L] bool, False where padded.
        labels: [B, L, targets] float32, NaN where not annotated or padded.
        windows: the B windows.
    """

    features: dict[str, np.ndarray]
    valid: dict[str, np.ndarray]
    mask: np.ndarray
    labels: np.ndarray
    windows: list[Window]

    def first(self, count: int) -> Batch:
        """The first `count` windows, as views."""
        return Batch(
            {role: values[:count] for role, values in self.features.items()},
            {role: values[:count] for role, values in self.valid.items()},
            self.mask[:count],
            self.labels[:count],
            self.windows[:count],
        )


@dataclass(frozen=True)
class _Rows:
    """All rows of one item, ready to be copied from."""

    features: list[np.ndarray]
    valid: list[np.ndarray]
    labels: np.ndarray


def cut_windows(n_rows: int, length: int = 300, stride: int = 200) -> list[tuple[int, int]]:
    """Bounds of the windows over `n_rows` rows.

    Windows start every `stride` rows as long as they fit; one more ends at the last row when rows
    would be left over. Fewer than `length` rows make one short window.

    Raises:
        ConfigError: the stride would leave rows out, or a number is not positive.
    """
    if not (0 < stride <= length and n_rows > 0):
        raise ConfigError(
            f"windows need 0 < stride <= length and at least one row; "
            f"got stride {stride}, length {length}, {n_rows} rows"
        )
    if n_rows <= length:
        return [(0, n_rows)]
    starts = list(range(0, n_rows - length + 1, stride))
    if starts[-1] + length < n_rows:
        starts.append(n_rows - length)
    return [(start, start + length) for start in starts]


class WindowReader:
    """Copies windows of a store into batches, again and again, without allocating.

    Two sets of buffers are used in turn: a batch stays as it is until the read after the next, so
    that a copy to a device may still run while the next batch is gathered.
    """

    def __init__(
        self,
        store: FeatureStore,
        streams: Mapping[str, str],
        *,
        length: int,
        batch: int,
        policy: str = "map",
        allocate: Allocate = np.empty,
        delay: float = 0.0,
        targets: Sequence[str] | None = None,
    ) -> None:
        """Prepare to read.

        Args:
            length: L, rows per window after padding.
            batch: most windows per batch.
            policy: `map` copies from the mapped shards (the page cache is shared between
                processes); `ram` keeps a private copy of every item once it was read.
            allocate: makes the buffers; for pinned memory.
            delay: of the labels, in seconds, as in `FeatureStore.labels`.
            targets: whose labels; None for all that the cache has.
        """
        if policy not in POLICIES:
            raise ConfigError(f"memory policy `{policy}` is none of {', '.join(POLICIES)}")
        self._store = store
        self._streams = dict(streams)
        self._length = length
        self._policy = policy
        self._delay = delay
        self._targets = tuple(store.targets() if targets is None else targets)
        self._rows: dict[tuple[str, tuple[str, ...]], _Rows] = {}
        self._buffers = [self._buffer(batch, allocate) for _ in range(2)]

    def _buffer(self, batch: int, allocate: Allocate) -> Batch:
        shape = (batch, self._length)
        return Batch(
            {
                role: allocate((*shape, self._store.dim(name)), self._store.dtype(name))
                for role, name in self._streams.items()
            },
            {role: allocate(shape, np.dtype(bool)) for role in self._streams},
            allocate(shape, np.dtype(bool)),
            allocate((*shape, len(self._targets)), np.dtype(np.float32)),
            [],
        )

    def read(
        self, windows: Sequence[Window], streams: Sequence[Mapping[str, str]] | None = None
    ) -> Batch:
        """Copy windows into the buffers that were used longer ago.

        Args:
            windows: at most `batch` windows of at most `length` rows.
            streams: for each window, role -> a stream of the same width and precision to read in
                place of the usual one (another view).

        Returns:
            Views of the buffers, valid until the read after the next.

        Raises:
            CacheError: rows are missing (see `FeatureStore.read`).
        """
        self._buffers.reverse()
        batch = self._buffers[0].first(len(windows))
        batch.windows.extend(windows)
        features, valid = list(batch.features.values()), list(batch.valid.values())
        for i, window in enumerate(windows):
            names = tuple((streams[i] if streams else self._streams).values())
            rows = self._rows.get((window.video, names)) or self._load(window.video, names)
            start, stop = window.start, window.stop
            count = stop - start
            for target, values in zip(features, rows.features, strict=True):
                target[i, :count] = values[start:stop]
            for target, values in zip(valid, rows.valid, strict=True):
                target[i, :count] = values[start:stop]
            batch.labels[i, :count] = rows.labels[start:stop]
            batch.mask[i, :count] = True
            if count < self._length:
                for target in (*features, *valid, batch.mask):
                    target[i, count:] = 0
                batch.labels[i, count:] = np.nan
        return batch

    def _load(self, video: str, names: tuple[str, ...]) -> _Rows:
        if self._policy == "map" and len(self._rows) >= _ITEMS_KEPT:
            self._rows.clear()
        keep = np.array if self._policy == "ram" else np.asarray
        rows = self._rows[video, names] = _Rows(
            [keep(self._store.read(video, name)) for name in names],
            [usable(self._store.status(video, name)) for name in names],
            keep(self._store.labels(video, self._targets, delay=self._delay)),
        )
        return rows


def gather(
    store: FeatureStore, windows: Sequence[Window], streams: Mapping[str, str], length: int
) -> Batch:
    """Copy windows out of the store into one new padded batch.

    Args:
        windows: B windows of at most `length` rows.
        length: L, rows per window after padding.

    Raises:
        CacheError: rows are missing (see `FeatureStore.read`).
    """
    reader = WindowReader(store, streams, length=length, batch=len(windows))
    return reader.read(windows)
