"""What an image network sees of a crop, and the options of such encoders. Imports no network."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

from ...errors import ConfigError
from ..weights.table import WeightFile
from .base import Encoder, EncoderOptions, check_precision
from .pretrained import open_weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0..1, as torchvision's weights expect
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageInput:
    """What a network sees of a crop.

    Attributes:
        size: side in pixels that the whole crop is scaled to.
        centre: side of the part in the middle that the network gets; None for all of it.
        mean: subtracted from RGB in 0..1.
        std: what is left is divided by it.
        filter: how pixels are interpolated; always antialiased.
    """

    size: int
    centre: int | None = None
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    filter: Literal["bilinear", "bicubic"] = "bilinear"

    @property
    def side(self) -> int:
        """Side of the network's input in pixels."""
        return self.size if self.centre is None else self.centre


_LARGEST = 1024  # pixels


def check_side(encoder: str, option: str, side: int, *, low: int) -> None:
    """Refuse sides of images that no network takes.

    Raises:
        ConfigError: out of range.
    """
    if isinstance(side, bool) or not isinstance(side, int) or not low <= side <= _LARGEST:
        raise ConfigError(
            f"encoder `{encoder}`: {option} must be a whole number of pixels in {low}..{_LARGEST}, "
            f"got {side}"
        )


@dataclass(frozen=True, kw_only=True)
class ImageOptions(EncoderOptions):
    """Options of encoders that are one network on crops, with one file of weights.

    Attributes:
        architecture: the network, as `vapipe weights list` calls it.
        unit_length: whether embeddings are l2-normalised (in float32, whatever the precision).
        weights: name or path of the weights.
        precision: float32, bfloat16, or auto.
    """

    modality = "visual"
    architecture: ClassVar[str]
    unit_length: ClassVar[bool] = False
    weights: str
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse an unknown precision."""
        check_precision(self.name, self.precision)

    @property
    @abstractmethod
    def given(self) -> ImageInput:
        """What the network sees of a crop."""

    def weights_files(self) -> dict[str, WeightFile]:
        """The file of weights."""
        return {"weights": open_weights(self.weights, self.architecture, encoder=self.name)}

    def load(self, device: str) -> Encoder:
        """Load the network."""
        from ..weights.checkpoints import load_network
        from .images import ImageEncoder

        return ImageEncoder(
            load_network(self.weights_files()["weights"], crop=self.given.side),
            name=self.name,
            dim=self.dim or 0,
            given=self.given,
            precision=self.precision,
            device=device,
            unit_length=self.unit_length,
        )
