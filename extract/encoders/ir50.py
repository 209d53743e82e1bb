"""`ir50`: the IR-50 face network with weights of your own; 512 values of unit length."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError
from .image_input import ImageInput, ImageOptions, check_side
from .registry import register_encoder


@register_encoder("ir50")
@dataclass(frozen=True, kw_only=True)
class IR50Options(ImageOptions):
    """IR-50 (Deng et al. 2019), l2-normalised; your own MS-Celeb-1M or FER+ weights.

    The whole crop is scaled to `size`, of which the network gets the `centre` part, as
    (x / 255 - 0.5) / 0.5. Face recognition networks read 112 px; the affect papers' network reads
    the centre 40 px of 48: size=48, centre=40.

    Attributes:
        size: side in pixels that crops are scaled to.
        centre: side of the centre part that the network reads; None for all.
    """

    architecture = "ir50"
    dim = 512
    unit_length = True
    weights: str = "ir50"
    size: int = 112
    centre: int | None = None

    def __post_init__(self) -> None:
        """Refuse sides that the network does not take, and unknown precisions."""
        check_side(self.name, "size", self.size, low=16)
        super().__post_init__()
        if self.centre is None:
            return
        check_side(self.name, "centre", self.centre, low=16)
        if self.centre > self.size:
            raise ConfigError(
                f"encoder `ir50`: centre ({self.centre}) must not exceed size ({self.size})"
            )

    @property
    def given(self) -> ImageInput:
        """The crop, or the part in its middle."""
        return ImageInput(self.size, self.centre)
