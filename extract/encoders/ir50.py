"""`ir50`: the IR-50 face network with weights of your own; 512 values of unit length."""

from __future__ import annotations

import torch

from ...errors import ConfigError
from ..weights.checkpoints import load_network
from .images import ImageEncoder, ImageInput, check_side
from .pretrained import open_weights
from .registry import register_encoder


@register_encoder("ir50")
class IR50Encoder(ImageEncoder):
    """IR-50 (Deng et al. 2019), l2-normalised; your own MS-Celeb-1M or FER+ weights.

    The whole crop is scaled to `size`, of which the network gets the `centre` part, as
    (x / 255 - 0.5) / 0.5. Face recognition networks read 112 px; the affect papers' network reads
    the centre 40 px of 48: size=48, centre=40.
    """

    unit_length = True

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
        super().__init__(precision=precision, device=device)
        file = open_weights(weights, architecture="ir50", encoder=self.name)
        given = ImageInput(size, centre)
        self.use(load_network(file, crop=given.side), file, dim=512, given=given)
