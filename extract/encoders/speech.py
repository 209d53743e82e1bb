"""What speech networks that read a waveform have in common: set-up, layers, identity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ...device import choose_device
from ...errors import ConfigError
from .precision import exactly, place, resolve_precision
from .waveform import Steps, WaveformEncoder, sample_sound

_GPU_BATCH = 16  # windows of one length at once


class SpeechEncoder(WaveformEncoder):
    """A frozen network from waveforms [b, n] to features [b, F, D] float32.

    A subclass's constructor calls this one's, then opens the weights, then `use`s the network.
    """

    def __init__(self, *, precision: str, device: torch.device | str) -> None:
        """Settle where and how exactly the network computes.

        Raises:
            ConfigError: an unknown precision, or no such device.
        """
        self._device = choose_device(device)
        self._precision = resolve_precision(precision, self._device, self.name)
        self.batch = _GPU_BATCH if self._device.type == "cuda" else 1

    def use(
        self,
        network: nn.Module,
        *,
        dim: int,
        steps: Steps,
        layers: Sequence[int],
        facts: Mapping[str, Any],
    ) -> None:
        """Take a network, evaluating and with its weights, into service.

        Args:
            network: float32, on the CPU.
            dim: D.
            steps: how its features lie in the sound.
            layers: the numbers of the layers whose mean it gives.
            facts: what else is part of the identity: the weights' digests.

        Raises:
            ConfigError: the network does not work in this precision.
        """
        self.dim = dim
        self.steps = steps
        self._facts = {**facts, "layers": list(layers)}
        self._network = place(
            network, self._device, self._precision, sample=sample_sound(), encoder=self.name
        )

    def identity(self) -> dict[str, Any]:
        """All that determines the values."""
        return {
            "name": self.name,
            **self._facts,
            **self.timing(),
            "precision": self._precision,
        }

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
