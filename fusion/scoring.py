"""Per-frame predictions merged from windows, and their concordance with the annotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from ..cache.errors import ConfigError
from ..cache.store import FeatureStore
from .ccc import ccc
from .config import TARGETS
from .data import columns, cut
from .feed import Feed
from .metrics import bootstrap, moments, mse, pcc


@dataclass(frozen=True)
class Evaluation:
    """Predictions of a partition and how well they agree with the annotation.

    Attributes:
        partition: train, validation or test.
        ccc: target -> CCC over all annotated frames of the partition, concatenated; and `mean`.
        mse: the same for the mean squared error.
        pcc: the same for Pearson's correlation.
        frames: target -> number of annotated frames.
        per_video: video -> target -> CCC, None where the video has no annotated frame.
        predictions: video -> [T, targets] float32, every frame.
        moments: [V, targets, 3, 3], `metrics.moments` of each of V annotated video files.
        conditions: what was done beyond predicting with one run, and what to bear in mind; empty
            for a plain evaluation.
    """

    partition: str
    ccc: dict[str, float]
    mse: dict[str, float]
    pcc: dict[str, float]
    frames: dict[str, int]
    per_video: dict[str, dict[str, float | None]]
    predictions: dict[str, np.ndarray]
    moments: np.ndarray
    conditions: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]] | None:
        """95 % bootstrap intervals of `ccc` over videos; None with fewer than two video files.

        Computed when first asked for, so that scoring every epoch does not pay for it.
        """
        bounds = bootstrap(self.moments)
        if bounds is None:
            return None
        return {
            target: (float(low), float(high))
            for target, (low, high) in zip(self.ccc, bounds, strict=True)
        }

    def to_json(self) -> dict[str, Any]:
        """Everything but the predictions and moments."""
        intervals = self.intervals
        return {
            "partition": self.partition,
            "ccc": self.ccc,
            "ccc_interval": intervals and {name: list(pair) for name, pair in intervals.items()},
            "mse": self.mse,
            "pcc": self.pcc,
            "frames": self.frames,
            "per_video": self.per_video,
            **self.conditions,
        }


def merge_windows(
    rows: int, bounds: Sequence[tuple[int, int]], values: Sequence[np.ndarray]
) -> np.ndarray:
    """Average overlapping windows.

    Args:
        rows: T of the video.
        bounds: (start, stop) of each window.
        values: [stop - start, C] of each window, or longer (padding is cut off).

    Returns:
        [T, C] float64; NaN in rows that no window covers.
    """
    total = np.zeros((rows, values[0].shape[-1]))
    count = np.zeros((rows, 1))
    for (start, stop), window in zip(bounds, values, strict=True):
        total[start:stop] += window[: stop - start]
        count[start:stop] += 1
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def predict(network: nn.Module, feed: Feed, videos: Sequence[str]) -> dict[str, np.ndarray]:
    """Predict every frame of the videos.

    Args:
        network: called with (streams, valid, mask), gives [B, L, C]; left in evaluation mode.
        feed: gives windows as tensors where the network is.
        videos: item ids.

    Returns:
        video -> [T, C] float32, overlaps averaged in float64.
    """
    network.eval()
    windows = cut(feed.store, videos, feed.config)
    values: list[np.ndarray] = []
    with torch.inference_mode():
        for tensors in feed.batches(windows):
            output = network(tensors.streams, tensors.valid, tensors.mask)
            values.extend(output.double().cpu().numpy())
    result: dict[str, np.ndarray] = {}
    for video in videos:
        own = [i for i, window in enumerate(windows) if window.video == video]
        bounds = [(windows[i].start, windows[i].stop) for i in own]
        merged = merge_windows(feed.store.rows(video), bounds, [values[i] for i in own])
        result[video] = merged.astype(np.float32)
    return result


def score(
    store: FeatureStore,
    predictions: Mapping[str, np.ndarray],
    *,
    partition: str,
    targets: Sequence[str] = TARGETS,
    conditions: Mapping[str, Any] | None = None,
) -> Evaluation:
    """Compare predictions with the annotation.

    CCC, MSE and PCC are taken over all annotated frames of all videos, concatenated, in float64
    with ddof 0; `mean` is the mean over the targets.

    Args:
        store: where the annotation is.
        predictions: video -> [T, len(targets)], a finite value for every frame.
        partition: only recorded.
        targets: what the columns of the predictions are.
        conditions: only recorded.

    Raises:
        ConfigError: a video with other rows than its annotation, or with frames not predicted; a
            target without an annotated frame.
    """
    labels = {video: store.labels(video)[:, columns(targets)] for video in predictions}
    for video, values in predictions.items():
        _require_complete(video, values, labels[video])
    overall: dict[str, dict[str, float]] = {"ccc": {}, "mse": {}, "pcc": {}}
    frames: dict[str, int] = {}
    per_video: dict[str, dict[str, float | None]] = {video: {} for video in predictions}
    for column, target in enumerate(targets):
        predicted = {video: values[:, column] for video, values in predictions.items()}
        truth = {video: values[:, column] for video, values in labels.items()}
        annotated = {video: np.isfinite(values) for video, values in truth.items()}
        frames[target] = int(sum(mask.sum() for mask in annotated.values()))
        if not frames[target]:
            raise ConfigError(
                f"no frame of the {len(predictions)} {partition} videos in {store.root} is "
                f"annotated with {target}, so there is nothing to compare with"
            )
        together = [np.concatenate(list(part.values())) for part in (predicted, truth, annotated)]
        for name, measure in (("ccc", ccc), ("mse", mse), ("pcc", pcc)):
            overall[name][target] = measure(*together)
        for video, mask in annotated.items():
            per_video[video][target] = (
                ccc(predicted[video], truth[video], mask) if mask.any() else None
            )
    for by_target in overall.values():
        by_target["mean"] = float(np.mean([by_target[target] for target in targets]))
    return Evaluation(
        partition=partition,
        **overall,
        frames=frames,
        per_video=per_video,
        predictions=dict(predictions),
        moments=_moments_of_files(store, predictions, labels),
        conditions=dict(conditions or {}),
    )


def _require_complete(video: str, values: np.ndarray, labels: np.ndarray) -> None:
    """Refuse predictions that would have to be cut, padded or filled to be compared."""
    if values.shape != labels.shape:
        raise ConfigError(
            f"{video}: predictions {values.shape} for an annotation {labels.shape}; one row per "
            "frame is needed, and nothing is cut or padded to fit: predict this video again"
        )
    missing = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if missing.size:
        raise ConfigError(
            f"{video}: {missing.size} of {len(values)} frames have no finite prediction (the "
            f"first is row {missing[0]}); every frame is needed, annotated or not"
        )


def _moments_of_files(
    store: FeatureStore, predictions: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray]
) -> np.ndarray:
    """`metrics.moments` of each annotated video file; two subjects of one file are one entry."""
    files: dict[str, np.ndarray] = {}
    for video, values in predictions.items():
        sums = moments(values, labels[video])
        if sums.any():
            name = store.source(video)["sha256"]
            files[name] = files.get(name, 0) + sums
    return np.stack(list(files.values()))
