"""Band-limited resampling of a run of samples onto a fixed grid, at any rate and any offset."""

from __future__ import annotations

import math

import numpy as np

_ZERO_CROSSINGS = 32  # of the sinc, to either side
_ROLLOFF = 0.945  # cut-off as a part of the lower Nyquist frequency
_BETA = 9.0  # Kaiser window: side lobes below -90 dB
_REACH = 0.02  # seconds kept behind the output, for shifts


class Resampler:
    """Turns samples at `rate` into samples at `target`, by windowed sinc interpolation.

    Output sample n lies at n / target seconds exactly, wherever on the clock the input starts:
    positions are computed, never accumulated. Results do not depend on how the input is cut up.
    """

    def __init__(self, *, rate: int, target: int, start: float) -> None:
        """Begin a run.

        Args:
            rate: samples per second of the input.
            target: samples per second of the output.
            start: time of the first input sample in seconds.
        """
        self.rate = rate
        self._target = target
        self._samples = np.zeros(0)
        self._first = 0  # input index of _samples[0]
        self._pushed: list[np.ndarray] = []  # what follows _samples
        self._count = 0  # input samples so far
        self._half = _ZERO_CROSSINGS * rate / (_ROLLOFF * min(rate, target))
        self._taps = 2 * math.ceil(self._half) + 3
        common = math.gcd(rate, target)
        # The same phases recur every `_period` outputs; long periods make for few, large products.
        repeat = math.ceil(self._taps * common / rate)
        self._period, self._advance = target // common * repeat, rate // common * repeat
        self._copy = rate == target
        self._place(start)
        self._next = math.ceil(start * target - 1e-6)

    def _place(self, start: float) -> None:
        """Work out the phases for an input that starts at `start`."""
        if self._copy:  # a shift by less than half a sample is not worth a filter
            start = round(start * self._target) / self._target
        self._start = start
        position = np.arange(self._period) * (self._advance / self._period) - start * self.rate
        self._index = np.floor(position).astype(np.int64)
        if self._copy:
            self._index = np.round(position).astype(np.int64)
            return
        fraction = position - self._index
        offset = np.arange(self._taps) - self._taps // 2 - fraction[:, None]
        cutoff = _ROLLOFF * min(1.0, self._target / self.rate)
        window = np.i0(_BETA * np.sqrt(np.clip(1 - (offset / self._half) ** 2, 0, None)))
        weights = np.sinc(cutoff * offset) * window * (np.abs(offset) <= self._half)
        self._weights = weights / weights.sum(axis=1, keepdims=True)

    @property
    def end(self) -> float:
        """Time just after the last input sample in seconds."""
        return self._start + self._count / self.rate

    def shift(self, seconds: float) -> None:
        """Move all input samples in time, as seen by the outputs still to come."""
        self._place(self._start + seconds)

    def push(self, samples: np.ndarray) -> None:
        """Append input samples [n]."""
        self._pushed.append(samples)
        self._count += len(samples)

    def pull(self, *, final: bool = False) -> tuple[int, np.ndarray]:
        """Take the outputs that are due: index n of the first, and samples [m] float32.

        Args:
            final: take all that lie before the end of the input; zeros follow it.
        """
        reach = 0 if final else math.ceil(self._half) + 1
        stop = math.ceil((self.end - reach / self.rate) * self._target - 1e-6)
        first, stop = self._next, max(self._next, stop)
        self._next = stop
        output = self._compute(first, stop) if stop > first else np.zeros(0)
        self._forget(stop)
        return first, output.astype(np.float32)

    def _compute(self, first: int, stop: int) -> np.ndarray:
        self._samples = np.concatenate([self._samples, *self._pushed])
        self._pushed = []
        side = self._taps // 2
        pad = np.zeros(self._taps + self._advance)
        padded = np.concatenate([pad, self._samples, pad])
        base = self._first - len(pad)  # input index of padded[0]
        output = np.empty(stop - first)
        for lead in range(min(self._period, stop - first)):
            turn, phase = divmod(first + lead, self._period)
            count = (stop - first - lead - 1) // self._period + 1
            at = int(self._index[phase]) + turn * self._advance - base
            if self._copy:
                values = padded[at : at + (count - 1) * self._advance + 1 : self._advance]
            else:
                rows = np.lib.stride_tricks.as_strided(
                    padded[at - side :],
                    (count, self._taps),
                    (self._advance * padded.itemsize, padded.itemsize),
                    writeable=False,
                )
                values = rows @ self._weights[phase]
            output[lead :: self._period] = values
        return output

    def _forget(self, stop: int) -> None:
        """Drop input that no later output reads."""
        needed = math.floor((stop / self._target - _REACH - self._start) * self.rate - self._half)
        drop = min(max(0, needed - 1 - self._first), len(self._samples))
        self._samples = self._samples[drop:]
        self._first += drop
