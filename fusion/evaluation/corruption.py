"""Damage done on purpose to what a model is fed, to see how it copes; the cache stays as it is.

Damage is decided once per video, in frames: windows that overlap see the same, and so does every
run. More severe damage of a kind contains the less severe.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...cache.store import FeatureStore
from ...cache.timeline import usable
from ...cache.windows import Window
from ...errors import ConfigError
from ..config import FitConfig
from ..data.loader import BatchLoader, Tensors

STRETCH = 2.0  # seconds; what is dropped or occluded is so for about so long at a time

# Kind -> (modality it strikes, what its severity is).
KINDS = {
    "drop-audio": ("audio", "share of the frames without audio"),
    "drop-video": ("visual", "share of the frames without a face"),
    "occlude-video": ("visual", "share of the frames that show an earlier face"),
    "shift-audio": ("audio", "frames by which the audio comes late"),
    "noise-audio": ("audio", "Gaussian noise, in std of the training rows"),
    "noise-video": ("visual", "Gaussian noise, in std of the training rows"),
}


@dataclass(frozen=True)
class Corruption:
    """One kind of damage at one severity.

    `drop-*` makes rows unusable, in stretches of two seconds. `occlude-video` holds the face of the
    row before such a stretch (of the first row, where there is none) and keeps calling it usable.
    `shift-audio` gives row i the audio of row i - n, none where there is no such row. `noise-*`
    adds to every channel Gaussian noise of `severity` times its deviation over the training rows.
    All streams of the modality are struck alike.

    Attributes:
        kind: a key of `KINDS`.
        severity: a share in [0, 1], a whole number of frames (any sign), or a factor >= 0; 0 is
            no damage.
        seed: of the stretches and the noise.
    """

    kind: str
    severity: float
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if self.kind not in KINDS:
            raise ConfigError(f"no corruption is called `{self.kind}`; kinds: {', '.join(KINDS)}")
        form = self.kind.partition("-")[0]
        allowed, fits = {
            "shift": ("a whole number of frames", self.severity == round_finite(self.severity)),
            "noise": ("0 or more", 0 <= self.severity < math.inf),
        }.get(form, ("a share from 0 to 1", 0 <= self.severity <= 1))
        if not fits:
            raise ConfigError(f"the severity of {self.kind} is {allowed}; got {self.severity:g}")

    @property
    def modality(self) -> str:
        """`audio` or `visual`: the streams it strikes."""
        return KINDS[self.kind][0]

    def to_json(self) -> dict[str, Any]:
        """What reports say of it."""
        return {"kind": self.kind, "severity": self.severity, "seed": self.seed}


def round_finite(value: float) -> float:
    """The nearest whole number; NaN for what has none."""
    return float(round(value)) if math.isfinite(value) else math.nan


def parse_corruption(text: str, seed: int = 0) -> list[Corruption]:
    """Read `KIND=SEVERITY,SEVERITY,...`.

    Raises:
        ConfigError: not of this form, or a kind or severity that cannot be.
    """
    kind, equals, numbers = text.partition("=")
    try:
        severities = [float(number) for number in numbers.split(",")]
    except ValueError:
        severities = []
    if not (equals and severities):
        raise ConfigError(
            f"--corrupt {text}: expected KIND=SEVERITY,..., e.g. drop-audio=0,0.25,0.5,1; kinds: "
            f"{', '.join(KINDS)}"
        )
    return [Corruption(kind, severity, seed) for severity in severities]


def struck_rows(
    pts: np.ndarray, share: float, rng: np.random.Generator, stretch: float = STRETCH
) -> np.ndarray:
    """Choose a share of the rows in stretches of time: [T] bool with round(share * T) rows True.

    The video is cut into stretches with a random offset; they are struck in a random order until
    the share is reached, the last one in part. With equal random numbers a larger share contains
    a smaller one.

    Args:
        pts: [T] seconds.
        share: of the rows, to the nearest row.
    """
    _, number = np.unique(np.floor((pts - pts[0]) / stretch + rng.random()), return_inverse=True)
    order = np.argsort(rng.permutation(number[-1] + 1)[number], kind="stable")
    struck = np.zeros(len(pts), bool)
    struck[order[: round(share * len(pts))]] = True
    return struck


def corrupt_rows(
    corruption: Corruption,
    features: np.ndarray,
    valid: np.ndarray,
    *,
    pts: np.ndarray,
    deviation: np.ndarray,
    video: str,
    stream: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Damage all rows of one stream of one video.

    Args:
        features: [T, D].
        valid: [T] bool.
        pts: [T] seconds.
        deviation: [D], of the training rows.
        video: item id; which rows are struck depends on it, the seed and the kind alone, the noise
            also on `stream`.

    Returns:
        Features [T, D] and valid [T]; the arguments stay as they are.
    """
    seeds = [corruption.seed, _number(corruption.kind), _number(video)]
    form, severity, rows = corruption.kind.partition("-")[0], corruption.severity, len(valid)
    if form == "noise":
        rng = np.random.default_rng([*seeds, _number(stream)])
        noise = rng.standard_normal(features.shape, np.float32)
        return features.astype(np.float32) + noise * np.float32(severity) * deviation, valid
    if form == "shift":
        source = np.arange(rows) - int(severity)
        exists = (source >= 0) & (source < rows)
        source = source.clip(0, rows - 1)
        return features[source], valid[source] & exists
    struck = struck_rows(pts, severity, np.random.default_rng(seeds))
    if form == "drop":
        return features, valid & ~struck
    source = np.maximum.accumulate(np.where(struck, 0, np.arange(rows)))
    return features[source], valid[source]


def _number(text: str) -> int:
    return zlib.crc32(text.encode())


class CorruptedLoader(BatchLoader):
    """A loader whose struck streams are damaged on the way to the network."""

    def __init__(
        self,
        store: FeatureStore,
        config: FitConfig,
        device: torch.device,
        *,
        corruption: Corruption,
        deviations: Mapping[str, np.ndarray],
    ) -> None:
        """Prepare; `deviations` maps role -> [D] float32, of the run's training rows."""
        super().__init__(store, config, device)
        self._corruption = corruption
        self._deviations = deviations
        self._struck = {
            role: name
            for role, name in config.streams.items()
            if store.modality(name) == corruption.modality
        }

    def batches(
        self, windows: Sequence[Window], rng: np.random.Generator | None = None
    ) -> Iterator[Tensors]:
        """The windows in their order, damaged; only for evaluation, so without `rng`."""
        items: dict[str, dict[str, tuple[Tensor, Tensor]]] = {}
        for batch in super().batches(windows, rng):
            # Only the videos of this batch are kept: noise on a wide stream is large.
            names = {window.video for window in batch.windows}
            items = {video: items.get(video) or self._damage(video) for video in names}
            streams, valid = dict(batch.streams), dict(batch.valid)
            for role in self._struck:
                rows = [items[window.video][role] for window in batch.windows]
                streams[role] = self._stack([x for x, _ in rows], batch.windows)
                valid[role] = self._stack([v for _, v in rows], batch.windows)
            yield replace(batch, streams=streams, valid=valid)

    def _damage(self, video: str) -> dict[str, tuple[Tensor, Tensor]]:
        """Role -> features [T, D] and valid [T], damaged."""
        result = {}
        for role, name in self._struck.items():
            features, valid = corrupt_rows(
                self._corruption,
                self.store.read(video, name),
                usable(self.store.status(video, name)),
                pts=self.store.timeline(video).pts,
                deviation=self._deviations[role],
                video=video,
                stream=name.partition("@")[0],
            )
            # A copy: rows as stored are a read-only view of the cache.
            result[role] = torch.from_numpy(np.array(features)), torch.from_numpy(np.array(valid))
        return result

    def _stack(self, items: Sequence[Tensor], windows: Sequence[Window]) -> Tensor:
        """Cut each item's window and pad it with zeros: [B, L, ...]."""
        out = items[0].new_zeros((len(windows), self.config.window, *items[0].shape[1:]))
        for i, (values, window) in enumerate(zip(items, windows, strict=True)):
            out[i, : window.stop - window.start] = values[window.start : window.stop]
        return out.to(self.device)
