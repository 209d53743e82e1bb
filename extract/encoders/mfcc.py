"""`mfcc`: mel-frequency cepstral coefficients of the sound around each frame. No weights."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError
from ..media import RATE
from .base import Encoder
from .mel import MelOptions
from .registry import register_encoder


@register_encoder("mfcc")
@dataclass(frozen=True, kw_only=True)
class MfccOptions(MelOptions):
    """librosa's MFCCs (Slaney mel power in dB, DCT-II) of one window centred on each frame.

    The window stands at the sample nearest to the frame's time, so it is at most 31 us off; 64 ms
    cover a frame's interval at 16 frames per second and more. As in librosa, bands more than 80
    dB below the window's loudest count as that.

    Attributes:
        n_mfcc: number of coefficients, from c0.
        lifter: of the liftering 1 + lifter / 2 sin(pi (k + 1) / lifter); 0 is none.
    """

    n_mfcc: int = 20
    lifter: float = 0.0

    def __post_init__(self) -> None:
        """Refuse options out of range.

        Raises:
            ConfigError: names them.
        """
        super().__post_init__()
        object.__setattr__(self, "lifter", float(self.lifter))
        if not (1 <= self.n_mfcc <= self.bands and 0 <= self.lifter < float("inf")):
            raise ConfigError(
                f"mfcc: needs 1 <= n_mfcc <= bands and lifter >= 0, got n_mfcc={self.n_mfcc}, "
                f"bands={self.bands}, lifter={self.lifter}"
            )

    @property
    def dim(self) -> int:
        """One value per coefficient."""
        return self.n_mfcc

    @property
    def reach(self) -> float:
        """Half a window."""
        return (self.window / 2 + 1) / RATE

    def load(self, device: str) -> Encoder:
        """Build the filters; computed on the CPU everywhere."""
        from .mfcc_windows import MfccEncoder

        return MfccEncoder(self)
