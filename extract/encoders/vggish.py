"""`vggish`: AudioSet's VGGish on the 0.96 s of sound around each frame; 128 values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch

from ...cache.timeline import Timeline, usable
from ...device import choose_device
from ...errors import ConfigError
from ..media.audio import RATE, AudioBlock
from ..weights.checkpoints import load_network
from .base import AudioEncoder
from .precision import exactly, place, resolve_precision, torch_dtype
from .pretrained import open_weights
from .registry import register_encoder
from .sound import rows_with_sound
from .vggish_patches import BANDS, LENGTH, SPECTRA, VGGishPatches

_CPU_BATCH = 32  # patches per call of the network


@register_encoder("vggish")
class VGGishEncoder(AudioEncoder):
    """VGGish (Hershey et al. 2017) of one log-mel patch per frame.

    A patch begins at the sample nearest to where it should, at most 31 us off at any frame rate;
    its spectra are computed from there, not taken from a grid. Without sound around it, it hears
    silence; a frame of which less than half is heard is NO_AUDIO.
    """

    def __init__(
        self,
        *,
        weights: str = "vggish",
        placement: Literal["centre", "forward"] = "centre",
        relu: bool = True,
        pca: bool | str = False,
        precision: str = "auto",
        device: torch.device | str = "cpu",
    ) -> None:
        """Load the weights.

        Args:
            weights: name or path of the weights.
            placement: "centre" has the patch's middle at the frame's time; "forward" has its
                beginning there, as common ports do.
            relu: whether the last layer ends in its ReLU, as AudioSet's does.
            pca: AudioSet's PCA with whitening, clipped to -2..2: whether, or name or path of its
                parameters.
            precision: float32, bfloat16, or auto.
            device: torch device.

        Raises:
            WeightsError: weights are absent or do not fit.
            ConfigError: options out of range or at odds, or no such device.
        """
        if placement not in ("centre", "forward"):
            raise ConfigError(
                f"encoder `vggish`: placement `{placement}` is neither centre nor forward"
            )
        if pca and not relu:
            raise ConfigError(
                "encoder `vggish`: the PCA was fitted to values after the last ReLU; use relu=true "
                "with it, or pca=false"
            )
        self._device = choose_device(device)
        self.dim = 128
        self._precision = resolve_precision(precision, self._device, self.name)
        self._dtype = torch_dtype(self._precision)
        file = open_weights(weights, architecture="vggish", encoder=self.name)
        self._network = place(
            load_network(file),
            self._device,
            self._precision,
            sample=torch.linspace(-4, 2, SPECTRA * BANDS).view(1, 1, SPECTRA, BANDS),
            encoder=self.name,
            images=True,
        )
        self._pca, pca_digest = None, None
        if pca:
            chosen = "vggish-pca" if pca is True else pca
            pca_file = open_weights(chosen, architecture="vggish-pca", encoder=self.name)
            self._pca, pca_digest = load_network(pca_file).to(self._device), pca_file.sha256
        self._patches = VGGishPatches(self._device)
        self._relu = relu
        self._before = LENGTH // 2 if placement == "centre" else 0
        self._identity = {
            "name": self.name,
            "weights": file.sha256,
            "placement": placement,
            "relu": relu,
            "pca": pca_digest,
            "rate": RATE,
            "precision": self._precision,
        }

    def identity(self) -> dict[str, Any]:
        """All that determines the values."""
        return dict(self._identity)

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
        batch = len(starts) if self._device.type == "cuda" else _CPU_BATCH
        with exactly():
            patches = self._patches(samples, starts)[:, None].to(self._dtype)  # [n, 1, 96, 64]
            parts = [self._network(part).float() for part in patches.split(batch)]
            embedding = torch.cat(parts)
            embedding = embedding.relu() if self._relu else embedding
            embedding = self._pca(embedding) if self._pca is not None else embedding
            return embedding.cpu().numpy()
