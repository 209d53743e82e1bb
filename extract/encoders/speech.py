"""What speech networks that read a waveform have in common: device, precision, batches."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ...device import choose_device
from ..media import RATE
from .precision import exactly, place, resolve_precision
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
        self.batch = _GPU_BATCH if self._device.type == "cuda" else 1
        self._network = place(
            network,
            self._device,
            resolve_precision(precision, self._device, name),
            sample=sample_sound(),
            encoder=name,
        )

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Features [b, F, D] float32 of windows [b, n] float32."""
        with exactly():
            return self._network(torch.from_numpy(windows).to(self._device)).cpu().numpy()


def sample_sound() -> torch.Tensor:
    """Half a second of rising tone, [1, 8000] float32, to try a network on."""
    time = torch.arange(RATE // 2) / RATE
    return 0.1 * torch.sin(2 * torch.pi * (200 + 800 * time) * time)[None]
