"""What an image network sees of a crop. Imports no network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...errors import ConfigError

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


def check_side(encoder: str, option: str, side: int, *, low: int, high: int = 1024) -> None:
    """Refuse sides of images that no network takes.

    Raises:
        ConfigError: out of range.
    """
    if isinstance(side, bool) or not isinstance(side, int) or not low <= side <= high:
        raise ConfigError(
            f"encoder `{encoder}`: {option} must be a whole number of pixels in {low}..{high}, "
            f"got {side}"
        )
