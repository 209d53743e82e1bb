"""Sound around the frames of a timeline, from blocks in order of time; only what is needed stays.

Which rows have sound is decided here for every encoder with a network, as `logmel` decides it:
by half of the frame's own interval.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from ...cache.timeline import Timeline, Valid, usable
from ..media import RATE, SILENT

if TYPE_CHECKING:
    from ..media.audio import AudioBlock

_ROWS = 64  # rows given out at once, at most
_SPAN = 60 * RATE  # samples that rows given out at once span, at most
_EVER = np.iinfo(np.int64).max


class Sound:
    """Samples by their place on the clock; silence in holes and outside."""

    def __init__(self) -> None:
        self._blocks: list[AudioBlock] = []

    def append(self, block: AudioBlock) -> None:
        """Add what follows."""
        self._blocks.append(block)

    def cut(self, first: int, stop: int) -> np.ndarray:
        """Samples [first, stop), [stop - first] float32."""
        samples = np.zeros(stop - first, np.float32)
        for block in self._blocks:
            low, high = max(first, block.start), min(stop, block.stop)
            if low < high:
                part = block.samples[low - block.start : high - block.start]
                samples[low - first : high - first] = part
        return samples

    def forget(self, before: float) -> None:
        """Drop blocks that end before a sample."""
        self._blocks = [block for block in self._blocks if block.stop > before]


class Run(Sound):
    """Sound without a hole.

    Attributes:
        start: place of its first sample.
        stop: place after the last sample so far.
    """

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = self.stop = start

    def append(self, block: AudioBlock) -> None:
        """Add what follows."""
        super().append(block)
        self.stop = block.stop


_R = TypeVar("_R", bound=Run)


def in_runs(blocks: Iterable[AudioBlock], begin: Callable[[int], _R]) -> Iterator[tuple[_R, bool]]:
    """The run of each block that has been added to it, and once more when it has ended.

    Args:
        blocks: in order of time; where there is a hole a new run begins.
        begin: makes a run that begins at a sample.

    Yields:
        The run, and whether it has ended.
    """
    run: _R | None = None
    for block in chain(blocks, [None]):
        if run is not None and (block is None or block.start != run.stop):
            yield run, True
            run = None
        if block is not None:
            run = run or begin(block.start)
            run.append(block)
            yield run, False


class Heard:
    """Which part of each row's interval has sound.

    Attributes:
        low: [T] where the intervals begin, in samples.
        high: [T] where they end, at least one sample later.
        known: sample up to which all sound has come.
    """

    def __init__(self, timeline: Timeline) -> None:
        edges = timeline.edges() * RATE
        self.low = edges[:-1]
        self.high = np.maximum(edges[1:], self.low + 1)
        self.known = -_EVER
        self._covered = np.zeros(len(timeline))
        self._peaks = np.zeros(len(timeline))

    def listen(self, blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
        """Hand blocks on and note what they cover; after the last one, everything is known."""
        for block in blocks:
            first = int(np.searchsorted(self.high, block.start, side="right"))
            last = int(np.searchsorted(self.low, block.stop, side="left"))
            inside = slice(first, max(first, last))
            begin = np.maximum(self.low[inside], block.start)
            end = np.minimum(self.high[inside], block.stop)
            self._covered[inside] += np.maximum(end - begin, 0)
            peaks = _peaks(block.samples, begin - block.start, end - block.start)
            self._peaks[inside] = np.maximum(self._peaks[inside], peaks)
            self.known = block.stop
            yield block
        self.known = _EVER

    def silent(self, rows: slice) -> np.ndarray:
        """[n] bool: whether nothing is heard in what sound there is."""
        return self._peaks[rows] < SILENT

    def codes(self, rows: slice) -> np.ndarray:
        """Codes [n] uint8: AUDIO or SILENCE where at least half of the interval has sound."""
        part = self._covered[rows] / (self.high[rows] - self.low[rows])
        heard = np.where(self.silent(rows), Valid.SILENCE, Valid.AUDIO)
        return np.where(part >= 0.5, heard, Valid.NO_AUDIO).astype(np.uint8)


def _peaks(samples: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Largest absolute value of samples [n] from `begin` to `end`, [rows] each."""
    bounds = np.stack([np.floor(begin), np.ceil(end)], axis=1).clip(0, len(samples)).astype(int)
    return np.maximum.reduceat(np.append(np.abs(samples), 0), bounds.ravel())[::2]


@dataclass(frozen=True, eq=False)
class Rows:
    """Successive rows and the sound around them.

    Attributes:
        moments: [n] float64, the frames' times in samples.
        codes: [n] uint8 of `cache.timeline.Valid`.
        sound: holds what was asked for around each moment.
    """

    moments: np.ndarray
    codes: np.ndarray
    sound: Sound


def rows_with_sound(
    blocks: Iterable[AudioBlock], timeline: Timeline, *, before: int, after: int
) -> Iterator[Rows]:
    """All rows in order, each group as soon as the sound around it is known.

    Groups depend on the timeline alone, not on how the sound is cut into blocks.

    Args:
        blocks: 16 kHz mono in order of time.
        timeline: the T frames.
        before: samples needed before a frame's time.
        after: samples needed after it.
    """
    heard, sound = Heard(timeline), Sound()
    moments = timeline.pts * RATE
    groups = _groups(moments)
    group: slice | None = next(groups)
    for block in heard.listen(blocks):
        sound.append(block)
        while (
            group is not None
            and max(moments[group][-1] + after, heard.high[group][-1]) <= heard.known
        ):
            yield Rows(moments[group], heard.codes(group), sound)
            group = next(groups, None)
        if group is None:
            return
        sound.forget(moments[group][0] - before)
    while group is not None:
        yield Rows(moments[group], heard.codes(group), sound)
        group = next(groups, None)


def row_windows(
    blocks: Iterable[AudioBlock], timeline: Timeline, length: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """A window of sound for each row that is heard, from the sample nearest to where it begins.

    Args:
        blocks: 16 kHz mono in order of time.
        timeline: the T frames, each in the middle of its window.
        length: samples of a window.

    Yields:
        Codes [n] of successive rows; windows [m, length] float32 of the m usable ones.
    """
    reach = length // 2 + 1
    for rows in rows_with_sound(blocks, timeline, before=reach, after=reach):
        starts = np.rint(rows.moments[usable(rows.codes)]).astype(np.int64) - length // 2
        if not len(starts):
            yield rows.codes, np.zeros((0, length), np.float32)
            continue
        samples = rows.sound.cut(int(starts[0]), int(starts[-1]) + length)
        windows = np.lib.stride_tricks.sliding_window_view(samples, length)
        yield rows.codes, windows[starts - starts[0]]


def _groups(moments: np.ndarray) -> Iterator[slice]:
    start = 0
    while start < len(moments):
        near = int(np.searchsorted(moments, moments[start] + _SPAN, side="right"))
        stop = min(near, start + _ROWS)
        yield slice(start, stop)
        start = stop
