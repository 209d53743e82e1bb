"""Feeds batches of windows to a network as tensors on its device, as fast as memory allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...cache.store import FeatureStore
from ...cache.timeline import usable
from ...cache.windows import POLICIES, Batch, Window, WindowReader
from ..config import FitConfig
from .plan import views_of


@dataclass(frozen=True)
class Tensors:
    """A batch on the device.

    Attributes:
        streams: role -> [B, L, D], as stored (float16 or float32).
        valid: role -> [B, L] bool, usable rows.
        mask: [B, L] bool, False where padded; None when nothing is padded.
        labels: [B, L, targets] float32.
        annotated: [B, L, targets] bool.
        windows: the B windows.
    """

    streams: dict[str, Tensor]
    valid: dict[str, Tensor]
    mask: Tensor | None
    labels: Tensor
    annotated: Tensor
    windows: list[Window]


def counted_frames(tensors: Tensors, config: FitConfig) -> Tensor:
    """Which frames of a batch count in the loss, [B, L, targets] bool.

    Annotated ones; with missing = "exclude" only those that have a usable row of the video, too.
    """
    if config.missing != "exclude":
        return tensors.annotated
    return tensors.annotated & tensors.valid["video"][..., None]


class BatchLoader:
    """Batches of a store under the run's memory policy.

    `map` copies windows from the mapped shards, `ram` from a private copy of every item, `device`
    gathers them on the device, where every item's rows stay once they were used.

    Attributes:
        store: where the features are.
        config: streams, windows, batch size and memory policy.
        device: where the tensors go.
    """

    def __init__(self, store: FeatureStore, config: FitConfig, device: torch.device) -> None:
        self.store = store
        self.config = config = config.resolved()
        self.device = device
        self._tables: dict[tuple[str, tuple[str, ...]], _Table] = {}
        self._views = {
            role: views_of(store, name) if config.views else []
            for role, name in config.streams.items()
        }
        self._reader: WindowReader | None = None
        if config.memory in POLICIES:
            self._reader = WindowReader(
                store,
                config.streams,
                length=config.window,
                batch=config.batch,
                policy=config.memory,
                delay=config.label_delay,
                targets=config.learned,
                allocate=_pinned if device.type == "cuda" else np.empty,
            )

    def batches(
        self, windows: Sequence[Window], rng: np.random.Generator | None = None
    ) -> Iterator[Tensors]:
        """The windows in their order, `config.batch` at a time.

        A batch on the CPU stays as it is until the one after the next is made.

        Args:
            rng: for training: draws one of a stream's stored views for each window.

        Raises:
            CacheError: rows are missing.
        """
        for start in range(0, len(windows), self.config.batch):
            chosen = list(windows[start : start + self.config.batch])
            streams = [self._streams(window.video, rng) for window in chosen]
            if self._reader is None:
                yield self._gather_on_device(chosen, streams)
            else:
                yield self._move(self._reader.read(chosen, streams))

    def _streams(self, video: str, rng: np.random.Generator | None) -> Mapping[str, str]:
        """Role -> the stream to read a window of this video from."""
        if rng is None or not any(self._views.values()):
            return self.config.streams
        drawn = {}
        for role, name in self.config.streams.items():
            there = [view for view in self._views[role] if self.store.has(video, view)]
            drawn[role] = [name, *there][rng.integers(len(there) + 1)]
        return drawn

    def _move(self, batch: Batch) -> Tensors:
        def move(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values).to(self.device, non_blocking=True)

        return Tensors(
            streams={role: move(x) for role, x in batch.features.items()},
            valid={role: move(v) for role, v in batch.valid.items()},
            mask=None if batch.mask.all() else move(batch.mask),
            labels=move(batch.labels),
            annotated=move(np.isfinite(batch.labels)),
            windows=batch.windows,
        )

    def _gather_on_device(
        self, windows: Sequence[Window], streams: Sequence[Mapping[str, str]]
    ) -> Tensors:
        tables = [
            self._table(window.video, names) for window, names in zip(windows, streams, strict=True)
        ]
        length = self.config.window
        mask = torch.zeros(len(windows), length, dtype=torch.bool)
        for i, window in enumerate(windows):
            mask[i, : window.stop - window.start] = True

        def stack(parts: Sequence[Tensor], fill: float) -> Tensor:
            out = parts[0].new_full((len(windows), length, *parts[0].shape[1:]), fill)
            for i, (part, window) in enumerate(zip(parts, windows, strict=True)):
                out[i, : window.stop - window.start] = part[window.start : window.stop]
            return out

        labels = stack([table.labels for table in tables], float("nan"))
        roles = self.config.streams
        return Tensors(
            streams={role: stack([t.features[role] for t in tables], 0) for role in roles},
            valid={role: stack([t.valid[role] for t in tables], 0) for role in roles},
            mask=None if bool(mask.all()) else mask.to(self.device),
            labels=labels,
            annotated=labels.isfinite(),
            windows=list(windows),
        )

    def _table(self, video: str, streams: Mapping[str, str]) -> _Table:
        key = video, tuple(streams.values())
        table = self._tables.get(key)
        if table is None:

            def put(values: np.ndarray) -> Tensor:
                return torch.from_numpy(np.array(values)).to(self.device)

            store, config = self.store, self.config
            table = self._tables[key] = _Table(
                {role: put(store.read(video, name)) for role, name in streams.items()},
                {role: put(usable(store.status(video, name))) for role, name in streams.items()},
                put(store.labels(video, config.learned, delay=config.label_delay)),
            )
        return table


@dataclass(frozen=True)
class _Table:
    """All rows of one item on the device."""

    features: dict[str, Tensor]
    valid: dict[str, Tensor]
    labels: Tensor


def _pinned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A page-locked buffer, from which copies to the GPU run beside the computation."""
    kind = torch.from_numpy(np.empty(0, dtype)).dtype
    return torch.empty(shape, dtype=kind, pin_memory=True).numpy()
