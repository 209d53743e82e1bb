"""Computes `vggish`: patches of the sound around each frame through the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from ...cache.timeline import Timeline, usable
from ...device import choose_device
from ...device_faults import Batches
from ...numerics import inferring
from ..media.audio import AudioBlock
from ..weights.checkpoints import load_network
from .base import AudioEncoder
from .precision import place, resolve_precision, torch_dtype
from .sound import rows_with_sound
from .vggish import DIM, VGGishOptions
from .vggish_patches import BANDS, LENGTH, SPECTRA, VGGishPatches

_CPU_BATCH, _GPU_BATCH = 32, 256  # patches per call of the network


class VGGishEncoder(AudioEncoder):
    """The network on one log-mel patch per frame, from the very sample where it should begin."""

    dim = DIM

    def __init__(self, options: VGGishOptions, device: torch.device | str) -> None:
        """Load the weights.

        Raises:
            WeightsError: weights are absent or do not fit.
            ConfigError: no such device, or the network does not work in this precision.
        """
        self.name = options.name
        self._device = choose_device(device)
        precision = resolve_precision(options.precision, self._device, self.name)
        self._dtype = torch_dtype(precision)
        files = options.weights_files()
        self._network = place(
            load_network(files["weights"]),
            self._device,
            precision,
            sample=torch.linspace(-4, 2, SPECTRA * BANDS).view(1, 1, SPECTRA, BANDS),
            encoder=self.name,
            images=True,
        )
        self._pca = load_network(files["pca"]).to(self._device) if options.pca else None
        self._patches = VGGishPatches(self._device)
        most = _CPU_BATCH if self._device.type == "cpu" else _GPU_BATCH
        self._batches = Batches(self.name, most, str(self._device))
        self._relu = options.relu
        self._before = LENGTH // 2 if options.placement == "centre" else 0

    def encode(
        self, blocks: Iterable[AudioBlock], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the timeline in order: features [n, 128] float32, codes [n] uint8."""
        reach = {"before": self._before + 1, "after": LENGTH - self._before + 1}
        for rows in rows_with_sound(blocks, timeline, **reach):
            heard = usable(rows.codes)
            features = np.zeros((len(heard), self.dim), np.float32)
            if heard.any():
                starts = np.rint(rows.moments[heard]).astype(np.int64) - self._before
                samples = rows.sound.cut(int(starts[0]), int(starts[-1]) + LENGTH)
                features[heard] = self._embed(samples, starts - starts[0])
            yield features, rows.codes

    def _embed(self, samples: np.ndarray, starts: np.ndarray) -> np.ndarray:
        with inferring():
            patches = self._patches(samples, starts)[:, None].to(self._dtype)  # [n, 1, 96, 64]
            parts = self._batches.map(lambda part: self._network(part).float(), patches)
            embedding = torch.cat(parts)
            embedding = embedding.relu() if self._relu else embedding
            embedding = self._pca(embedding) if self._pca is not None else embedding
            return embedding.cpu().numpy()
