"""`logmel`: log power in 128 mel bands, averaged over each frame's own interval. No weights."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError
from ..media import RATE
from .base import Encoder
from .mel import MelOptions
from .registry import register_encoder


@register_encoder("logmel")
@dataclass(frozen=True, kw_only=True)
class LogMelOptions(MelOptions):
    """ln(mean power + eps) per Slaney mel band.

    Spectra stand on a fixed grid of the clock (every `hop` samples, centred); one counts for the
    time around its centre. A frame's power is their mean over its interval, each weighted by the
    overlap, so no position is ever rounded. A frame of which less than half is heard is NO_AUDIO.

    Attributes:
        hop: samples between spectra.
        eps: power added before the logarithm; 1e-6 is some 84 dB below full scale.
    """

    window: int = 400
    hop: int = 160
    eps: float = 1e-6

    def __post_init__(self) -> None:
        """Refuse options out of range.

        Raises:
            ConfigError: names them.
        """
        super().__post_init__()
        object.__setattr__(self, "eps", float(self.eps))
        if not (0 < self.hop <= self.window and 1e-12 <= self.eps <= 1):
            raise ConfigError(
                "logmel: needs 0 < hop <= window and eps in 1e-12..1, got "
                f"hop={self.hop}, window={self.window}, eps={self.eps}"
            )

    @property
    def dim(self) -> int:
        """One value per band."""
        return self.bands

    @property
    def reach(self) -> float:
        """Half a window beyond the frame, and the spectrum after it."""
        return (self.window / 2 + self.hop) / RATE

    def load(self, device: str) -> Encoder:
        """Build the filters."""
        from .logmel_spectra import LogMelEncoder

        return LogMelEncoder(self, device)
