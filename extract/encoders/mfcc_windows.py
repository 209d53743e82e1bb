"""Computes `mfcc`: one window per frame through librosa's cepstrum."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import librosa
import numpy as np

from ...cache.timeline import Timeline, usable
from ..media.audio import AudioBlock
from .base import AudioEncoder
from .mfcc import MfccOptions
from .sound import row_windows

_RANGE = 80.0  # dB, librosa's top_db


class MfccEncoder(AudioEncoder):
    """Each row on its own: librosa's floor of 80 dB is below the row's window, not the clip's."""

    def __init__(self, options: MfccOptions) -> None:
        """Build the filters."""
        self.name, self.dim = options.name, options.n_mfcc
        self._options = options
        self._filters = options.filters()
        self._window = librosa.filters.get_window("hann", options.window).astype(np.float32)

    def encode(
        self, blocks: Iterable[AudioBlock], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the timeline in order: features [n, n_mfcc] float32, codes [n] uint8."""
        for codes, windows in row_windows(blocks, timeline, self._options.window):
            features = np.zeros((len(codes), self.dim), np.float32)
            if len(windows):
                features[usable(codes)] = self._cepstrum(windows)
            yield features, codes

    def _cepstrum(self, windows: np.ndarray) -> np.ndarray:
        """MFCCs [n, n_mfcc] of windows [n, window]."""
        spectra = np.fft.rfft(windows * self._window, n=self._options.n_fft)
        power = (spectra.real**2 + spectra.imag**2) @ self._filters  # [n, bands]
        decibels = librosa.power_to_db(power, top_db=None)
        decibels = np.maximum(decibels, decibels.max(axis=1, keepdims=True) - _RANGE)
        return librosa.feature.mfcc(
            S=decibels.T, n_mfcc=self.dim, lifter=self._options.lifter
        ).T.astype(np.float32)
