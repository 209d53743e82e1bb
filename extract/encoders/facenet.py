"""`facenet`: InceptionResnetV1 of facenet-pytorch; 512 values of unit length."""

from __future__ import annotations

from dataclasses import dataclass

from ..weights.table import WeightFile
from .base import Encoder, EncoderOptions, check_precision
from .image_input import ImageInput
from .pretrained import open_weights
from .registry import register_encoder

# `fixed_image_standardization` of facenet-pytorch: (x - 127.5) / 128 for x in 0..255
_GIVEN = ImageInput(160, mean=(0.5, 0.5, 0.5), std=(128 / 255, 128 / 255, 128 / 255))


@register_encoder("facenet")
@dataclass(frozen=True, kw_only=True)
class FacenetOptions(EncoderOptions):
    """InceptionResnetV1 (Schroff et al. 2015; Szegedy et al. 2016) trained on VGGFace2.

    Reads the whole crop at 160 px. Its training images exceeded the face box by a quarter, close
    to the 0.3 that crops have by default.

    Attributes:
        weights: name or path of the weights.
        precision: float32, bfloat16, or auto.
    """

    modality = "visual"
    dim = 512
    weights: str = "facenet-vggface2"
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse an unknown precision."""
        check_precision(self.name, self.precision)

    def weights_files(self) -> dict[str, WeightFile]:
        """The file of weights."""
        return {"weights": open_weights(self.weights, "facenet", encoder=self.name)}

    def load(self, device: str) -> Encoder:
        """Load the network."""
        from ..weights.checkpoints import load_network
        from .images import ImageEncoder

        return ImageEncoder(
            load_network(self.weights_files()["weights"]),
            name=self.name,
            dim=self.dim,
            given=_GIVEN,
            precision=self.precision,
            device=device,
            unit_length=True,  # the network's own normalisation is only as exact as its precision
        )
