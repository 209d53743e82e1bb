"""`resnet50`: torchvision's ResNet-50, trained on ImageNet; 2048 values after average pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..checkpoints import load_network
from .base import VisualEncoder
from .images import IMAGENET_MEAN, IMAGENET_STD, ImageInput, ImageNetwork, check_side
from .precision import open_device, resolve_precision
from .pretrained import open_weights
from .registry import register_encoder


@register_encoder("resnet50")
class ResNet50Encoder(VisualEncoder):
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
        place = open_device(device, self.name)
        self.dim = 2048
        self.input_size = size
        self._precision = resolve_precision(precision, place, self.name)
        file = open_weights(weights, architecture="resnet50", encoder=self.name)
        self._digest = file.sha256
        self._network = ImageNetwork(
            load_network(file),
            given=ImageInput(size, mean=IMAGENET_MEAN, std=IMAGENET_STD),
            precision=self._precision,
            device=place,
            encoder=self.name,
        )

    def identity(self) -> dict[str, Any]:
        """All that determines the values."""
        return {
            "name": self.name,
            "weights": self._digest,
            "input": self._network.given.identity(),
            "precision": self._precision,
        }

    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        """Embed whole crops [n, S, S, 3] uint8; [n, 2048] float32."""
        return self._network(crops).numpy()
