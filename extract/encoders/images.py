"""Crops through a frozen image network: scaled, normalised, in batches, on any device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...device import choose_device
from ...errors import ConfigError
from ..weights.files import WeightFile
from .base import VisualEncoder
from .precision import exactly, place, resolve_precision, torch_dtype

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of RGB in 0..1, as torchvision's weights expect
IMAGENET_STD = (0.229, 0.224, 0.225)
_CPU_PIXELS = 1 << 18  # of a batch: more of them fall out of the cache and halve the speed
_GPU_BATCH = 256


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

    def identity(self) -> dict[str, Any]:
        """All of it as plain JSON values."""
        return {
            "size": self.size,
            "centre": self.side,
            "mean": list(self.mean),
            "std": list(self.std),
            "filter": self.filter,
        }


class ImageNetwork:
    """A frozen network from images [n, 3, side, side] to vectors [n, D].

    Convolutions take over the batch normalisation that follows them, which changes values by
    rounding only, and run with the channels last.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        given: ImageInput,
        precision: str,
        device: torch.device,
        encoder: str,
        foldable: bool = True,
    ) -> None:
        """Move the network to its place.

        Args:
            network: evaluating, float32, on the CPU.
            given: what it sees of a crop.
            precision: "float32" or "bfloat16".
            device: where it runs.
            encoder: for messages.
            foldable: whether its forward is plain enough to be traced.

        Raises:
            ConfigError: the network does not work in this precision.
        """
        from torch.fx.experimental.optimization import fuse

        self.given = given
        self._device = device
        self._dtype = torch_dtype(precision)
        folded = fuse(network, inplace=True) if foldable else network
        sample = torch.rand(
            1, 3, given.side, given.side, generator=torch.Generator().manual_seed(0)
        )
        sample = (sample - 0.5) / 0.25
        self._network = place(
            folded, device, precision, sample=sample, encoder=encoder, images=True
        )
        few = min(32, max(1, _CPU_PIXELS // given.side**2))
        self._batch = _GPU_BATCH if device.type == "cuda" else few

    def __call__(self, crops: np.ndarray) -> torch.Tensor:
        """Crops [n, S, S, 3] uint8 RGB to [n, D] float32 on the CPU."""
        parts = [crops[i : i + self._batch] for i in range(0, len(crops), self._batch)]
        with exactly():
            return torch.cat([self._network(self._prepare(part)).float().cpu() for part in parts])

    def _prepare(self, crops: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(crops))  # [n, S, S, 3]
        if self._device.type == "cuda":
            pixels = pixels.pin_memory().to(self._device, non_blocking=True)
        images = pixels.permute(0, 3, 1, 2).float()  # [n, 3, S, S], channels last in memory
        if images.shape[-1] != self.given.size:
            images = functional.interpolate(
                images,
                size=(self.given.size, self.given.size),
                mode=self.given.filter,
                antialias=True,
            )
            images = images.clamp(0, 255)  # bicubic overshoots
        cut = (self.given.size - self.given.side) // 2
        images = images[..., cut : cut + self.given.side, cut : cut + self.given.side]
        mean, std = (
            255 * torch.tensor(value, device=self._device)[:, None, None]
            for value in (self.given.mean, self.given.std)
        )
        images = ((images - mean) / std).to(self._dtype)
        return images.contiguous(memory_format=torch.channels_last)


class ImageEncoder(VisualEncoder):
    """A frozen network on whole crops; a subclass says which, and what the network sees.

    Its constructor calls this one's, then opens the weights, then `use`s the network.
    """

    unit_length: ClassVar[bool] = False  # whether embeddings are l2-normalised, in float32

    def __init__(self, *, precision: str, device: torch.device | str) -> None:
        """Settle where and how exactly the network computes.

        Raises:
            ConfigError: an unknown precision, or no such device.
        """
        self._device = choose_device(device)
        self._precision = resolve_precision(precision, self._device, self.name)

    def use(
        self,
        network: nn.Module,
        file: WeightFile,
        *,
        dim: int,
        given: ImageInput,
        foldable: bool = True,
    ) -> None:
        """Take a network, evaluating and with its weights, into service; see `ImageNetwork`.

        Raises:
            ConfigError: the network does not work in this precision.
        """
        self.dim = dim
        self.input_size = given.side
        self._digest = file.sha256
        self._network = ImageNetwork(
            network,
            given=given,
            precision=self._precision,
            device=self._device,
            encoder=self.name,
            foldable=foldable,
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
        """Embed whole crops [n, S, S, 3] uint8; [n, D] float32, of unit length if said so."""
        embedded = self._network(crops)
        return (functional.normalize(embedded) if self.unit_length else embedded).numpy()


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
