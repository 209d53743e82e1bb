"""`logmel`: log power in 128 mel bands, averaged over each frame's own interval. No weights."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError
from ..media import RATE
from .base import Encoder, EncoderOptions
from .registry import register_encoder


@register_encoder("logmel")
@dataclass(frozen=True, kw_only=True)
class LogMelOptions(EncoderOptions):
    """ln(mean power + eps) per Slaney mel band.

    Spectra stand on a fixed grid of the clock (every `hop` samples, centred); one counts for the
    time around its centre. A frame's power is their mean over its interval, each weighted by the
    overlap, so no position is ever rounded. A frame of which less than half is heard is NO_AUDIO.

    Attributes:
        bands: number of mel bands.
        f_min: lower end of the lowest band in hertz.
        f_max: upper end of the highest band in hertz.
        window: length of the Hann window in samples (at 16 kHz).
        hop: samples between spectra.
        n_fft: length of the transform; the window is padded with zeros.
        eps: power added before the logarithm; 1e-6 is some 84 dB below full scale.
    """

    modality = "audio"
    bands: int = 128
    f_min: float = 0.0
    f_max: float = 8000.0
    window: int = 400
    hop: int = 160
    n_fft: int = 1024
    eps: float = 1e-6

    def __post_init__(self) -> None:
        """Refuse options out of range.

        Raises:
            ConfigError: names them.
        """
        for name in ("f_min", "f_max", "eps"):  # 20 and 20.0 are one option
            object.__setattr__(self, name, float(getattr(self, name)))
        if not (0 < self.hop <= self.window <= self.n_fft and self.window % 2 == 0):
            raise ConfigError(
                "logmel: needs 0 < hop <= window <= n_fft and an even window, got "
                f"hop={self.hop}, window={self.window}, n_fft={self.n_fft}"
            )
        if not 0 <= self.f_min < self.f_max <= RATE / 2:
            raise ConfigError(
                f"logmel: needs 0 <= f_min < f_max <= {RATE // 2}, got f_min={self.f_min}, "
                f"f_max={self.f_max}"
            )
        if self.bands < 1 or not 1e-12 <= self.eps <= 1:
            raise ConfigError(
                f"logmel: needs bands >= 1 and eps in 1e-12..1, got bands={self.bands}, "
                f"eps={self.eps}"
            )

    @property
    def dim(self) -> int:
        """One value per band."""
        return self.bands

    def load(self, device: str) -> Encoder:
        """Build the filters."""
        from .logmel_spectra import LogMelEncoder

        return LogMelEncoder(self, device)
