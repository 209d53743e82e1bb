"""`resnet50`: torchvision's ResNet-50, trained on ImageNet; 2048 values after average pooling."""

from __future__ import annotations

from dataclasses import dataclass

from .image_input import IMAGENET_MEAN, IMAGENET_STD, ImageInput, ImageOptions, check_side
from .registry import register_encoder


@register_encoder("resnet50")
@dataclass(frozen=True, kw_only=True)
class ResNet50Options(ImageOptions):
    """Pooled features of ResNet-50 (He et al. 2016), ImageNet weights.

    The whole crop is scaled to the size of the input and normalised as torchvision does. At 112
    pixels it takes a quarter of the time; the weights were trained at 224.

    Attributes:
        size: side of the input in pixels, at least 32.
    """

    architecture = "resnet50"
    dim = 2048
    weights: str = "resnet50-imagenet-v2"
    size: int = 224

    def __post_init__(self) -> None:
        """Refuse sides that the network does not take, and unknown precisions."""
        check_side(self.name, "size", self.size, low=32)
        super().__post_init__()

    @property
    def given(self) -> ImageInput:
        """The whole crop, normalised as torchvision does."""
        return ImageInput(self.size, mean=IMAGENET_MEAN, std=IMAGENET_STD)
