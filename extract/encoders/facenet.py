"""`facenet`: InceptionResnetV1 of facenet-pytorch; 512 values of unit length."""

from __future__ import annotations

import torch

from ..weights.checkpoints import load_network
from .images import ImageEncoder, ImageInput
from .pretrained import open_weights
from .registry import register_encoder

# `fixed_image_standardization` of facenet-pytorch: (x - 127.5) / 128 for x in 0..255
_GIVEN = ImageInput(160, mean=(0.5, 0.5, 0.5), std=(128 / 255, 128 / 255, 128 / 255))


@register_encoder("facenet")
class FacenetEncoder(ImageEncoder):
    """InceptionResnetV1 (Schroff et al. 2015; Szegedy et al. 2016) trained on VGGFace2.

    Reads the whole crop at 160 px. Its training images exceeded the face box by a quarter, close
    to the 0.3 that crops have by default.
    """

    unit_length = True  # the network's own normalisation is only as exact as its precision

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
        super().__init__(precision=precision, device=device)
        file = open_weights(weights, architecture="facenet", encoder=self.name)
        self.use(load_network(file), file, dim=512, given=_GIVEN)
