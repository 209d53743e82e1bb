"""A speech network of transformers, made from a folder as the hub has it; downloads nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..networks.wavlm import join_layers
from ..weights.checkpoints import load_strictly, read_state


def load_hf_network(config: Any, weights: Path) -> Any:
    """The network of a configuration with the weights, evaluating, without gradients.

    Raises:
        WeightsError: the weights do not fit.
    """
    import transformers

    network = transformers.AutoModel.from_config(config, trust_remote_code=False)
    load_strictly(network, _rename(read_state(weights), network), weights)
    return network.eval().requires_grad_(False)


class HiddenStates(nn.Module):
    """Waveforms [b, n] to some hidden states, their mean or side by side."""

    def __init__(
        self, network: nn.Module, layers: tuple[int, ...], *, stack: bool, normalise: bool
    ) -> None:
        super().__init__()
        self._stack = stack
        self.network = network
        self._layers = layers
        self._normalise = normalise

    def forward(self, sound: torch.Tensor) -> torch.Tensor:
        """[b, n] float32 to [b, F, D], or [b, F, layers * D]."""
        if self._normalise:  # as Wav2Vec2FeatureExtractor
            variance, mean = torch.var_mean(sound, dim=1, correction=0, keepdim=True)
            sound = (sound - mean) / torch.sqrt(variance + 1e-7)
        sound = sound.to(next(self.parameters()).dtype)
        states = self.network(sound, output_hidden_states=True).hidden_states
        chosen = [states[layer].float() for layer in self._layers]
        return join_layers(chosen, stack=self._stack)


def _rename(state: dict[str, torch.Tensor], network: Any) -> dict[str, torch.Tensor]:
    """Names as in the network: without the prefix of a larger one and its heads."""
    prefix = f"{network.base_model_prefix}."
    if any(key.startswith(prefix) for key in state):
        state = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        state = {
            key.replace(f".conv.{old}", f".conv.parametrizations.weight.{new}"): value
            for key, value in state.items()
        }
    if "masked_spec_embed" in network.state_dict():  # of training; some files lack it
        state.setdefault("masked_spec_embed", network.masked_spec_embed)
    return state
