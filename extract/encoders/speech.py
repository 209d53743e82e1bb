"""What speech networks that read a waveform have in common: device, precision, batches."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ...device import choose_device
from ...numerics import inferring
from ..media import RATE
from .precision import place, resolve_precision, to_device
from .waveform import Steps, WaveformEncoder

_GPU_BATCH = 16  # windows of one length at once


class SpeechEncoder(WaveformEncoder):
    """A frozen network from waveforms [b, n] to features [b, F, D] float32."""

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        dim: int,
        steps: Steps,
        precision: str,
        device: torch.device | str,
    ) -> None:
        """Take a network, evaluating and with its weights, into service.

        Args:
            network: float32, on the CPU.
            name: the encoder's, for messages.
            dim: D.
            steps: how its features lie in the sound.
            precision: float32, bfloat16, or auto.
            device: where it runs.

        Raises:
            ConfigError: an unknown precision, no such device, or the network does not work so.
        """
        self.name, self.dim, self.steps = name, dim, steps
        self._device = choose_device(device)
        self.batch = 1 if self._device.type == "cpu" else _GPU_BATCH
        self._network = place(
            network,
            self._device,
            resolve_precision(precision, self._device, name),
            sample=sample_sound(),
            encoder=name,
        )

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Features [b, F, D] float32 of windows [b, n] float32."""
        with inferring():
            sound = to_device(torch.from_numpy(windows), self._device)
            return self._network(sound).cpu().numpy()


def sample_sound() -> torch.Tensor:
    """Half a second of rising tone, [1, 8000] float32, to try a network on."""
    time = torch.arange(RATE // 2) / RATE
    return 0.1 * torch.sin(2 * torch.pi * (200 + 800 * time) * time)[None]
