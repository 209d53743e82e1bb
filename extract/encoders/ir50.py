"""`ir50`: the IR-50 face network with weights of your own; 512 values of unit length."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ...cache.errors import ConfigError
from ..checkpoints import load_network
from .base import VisualEncoder
from .images import ImageInput, ImageNetwork, check_side
from .precision import open_device, resolve_precision
from .pretrained import open_weights
from .registry import register_encoder


@register_encoder("ir50")
class IR50Encoder(VisualEncoder):
    """IR-50 (Deng et al. 2019), l2-normalised; your own MS-Celeb-1M or FER+ weights.

    The whole crop is scaled to `size`, of which the network gets the `centre` part, as
    (x / 255 - 0.5) / 0.5. Face recognition networks read 112 px; the affect papers' network reads
    the centre 40 px of 48: size=48, centre=40.
    """

    def __init__(
        self,
        *,
        weights: str = "ir50",
        size: int = 112,
        centre: int | None = None,
        precision: str = "auto",
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the weights.

        Args:
            weights: name or path of the weights.
            size: side in pixels that crops are scaled to.
            centre: side of the centre part that the network reads; None for all.
            precision: float32, bfloat16, or auto.
            device: torch device.

        Raises:
            WeightsError: the weights are absent, or do not fit the network or this input.
            ConfigError: options out of range, or no such device.
        """
        check_side(self.name, "size", size, low=16)
        if centre is not None:
            check_side(self.name, "centre", centre, low=16)
            if centre > size:
                raise ConfigError(
                    f"encoder `ir50`: centre ({centre}) must not exceed size ({size})"
                )
        place = open_device(device, self.name)
        given = ImageInput(size, centre)
        self.dim = 512
        self.input_size = given.side
        self._precision = resolve_precision(precision, place, self.name)
        file = open_weights(weights, architecture="ir50", encoder=self.name)
        self._digest = file.sha256
        self._network = ImageNetwork(
            load_network(file, crop=given.side),
            given=given,
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
        """Embed whole crops [n, S, S, 3] uint8; [n, 512] float32 of unit length."""
        return functional.normalize(self._network(crops)).numpy()
