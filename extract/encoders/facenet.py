"""`facenet`: InceptionResnetV1 of facenet-pytorch; 512 values of unit length."""

from __future__ import annotations

from dataclasses import dataclass

from .image_input import ImageInput, ImageOptions
from .registry import register_encoder


@register_encoder("facenet")
@dataclass(frozen=True, kw_only=True)
class FacenetOptions(ImageOptions):
    """InceptionResnetV1 (Schroff et al. 2015; Szegedy et al. 2016) trained on VGGFace2.

    Reads the whole crop at 160 px. Its training images exceeded the face box by a quarter, close
    to the 0.3 that crops have by default.
    """

    architecture = "facenet"
    dim = 512
    unit_length = True
    weights: str = "facenet-vggface2"

    @property
    def given(self) -> ImageInput:
        """As `fixed_image_standardization` of facenet-pytorch: (x - 127.5) / 128."""
        return ImageInput(160, mean=(0.5, 0.5, 0.5), std=(128 / 255, 128 / 255, 128 / 255))
