"""Networks that turn a waveform into features at regular steps, brought to the frames' times.

Long sound goes through in windows that overlap, all of one length, whose edges are not used;
nothing depends on how the sound comes in blocks.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...cache.timeline import Timeline, usable
from ...device_faults import Batches
from ...errors import ConfigError
from ..media import RATE
from .base import AudioEncoder, EncoderOptions, check_precision
from .sound import Heard, Run, in_runs

if TYPE_CHECKING:
    from ..media.audio import AudioBlock

_ROWS = 4096  # rows given out at once, at most


@dataclass(frozen=True)
class Steps:
    """How features lie in the sound, and how long sound is cut.

    Attributes:
        hop: samples between features.
        field: samples that a feature sees before the network mixes them; its time is the middle.
        chunk: features that a window in the midst of the sound contributes.
        context: features on either side of them that are computed and left out.
    """

    hop: int
    field: int
    chunk: int
    context: int

    @property
    def window(self) -> int:
        """Features of a window."""
        return self.chunk + 2 * self.context

    def count(self, samples: int) -> int:
        """Features of so many samples."""
        return max(0, (samples - self.field) // self.hop + 1)

    def length(self, features: int) -> int:
        """Samples that so many features need."""
        return (features - 1) * self.hop + self.field


def cut_steps(encoder: str, *, chunk: float, context: float, hop: int, field: int) -> Steps:
    """Steps from lengths in seconds.

    Raises:
        ConfigError: lengths out of range.
    """
    if not (1 <= chunk <= 60 and 0 <= context <= 10):
        raise ConfigError(
            f"encoder `{encoder}`: chunk must be in 1..60 and context in 0..10 seconds, got "
            f"chunk={chunk}, context={context}"
        )
    return Steps(hop, field, round(chunk * RATE / hop), round(context * RATE / hop))


def choose_layers(encoder: str, layer: int | str | Sequence[int], depth: int) -> tuple[int, ...]:
    """Numbers of layers from 1, each once, in order.

    Raises:
        ConfigError: no such layer, or none.
    """
    if layer in ("mean", "all"):
        return tuple(range(1, depth + 1))
    asked = list(layer) if isinstance(layer, list | tuple) else [layer]
    counted = {
        number + depth + 1 if number < 0 else number
        for number in asked
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= abs(number) <= depth
    }
    if not asked or len(counted) < len(set(asked)):
        raise ConfigError(
            f"encoder `{encoder}`: layer must be one or several of 1..{depth} (or -1..-{depth} "
            f"from the end), or all; got {layer}"
        )
    return tuple(sorted(counted))


@dataclass(frozen=True, kw_only=True)
class SpeechOptions(EncoderOptions):
    """Options of speech networks that read a waveform.

    Attributes:
        layer: output of a transformer layer from 1, or from the end as -1; several of them, or
            "all", are averaged.
        stack: whether several layers are kept side by side instead, for a fit to weigh.
        chunk: seconds that a window contributes.
        context: seconds on either side of them.
        precision: float32, bfloat16, or auto.
    """

    modality = "audio"
    layer: int | str | Sequence[int] = -1
    stack: bool = False
    chunk: float = 10.0
    context: float = 1.5
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse options out of range."""
        check_precision(self.name, self.precision)
        self.steps(hop=1, field=1)

    def steps(self, *, hop: int, field: int) -> Steps:
        """How the features of a network lie in the sound."""
        return cut_steps(self.name, chunk=self.chunk, context=self.context, hop=hop, field=field)

    def describe(self) -> dict[str, Any]:
        """Whether layers are stacked is told only where they are."""
        told = super().describe()
        return told if self.stack else {n: value for n, value in told.items() if n != "stack"}


class WaveformEncoder(AudioEncoder):
    """Common to all such networks; a subclass computes features of windows.

    Attributes:
        steps: how features lie in the sound.
        batch: windows of one length that are computed at once; less where memory runs out.
    """

    steps: Steps
    batch: int

    @abstractmethod
    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Features [b, F, D] float32 of windows [b, n] float32, F = steps.count(n)."""

    def encode(
        self, blocks: Iterable[AudioBlock], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the timeline in order: features [n, D] float32, codes [n] uint8.

        A row's features are interpolated between the two around the frame's time; before the
        first and after the last of a run of sound they stay as they are. A frame of which less
        than half is heard is NO_AUDIO.
        """
        heard = Heard(timeline)
        rows = RowValues(timeline, heard, self.steps, self.dim)
        for windows in cut_audio(heard.listen(blocks), self.steps, self.batch):
            batches = Batches(self.name, self.batch)
            samples = np.stack([window.samples for window in windows])
            features = np.concatenate(batches.map(self.embed, samples))
            self.batch = batches.most
            for window, values in zip(windows, features, strict=True):
                rows.push(window, values[window.keep])
                yield from rows.take()
        rows.finish()
        yield from rows.take()


@dataclass(frozen=True, eq=False)
class AudioWindow:
    """Sound for one pass of the network.

    Attributes:
        samples: [n] float32.
        start: place of the first sample on the clock.
        keep: which of its features are used.
        run: (first sample, sample after the last) of the run of sound; (_, None) if it goes on.
    """

    samples: np.ndarray
    start: int
    keep: slice
    run: tuple[int, int | None]


def cut_audio(
    blocks: Iterable[AudioBlock], steps: Steps, batch: int
) -> Iterator[list[AudioWindow]]:
    """Windows in order of time, of one length within a list, lists of `batch` at most.

    Where there is a hole a new run begins. A run that fits into one window is one, whole.
    """
    for run, ended in in_runs(blocks, lambda start: _AudioRun(start, steps)):
        if ended:
            yield run.last()
        while not ended and run.has(batch):
            yield run.full(batch)


class _AudioRun(Run):
    """A run of sound, and what windows have been cut out of it."""

    def __init__(self, start: int, steps: Steps) -> None:
        super().__init__(start)
        self._steps = steps
        self._next = 0  # number of the next full window
        self._given = 0  # features of the run already used

    def has(self, count: int) -> bool:
        """Whether so many more full windows are there, and sound after them."""
        end = (self._next + count - 1) * self._steps.chunk + self._steps.window
        return self._steps.count(self.stop - self.start) > end

    def full(self, count: int) -> list[AudioWindow]:
        """The next windows in the midst of the run."""
        windows = []
        for _ in range(count):
            first = self._next * self._steps.chunk  # its first feature, counted in the run
            until = self._steps.context + self._steps.chunk
            windows.append(self._window(first, until, stop=None))
            self._next += 1
        # Sound goes on, so that even the run's last window begins after the one just cut.
        self.forget(windows[-1].start)
        return windows

    def last(self) -> list[AudioWindow]:
        """What is left, at the end of the run."""
        total = self._steps.count(self.stop - self.start)
        if total <= self._steps.window:
            samples = self.cut(self.start, max(self.stop, self.start + self._steps.field))
            count = max(1, total)
            return [AudioWindow(samples, self.start, slice(0, count), (self.start, self.stop))]
        windows = []
        while self.has(1):
            windows += self.full(1)
        first = total - self._steps.window
        return [*windows, self._window(first, self._steps.window, stop=self.stop)]

    def _window(self, first: int, until: int, *, stop: int | None) -> AudioWindow:
        start = self.start + first * self._steps.hop
        samples = self.cut(start, start + self._steps.length(self._steps.window))
        keep = slice(self._given - first, until)
        self._given = first + until
        return AudioWindow(samples, start, keep, (self.start, stop))


class RowValues:
    """Values of rows from features at regular steps; each row from the first run it overlaps."""

    def __init__(self, timeline: Timeline, heard: Heard, steps: Steps, dim: int) -> None:
        self._moments = timeline.pts * RATE
        self._heard = heard
        self._steps = steps
        self._dim = dim
        self._row = 0  # first row without values
        self._tail: np.ndarray | None = None  # [1, D], the run's last feature so far
        self._waiting: list[tuple[slice, np.ndarray | None]] = []  # None is zeros

    def push(self, window: AudioWindow, features: np.ndarray) -> None:
        """Add the next features [m, D] of a run and value the rows that they decide."""
        first = window.start + window.keep.start * self._steps.hop + self._steps.field / 2
        run_start, run_stop = window.run
        if self._tail is None:
            self._put(int(np.searchsorted(self._heard.high, run_start, side="right")), None)
        else:
            features = np.concatenate([self._tail, features])
            first -= self._steps.hop
        if run_stop is None:
            end = first + (len(features) - 1) * self._steps.hop
            stop = int(np.searchsorted(self._moments, end, side="right"))
            self._tail = features[-1:]
        else:
            stop = int(np.searchsorted(self._heard.low, run_stop, side="left"))
            self._tail = None
        self._put(stop, (first, features))

    def finish(self) -> None:
        """No more runs: the rows left have no sound."""
        self._put(len(self._moments), None)

    def take(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows whose whole interval is known: features [n, D], codes [n]."""
        while self._waiting and self._heard.high[self._waiting[0][0]][-1] <= self._heard.known:
            rows, values = self._waiting.pop(0)
            codes = self._heard.codes(rows)
            if values is None:
                values = np.zeros((len(codes), self._dim), np.float32)
            yield np.where(usable(codes)[:, None], values, np.float32(0)), codes

    def _put(self, stop: int, source: tuple[float, np.ndarray] | None) -> None:
        while self._row < stop:
            rows = slice(self._row, min(stop, self._row + _ROWS))
            self._waiting.append((rows, None if source is None else self._at(rows, *source)))
            self._row = rows.stop

    def _at(self, rows: slice, first: float, features: np.ndarray) -> np.ndarray:
        """Features [m, D], the first at the sample `first`, interpolated to the rows' times."""
        place = (self._moments[rows] - first) / self._steps.hop
        place = np.clip(place, 0, len(features) - 1)
        left = np.minimum(place.astype(np.int64), max(0, len(features) - 2))
        weight = (place - left).astype(np.float32)[:, None]
        right = np.minimum(left + 1, len(features) - 1)
        return (1 - weight) * features[left] + weight * features[right]
