"""Windows of consecutive rows, and batches of windows gathered from a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .errors import ConfigError
from .store import FeatureStore
from .timeline import usable


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
        labels: [B, L, 2] float32, NaN where not annotated or padded.
        windows: the B windows.
    """

    features: dict[str, np.ndarray]
    valid: dict[str, np.ndarray]
    mask: np.ndarray
    labels: np.ndarray
    windows: list[Window]


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


def gather(
    store: FeatureStore,
    windows: Sequence[Window],
    streams: Mapping[str, str],
    length: int,
) -> Batch:
    """Copy windows out of the store into one padded batch.

    Args:
        store: where to read.
        windows: B windows of at most `length` rows.
        streams: role -> stream name.
        length: L, rows per window after padding.

    Raises:
        CacheError: rows are missing (see `FeatureStore.read`).
    """
    size = len(windows)
    features = {
        role: np.zeros((size, length, store.dim(stream)), store.dtype(stream))
        for role, stream in streams.items()
    }
    valid = {role: np.zeros((size, length), bool) for role in streams}
    mask = np.zeros((size, length), bool)
    labels = np.full((size, length, 2), np.nan, np.float32)
    for i, window in enumerate(windows):
        rows = slice(window.start, window.stop)
        count = window.stop - window.start
        mask[i, :count] = True
        labels[i, :count] = store.labels(window.video)[rows]
        for role, stream in streams.items():
            features[role][i, :count] = store.read(window.video, stream, window.start, window.stop)
            valid[role][i, :count] = usable(store.status(window.video, stream)[rows])
    return Batch(features, valid, mask, labels, list(windows))
