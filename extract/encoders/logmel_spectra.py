"""Computes `logmel`: power in mel bands, piece by piece, averaged over each frame's interval."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ...cache.timeline import Timeline, Valid
from ...numerics import inferring
from ..media.audio import RATE, AudioBlock
from .base import AudioEncoder
from .logmel import LogMelOptions
from .pooling import IntervalMean
from .sound import Heard, Run, in_runs

_PIECE = 1024  # spectra computed at once


class LogMelEncoder(AudioEncoder):
    """Spectra on a fixed grid of the clock, pooled over each row's interval by their overlap."""

    def __init__(self, options: LogMelOptions, device: torch.device | str) -> None:
        """Build the filters."""
        self.name, self.dim = options.name, options.bands
        self._span, self._hop = options.window, options.hop
        self._n_fft, self._eps = options.n_fft, options.eps
        self._device = torch.device(device)
        self._window = torch.hann_window(options.window, device=self._device)
        self._filters = torch.from_numpy(options.filters()).to(self._device)

    def encode(
        self, blocks: Iterable[AudioBlock], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the timeline in order: features [n, bands] float32, codes [n] uint8."""
        edges = timeline.edges() * RATE  # in samples, fractional
        pool = IntervalMean(edges, dim=self.dim, shortest=1.0)
        heard = Heard(timeline)
        for low, high, power in self._power(heard.listen(blocks)):
            yield from self._rows(pool, heard, float(low[0]))
            pool.push(low, high, power)
        yield from self._rows(pool, heard, np.inf)

    def _rows(
        self, pool: IntervalMean, heard: Heard, until: float
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        row = pool.row
        for means, covered in pool.take(until):
            silent = heard.silent(slice(row, row + len(covered)))
            row += len(covered)
            known = covered >= 0.5
            features = np.where(known[:, None], np.log(means + self._eps), 0.0)
            sound = np.where(silent, Valid.SILENCE, Valid.AUDIO)
            codes = np.where(known, sound, Valid.NO_AUDIO)
            yield features.astype(np.float32), codes.astype(np.uint8)

    def _power(
        self, blocks: Iterable[AudioBlock]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Pieces of successive spectra: the time [low, high) each stands for, power [m, bands].

        Times in samples; outside a run of blocks the signal counts as silent, but is not covered.
        """
        half = self._span // 2
        for run, ended in in_runs(blocks, _SpectraRun):
            yield from self._spectra(run, run.stop + (half if ended else -half))

    def _spectra(
        self, run: _SpectraRun, until: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The spectra not yet taken whose centre is at or before `until` and in the run's reach."""
        hop, half = self._hop, self._span // 2
        first = run.spectrum if run.spectrum is not None else _nearest(run.start, hop)
        last = min(until // hop, _nearest(run.stop - 1, hop))
        for begin in range(first, last + 1, _PIECE):
            centres = np.arange(begin, min(begin + _PIECE, last + 1)) * hop
            samples = run.cut(int(centres[0]) - half, int(centres[-1]) + half)
            low = np.maximum(centres - hop / 2, run.start)
            high = np.minimum(centres + hop / 2, run.stop)
            covers = high > low
            yield low[covers], high[covers], self._transform(samples)[covers]
        run.spectrum = max(first, last + 1)
        run.forget(run.spectrum * hop - half)

    @torch.inference_mode()
    def _transform(self, samples: np.ndarray) -> np.ndarray:
        """Mel power [m, bands] float64 of windows every `hop` in samples [(m-1) hop + window]."""
        with inferring():
            frames = torch.from_numpy(samples).to(self._device).unfold(0, self._span, self._hop)
            spectra = torch.fft.rfft(frames * self._window, n=self._n_fft)  # [m, n_fft/2 + 1]
            power = spectra.real.square() + spectra.imag.square()
            return (power @ self._filters).double().cpu().numpy()


def _nearest(sample: int, hop: int) -> int:
    """Index of the spectrum that stands for a sample: centre - hop/2 <= sample < centre + hop/2."""
    return (2 * sample + hop) // (2 * hop)


class _SpectraRun(Run):
    """A run of sound, and the index of the next spectrum of it."""

    spectrum: int | None = None
