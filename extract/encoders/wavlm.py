"""`wavlm`: torchaudio's WavLM on the sound, interpolated to the frames; 768 or 1024 values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch

from ...cache.errors import ConfigError
from ..checkpoints import load_network
from .precision import exactly, open_device, place, resolve_precision
from .pretrained import open_weights
from .registry import register_encoder
from .waveform import WaveformEncoder, cut_steps, sample_sound
from .wavlm_network import WavLMLayers

_SIZES = {  # architecture, layers, dimension, whether the input is normalised, as torchaudio does
    "base": ("wavlm-base", 12, 768, False),
    "base-plus": ("wavlm-base", 12, 768, False),
    "large": ("wavlm-large", 24, 1024, True),
}
_HOP, _FIELD = 320, 400  # samples; feature k is centred at (320 k + 200) / 16000 s


@register_encoder("wavlm")
class WavLMEncoder(WaveformEncoder):
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
        architecture, depth, self.dim, normalise = _SIZES[size]
        layers = choose_layers(self.name, layer, depth)
        self.steps = cut_steps(self.name, chunk=chunk, context=context, hop=_HOP, field=_FIELD)
        self._device = open_device(device, self.name)
        self._precision = resolve_precision(precision, self._device, self.name)
        self.batch = 16 if self._device.type == "cuda" else 1
        file = open_weights(
            weights or f"wavlm-{size}", architecture=architecture, encoder=self.name
        )
        network = WavLMLayers(load_network(file), layers=layers, normalise=normalise)
        self._network = place(
            network, self._device, self._precision, sample=sample_sound(), encoder=self.name
        )
        self._identity = {
            "name": self.name,
            "network": architecture,
            "weights": file.sha256,
            "layers": list(layers),
            **self.timing(),
            "precision": self._precision,
        }

    def identity(self) -> dict[str, Any]:
        """All that determines the values."""
        return dict(self._identity)

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Features [b, F, D] float32 of windows [b, n] float32."""
        with exactly():
            return self._network(torch.from_numpy(windows).to(self._device)).cpu().numpy()


def choose_layers(encoder: str, layer: int | str | Sequence[int], depth: int) -> tuple[int, ...]:
    """Numbers of layers from 1, each once, in order.

    Raises:
        ConfigError: no such layer, or none.
    """
    if layer == "mean":
        return tuple(range(1, depth + 1))
    asked = list(layer) if isinstance(layer, list | tuple) else [layer]
    counted = {
        number + depth + 1 if number < 0 else number
        for number in asked
        if isinstance(number, int) and not isinstance(number, bool) and 1 <= abs(number) <= depth
    }
    if not asked or len(counted) < len(set(asked)):
        raise ConfigError(
            f"encoder `{encoder}`: layer must be one or several of 1..{depth} (or -1..-{depth} "
            f"from the end), or mean; got {layer}"
        )
    return tuple(sorted(counted))
