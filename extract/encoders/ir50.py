"""`ir50`: the IR-50 face network with weights of your own; 512 values of unit length."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError
from ..weights.table import WeightFile
from .base import Encoder, EncoderOptions, check_precision
from .image_input import ImageInput, check_side
from .pretrained import open_weights
from .registry import register_encoder


@register_encoder("ir50")
@dataclass(frozen=True, kw_only=True)
class IR50Options(EncoderOptions):
    """IR-50 (Deng et al. 2019), l2-normalised; your own MS-Celeb-1M or FER+ weights.

    The whole crop is scaled to `size`, of which the network gets the `centre` part, as
    (x / 255 - 0.5) / 0.5. Face recognition networks read 112 px; the affect papers' network reads
    the centre 40 px of 48: size=48, centre=40.

    Attributes:
        weights: name or path of the weights.
        size: side in pixels that crops are scaled to.
        centre: side of the centre part that the network reads; None for all.
        precision: float32, bfloat16, or auto.
    """

    modality = "visual"
    dim = 512
    weights: str = "ir50"
    size: int = 112
    centre: int | None = None
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse sides that the network does not take, and unknown precisions."""
        check_side(self.name, "size", self.size, low=16)
        check_precision(self.name, self.precision)
        if self.centre is None:
            return
        check_side(self.name, "centre", self.centre, low=16)
        if self.centre > self.size:
            raise ConfigError(
                f"encoder `ir50`: centre ({self.centre}) must not exceed size ({self.size})"
            )

    def weights_files(self) -> dict[str, WeightFile]:
        """The file of weights."""
        return {"weights": open_weights(self.weights, "ir50", encoder=self.name)}

    def load(self, device: str) -> Encoder:
        """Load the network."""
        from ..weights.checkpoints import load_network
        from .images import ImageEncoder

        given = ImageInput(self.size, self.centre)
        return ImageEncoder(
            load_network(self.weights_files()["weights"], crop=given.side),
            name=self.name,
            dim=self.dim,
            given=given,
            precision=self.precision,
            device=device,
            unit_length=True,
        )
