"""`resnet50`: torchvision's ResNet-50, trained on ImageNet; 2048 values after average pooling."""

from __future__ import annotations

import torch

from ..weights.checkpoints import load_network
from .images import IMAGENET_MEAN, IMAGENET_STD, ImageEncoder, ImageInput, check_side
from .pretrained import open_weights
from .registry import register_encoder


@register_encoder("resnet50")
class ResNet50Encoder(ImageEncoder):
    """Pooled features of ResNet-50 (He et al. 2016), ImageNet weights.

    The whole crop is scaled to the size of the input and normalised as torchvision does. At 112
    pixels it takes a quarter of the time; the weights were trained at 224.
    """

    def __init__(
        self,
        *,
        weights: str = "resnet50-imagenet-v2",
        size: int = 224,
        precision: str = "auto",
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the weights.

        Args:
            weights: name or path of the weights.
            size: side of the input in pixels, at least 32.
            precision: float32, bfloat16, or auto.
            device: torch device.

        Raises:
            WeightsError: the weights are absent or do not fit.
            ConfigError: options out of range, or no such device.
        """
        check_side(self.name, "size", size, low=32)
        super().__init__(precision=precision, device=device)
        file = open_weights(weights, architecture="resnet50", encoder=self.name)
        given = ImageInput(size, mean=IMAGENET_MEAN, std=IMAGENET_STD)
        self.use(load_network(file), file, dim=2048, given=given)
