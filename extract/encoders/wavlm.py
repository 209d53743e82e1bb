"""`wavlm`: torchaudio's WavLM on the sound, interpolated to the frames; 768 or 1024 values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...errors import ConfigError
from ..weights.table import WeightFile
from .base import Encoder
from .pretrained import open_weights
from .registry import register_encoder
from .waveform import SpeechOptions, choose_layers

_SIZES = {  # architecture, layers, dimension, whether the input is normalised, as torchaudio does
    "base": ("wavlm-base", 12, 768, False),
    "base-plus": ("wavlm-base", 12, 768, False),
    "large": ("wavlm-large", 24, 1024, True),
}
_HOP, _FIELD = 320, 400  # samples; feature k is centred at (320 k + 200) / 16000 s


@register_encoder("wavlm")
@dataclass(frozen=True, kw_only=True)
class WavLMOptions(SpeechOptions):
    """WavLM (Chen et al. 2022), one layer or the mean of several, every 20 ms.

    Sound up to 13 s goes through whole, longer sound in windows of 13 s, of which 1.5 s at either
    side are context: the base networks normalise each channel over the window, and attention
    sees just the window. Large normalises its input, too, over the window.

    Attributes:
        size: which network.
        weights: name or path of the weights; None for torchaudio's of that size.
    """

    size: Literal["base", "base-plus", "large"] = "base"
    weights: str | None = None

    def __post_init__(self) -> None:
        """Refuse options out of range."""
        super().__post_init__()
        if self.size not in _SIZES:
            raise ConfigError(f"encoder `wavlm`: size `{self.size}` is none of {', '.join(_SIZES)}")
        object.__setattr__(self, "layer", self._layers)

    @property
    def _layers(self) -> tuple[int, ...]:
        return choose_layers(self.name, self.layer, self._facts[1])

    @property
    def _facts(self) -> tuple[str, int, int, bool]:
        return _SIZES[self.size]

    @property
    def dim(self) -> int:
        """768, or 1024 of the large network; of several layers that many times."""
        return self._facts[2] * (len(self._layers) if self.stack else 1)

    def describe(self) -> dict[str, Any]:
        """Base and base-plus are one network; their weights differ."""
        return super().describe() | {"size": self._facts[0].removeprefix("wavlm-")}

    def weights_files(self) -> dict[str, WeightFile]:
        """The file of weights."""
        weights = self.weights or f"wavlm-{self.size}"
        return {"weights": open_weights(weights, self._facts[0], encoder=self.name)}

    def load(self, device: str) -> Encoder:
        """Load the network."""
        from ..networks.wavlm import WavLMLayers
        from ..weights.checkpoints import load_network
        from .speech import SpeechEncoder

        network = load_network(self.weights_files()["weights"])
        return SpeechEncoder(
            WavLMLayers(network, layers=self._layers, stack=self.stack, normalise=self._facts[3]),
            name=self.name,
            dim=self.dim,
            steps=self.steps(hop=_HOP, field=_FIELD),
            precision=self.precision,
            device=device,
        )
