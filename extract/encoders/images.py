"""Crops through a frozen image network: scaled, normalised, in batches, on any device."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...device import choose_device
from ...device_faults import Batches
from ...numerics import inferring
from .base import VisualEncoder
from .image_input import ImageInput
from .precision import place, resolve_precision, to_device, torch_dtype

_CPU_PIXELS = 1 << 18  # of a batch: more of them fall out of the cache and halve the speed
_GPU_BATCH = 256


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
            precision: "float32", "bfloat16" or "float16".
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
        most = few if device.type == "cpu" else _GPU_BATCH
        self._batches = Batches(encoder, most, str(device))
        self._mean, self._std = (
            255 * torch.tensor(value)[:, None, None].to(device) for value in (given.mean, given.std)
        )

    def __call__(self, crops: np.ndarray) -> torch.Tensor:
        """Crops [n, S, S, 3] uint8 RGB to [n, D] float32 on the CPU."""
        with inferring():
            parts = self._batches.map(
                lambda part: self._network(self._prepare(part)).float(), crops
            )
            return torch.cat(parts).cpu()

    def _prepare(self, crops: np.ndarray) -> torch.Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(crops))  # [n, S, S, 3]
        pixels = to_device(pixels, self._device)
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
        images = ((images - self._mean) / self._std).to(self._dtype)
        return images.contiguous(memory_format=torch.channels_last)


class ImageEncoder(VisualEncoder):
    """A frozen network on whole crops."""

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        dim: int,
        given: ImageInput,
        precision: str,
        device: torch.device | str,
        unit_length: bool = False,
        foldable: bool = True,
    ) -> None:
        """Take a network into service.

        Args:
            network: evaluating, with its weights, float32, on the CPU.
            name: the encoder's, for messages.
            dim: length D of what the network gives.
            given: what it sees of a crop.
            precision: float32, bfloat16, or auto.
            device: where it runs.
            unit_length: whether embeddings are l2-normalised, in float32.
            foldable: whether its forward is plain enough to be traced.

        Raises:
            ConfigError: an unknown precision, no such device, or the network does not work so.
        """
        place = choose_device(device)
        self.name = name
        self.dim = dim
        self.input_size = given.side
        self._unit_length = unit_length
        self._network = ImageNetwork(
            network,
            given=given,
            precision=resolve_precision(precision, place, name),
            device=place,
            encoder=name,
            foldable=foldable,
        )

    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        """Embed whole crops [n, S, S, 3] uint8; [n, D] float32, of unit length if said so."""
        embedded = self._network(crops)
        return (functional.normalize(embedded) if self._unit_length else embedded).numpy()
