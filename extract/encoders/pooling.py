"""Averages a sequence of measurements over each video frame's own interval, piece by piece."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_ROWS = 4096  # rows given out at once, at most


class IntervalMean:
    """Means of a piecewise constant signal over the intervals of T rows, with exact weights.

    The signal comes in pieces in order of time, each a sequence of cells [low, high) with a value
    [D]; between pieces there may be holes. Row i covers [edges[i], edges[i+1]), at least
    `shortest`. Its mean is over what of it the cells cover: sum w v / sum w, w the overlaps.
    Nothing but the rows that the last piece touches is kept.
    """

    def __init__(self, edges: np.ndarray, *, dim: int, shortest: float) -> None:
        """Begin.

        Args:
            edges: [T+1] bounds of the rows, never decreasing, in the cells' unit.
            dim: length D of a value.
            shortest: length given to rows that are shorter; above 0.
        """
        self._low = edges[:-1]
        self._high = np.maximum(edges[1:], edges[:-1] + shortest)  # never decreasing either
        self._dim = dim
        self.row = 0  # first row not given out
        self._sums = np.zeros((0, dim))  # of rows row, row + 1, ...
        self._covered = np.zeros(0)

    def push(self, low: np.ndarray, high: np.ndarray, values: np.ndarray) -> None:
        """Add a piece: bounds [m] of cells that follow each other, values [m, D]."""
        first = int(np.searchsorted(self._high, low[0], side="right"))
        first = max(first, self.row)
        last = int(np.searchsorted(self._low, high[-1], side="left"))
        if last <= first:
            return
        self._grow(last - self.row)
        rows = np.arange(first, last)
        start = np.searchsorted(high, self._low[rows], side="right")
        count = np.searchsorted(low, self._high[rows], side="left") - start
        rows, start, count = (part[count > 0] for part in (rows, start, count))
        if not len(rows):
            return
        # All pairs (row, cell) that overlap, row after row.
        bounds = np.concatenate([[0], np.cumsum(count)[:-1]])
        row = np.repeat(rows, count)
        cell = np.arange(len(row)) + np.repeat(start - bounds, count)
        shared = np.minimum(high[cell], self._high[row]) - np.maximum(low[cell], self._low[row])
        self._sums[rows - self.row] += np.add.reduceat(
            values[cell] * shared[:, None], bounds, axis=0
        )
        self._covered[rows - self.row] += np.add.reduceat(shared, bounds)

    def take(self, until: float) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give out the rows that end at or before `until`, in order.

        Yields:
            Means [n, D] (zeros where nothing covers a row), covered part [n] in 0..1.
        """
        stop = int(np.searchsorted(self._high, until, side="right"))
        while self.row < stop:
            count = min(_ROWS, stop - self.row)
            self._grow(count)
            sums, covered = self._sums[:count], self._covered[:count]
            rows = slice(self.row, self.row + count)
            self._sums, self._covered = self._sums[count:], self._covered[count:]
            self.row += count
            means = np.divide(
                sums, covered[:, None], out=np.zeros_like(sums), where=covered[:, None] > 0
            )
            yield means, covered / (self._high[rows] - self._low[rows])

    def _grow(self, count: int) -> None:
        """Have sums of at least `count` rows."""
        more = max(0, count - len(self._covered))
        self._sums = np.concatenate([self._sums, np.zeros((more, self._dim))])
        self._covered = np.concatenate([self._covered, np.zeros(more)])
