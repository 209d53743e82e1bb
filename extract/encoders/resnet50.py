"""`resnet50`: torchvision's ResNet-50, trained on ImageNet; 2048 values after average pooling."""

from __future__ import annotations

from dataclasses import dataclass

from ..weights.table import WeightFile
from .base import Encoder, EncoderOptions, check_precision
from .image_input import IMAGENET_MEAN, IMAGENET_STD, ImageInput, check_side
from .pretrained import open_weights
from .registry import register_encoder


@register_encoder("resnet50")
@dataclass(frozen=True, kw_only=True)
class ResNet50Options(EncoderOptions):
    """Pooled features of ResNet-50 (He et al. 2016), ImageNet weights.

    The whole crop is scaled to the size of the input and normalised as torchvision does. At 112
    pixels it takes a quarter of the time; the weights were trained at 224.

    Attributes:
        weights: name or path of the weights.
        size: side of the input in pixels, at least 32.
        precision: float32, bfloat16, or auto.
    """

    modality = "visual"
    dim = 2048
    weights: str = "resnet50-imagenet-v2"
    size: int = 224
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse sides that the network does not take, and unknown precisions."""
        check_side(self.name, "size", self.size, low=32)
        check_precision(self.name, self.precision)

    def weights_files(self) -> dict[str, WeightFile]:
        """The file of weights."""
        return {"weights": open_weights(self.weights, "resnet50", encoder=self.name)}

    def load(self, device: str) -> Encoder:
        """Load the network."""
        from ..weights.checkpoints import load_network
        from .images import ImageEncoder

        return ImageEncoder(
            load_network(self.weights_files()["weights"]),
            name=self.name,
            dim=self.dim,
            given=ImageInput(self.size, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            precision=self.precision,
            device=device,
        )
