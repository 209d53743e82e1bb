"""Per-frame predictions merged from windows, and their concordance with the annotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Evaluation:
    """Predictions of a partition and how well they agree with the annotation.

    Attributes:
        partition: train, validation or test.
        ccc: target -> CCC over all annotated frames of the partition, concatenated; and `mean`.
        frames: target -> number of annotated frames.
        per_video: video -> target -> CCC, None where the video has no annotated frame.
        predictions: video -> [T, targets] float32, every frame.
    """

    partition: str
    ccc: dict[str, float]
    frames: dict[str, int]
    per_video: dict[str, dict[str, float | None]]
    predictions: dict[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        """Everything but the predictions."""
        return {
            "partition": self.partition,
            "ccc": self.ccc,
            "frames": self.frames,
            "per_video": self.per_video,
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
) -> Evaluation:
    """Compare predictions with the annotation.

    CCC is taken over all annotated frames of all videos, concatenated, in float64 with ddof 0;
    `mean` is the mean over the targets.

    Args:
        store: where the annotation is.
        predictions: video -> [T, len(targets)].
        partition: only recorded.
        targets: what the columns of the predictions are.

    Raises:
        ConfigError: a target has no annotated frame.
    """
    labels = {video: store.labels(video)[:, columns(targets)] for video in predictions}
    overall: dict[str, float] = {}
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
        overall[target] = ccc(
            np.concatenate(list(predicted.values())),
            np.concatenate(list(truth.values())),
            np.concatenate(list(annotated.values())),
        )
        for video, mask in annotated.items():
            per_video[video][target] = (
                ccc(predicted[video], truth[video], mask) if mask.any() else None
            )
    overall["mean"] = float(np.mean([overall[target] for target in targets]))
    return Evaluation(partition, overall, frames, per_video, dict(predictions))
