"""`facenet`: InceptionResnetV1 of facenet-pytorch; 512 values of unit length."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..checkpoints import load_network
from .base import VisualEncoder
from .images import ImageInput, ImageNetwork
from .precision import open_device, resolve_precision
from .pretrained import open_weights
from .registry import register_encoder

# `fixed_image_standardization` of facenet-pytorch: (x - 127.5) / 128 for x in 0..255
_GIVEN = ImageInput(160, mean=(0.5, 0.5, 0.5), std=(128 / 255, 128 / 255, 128 / 255))


@register_encoder("facenet")
class FacenetEncoder(VisualEncoder):
    """InceptionResnetV1 (Schroff et al. 2015; Szegedy et al. 2016) trained on VGGFace2.

    Reads the whole crop at 160 px. Its training images exceeded the face box by a quarter, close
    to the 0.3 that crops have by default.
    """

    def __init__(
        self,
        *,
        weights: str = "facenet-vggface2",
        precision: str = "auto",
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the weights.

        Args:
            weights: name or path of the weights.
            precision: float32, bfloat16, or auto.
            device: torch device.

        Raises:
            WeightsError: the weights are absent or do not fit.
            ConfigError: an unknown precision, or no such device.
        """
        place = open_device(device, self.name)
        self.dim = 512
        self.input_size = _GIVEN.side
        self._precision = resolve_precision(precision, place, self.name)
        file = open_weights(weights, architecture="facenet", encoder=self.name)
        self._digest = file.sha256
        self._network = ImageNetwork(
            load_network(file),
            given=_GIVEN,
            precision=self._precision,
            device=place,
            encoder=self.name,
        )

    def identity(self) -> dict[str, Any]:
        """All that determines the values."""
        return {
            "name": self.name,
            "weights": self._digest,
            "input": _GIVEN.identity(),
            "precision": self._precision,
        }

    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        """Embed whole crops [n, S, S, 3] uint8; [n, 512] float32 of unit length."""
        # Its own normalisation is as exact as its precision; this one is float32.
        return functional.normalize(self._network(crops)).numpy()
