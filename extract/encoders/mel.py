"""The options that `logmel` and `mfcc` share: power in mel bands of 16 kHz sound."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ...errors import ConfigError
from ..media import RATE
from .base import EncoderOptions


@dataclass(frozen=True, kw_only=True)
class MelOptions(EncoderOptions):
    """Hann window, transform, Slaney's filters.

    Attributes:
        bands: number of mel bands.
        f_min: lower end of the lowest band in hertz.
        f_max: upper end of the highest band in hertz.
        window: length of the Hann window in samples (at 16 kHz).
        n_fft: length of the transform; the window is padded with zeros.
    """

    modality = "audio"
    bands: int = 128
    f_min: float = 0.0
    f_max: float = 8000.0
    window: int = 1024
    n_fft: int = 1024

    def __post_init__(self) -> None:
        """Refuse options out of range.

        Raises:
            ConfigError: names them.
        """
        for name in ("f_min", "f_max"):  # 20 and 20.0 are one option
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.bands < 1 or not (0 < self.window <= self.n_fft and self.window % 2 == 0):
            raise ConfigError(
                f"{self.name}: needs bands >= 1, 0 < window <= n_fft and an even window, got "
                f"bands={self.bands}, window={self.window}, n_fft={self.n_fft}"
            )
        if not 0 <= self.f_min < self.f_max <= RATE / 2:
            raise ConfigError(
                f"{self.name}: needs 0 <= f_min < f_max <= {RATE // 2}, got f_min={self.f_min}, "
                f"f_max={self.f_max}"
            )

    def filters(self) -> np.ndarray:
        """Mel filters, [n_fft // 2 + 1, bands] float32.

        Raises:
            ConfigError: there is a band that no bin of the transform falls into.
        """
        from librosa.filters import mel

        with warnings.catch_warnings():  # librosa warns of what is refused below
            warnings.simplefilter("ignore", UserWarning)
            filters = mel(
                sr=RATE, n_fft=self.n_fft, n_mels=self.bands, fmin=self.f_min, fmax=self.f_max
            )
        if empty := int((filters.sum(axis=1) == 0).sum()):
            raise ConfigError(
                f"{self.name}: {empty} of {self.bands} bands hold no bin of an n_fft of "
                f"{self.n_fft}; raise n_fft or lower bands"
            )
        return filters.T.copy()
