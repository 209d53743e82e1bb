"""`wavlm`: torchaudio's WavLM on the sound, interpolated to the frames; 768 or 1024 values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch

from ...errors import ConfigError
from ..networks.wavlm import WavLMLayers
from ..weights.checkpoints import load_network
from .pretrained import open_weights
from .registry import register_encoder
from .speech import SpeechEncoder, choose_layers
from .waveform import cut_steps

_SIZES = {  # architecture, layers, dimension, whether the input is normalised, as torchaudio does
    "base": ("wavlm-base", 12, 768, False),
    "base-plus": ("wavlm-base", 12, 768, False),
    "large": ("wavlm-large", 24, 1024, True),
}
_HOP, _FIELD = 320, 400  # samples; feature k is centred at (320 k + 200) / 16000 s


@register_encoder("wavlm")
class WavLMEncoder(SpeechEncoder):
    """WavLM (Chen et al. 2022), one layer or the mean of several, every 20 ms.

    Sound up to 13 s goes through whole, longer sound in windows of 13 s, of which 1.5 s at either
    side are context: the base networks normalise each channel over the window, and attention
    sees just the window. Large normalises its input, too, over the window.
    """

    def __init__(
        self,
        *,
        size: Literal["base", "base-plus", "large"] = "base",
        layer: int | str | Sequence[int] = -1,
        weights: str | None = None,
        chunk: float = 10.0,
        context: float = 1.5,
        precision: str = "auto",
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the weights.

        Args:
            size: which network.
            layer: output of a transformer layer from 1, or from the end as -1; several of them, or
                "mean" for all, are averaged.
            weights: name or path of the weights; None for torchaudio's of that size.
            chunk: seconds that a window contributes.
            context: seconds on either side of them.
            precision: float32, bfloat16, or auto.
            device: torch device.

        Raises:
            WeightsError: the weights are absent or do not fit.
            ConfigError: options out of range, or no such device.
        """
        if size not in _SIZES:
            raise ConfigError(f"encoder `wavlm`: size `{size}` is none of {', '.join(_SIZES)}")
        architecture, depth, dim, normalise = _SIZES[size]
        layers = choose_layers(self.name, layer, depth)
        steps = cut_steps(self.name, chunk=chunk, context=context, hop=_HOP, field=_FIELD)
        super().__init__(precision=precision, device=device)
        file = open_weights(
            weights or f"wavlm-{size}", architecture=architecture, encoder=self.name
        )
        self.use(
            WavLMLayers(load_network(file), layers=layers, normalise=normalise),
            dim=dim,
            steps=steps,
            layers=layers,
            facts={"network": architecture, "weights": file.sha256},
        )
