"""Per-frame predictions merged from windows, and their concordance with the annotation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from ...cache.labels import later
from ...cache.store import FeatureStore
from ...cache.windows import Window
from ...device_faults import device_errors
from ...errors import ConfigError, counted
from ...numerics import inferring
from ..config import TARGETS
from ..data.loader import BatchLoader, Tensors
from ..data.plan import make_windows
from .ccc import ccc
from .gates import GateGroup, Gates, gate_columns, gate_groups, gates_per_frame
from .metrics import moments, mse, over_videos, pcc, t_interval, with_mean


@dataclass(frozen=True)
class Evaluation:
    """Predictions of a partition and how well they agree with the annotation.

    What training does not look at after every epoch is computed when it is first asked for.

    Attributes:
        partition: train, validation or test.
        ccc: target -> CCC over all annotated frames of the partition, concatenated; and `mean`.
        frames: target -> number of annotated frames.
        per_video: video -> target -> CCC, None where the video has no annotated frame.
        predictions: video -> [T, targets] float32, every frame.
        truth: video -> [T, targets] float32, NaN where not annotated.
        files: video -> which video file it is from; two subjects can share one.
        conditions: what was done beyond predicting with one run, and what to bear in mind; empty
            for a plain evaluation.
        gates: of the run's heads; None where they were not taken.
    """

    partition: str
    ccc: dict[str, float]
    frames: dict[str, int]
    per_video: dict[str, dict[str, float | None]]
    predictions: dict[str, np.ndarray]
    truth: dict[str, np.ndarray]
    files: dict[str, str]
    conditions: dict[str, Any] = field(default_factory=dict)
    gates: Gates | None = None

    @cached_property
    def mse(self) -> dict[str, float]:
        """The mean squared error, over the same frames and with the same keys as `ccc`."""
        return _over_all(mse, list(self.frames), self.predictions, self.truth)

    @cached_property
    def pcc(self) -> dict[str, float]:
        """Pearson's correlation, over the same frames and with the same keys as `ccc`."""
        return _over_all(pcc, list(self.frames), self.predictions, self.truth)

    @cached_property
    def moments(self) -> dict[str, np.ndarray]:
        """Video file -> [C, 3, 3] of `metrics.moments`; files without annotation are left out."""
        files: dict[str, np.ndarray] = {}
        for video, values in self.predictions.items():
            sums = moments(values, self.truth[video])
            if sums.any():
                name = self.files[video]
                files[name] = files.get(name, 0) + sums
        return files

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]] | None:
        """95 % intervals of `ccc` over video files; None where they are too few."""
        sums = np.stack(list(self.moments.values()))
        bounds = t_interval(*over_videos(sums, with_mean), len(sums)).clip(-1, 1)
        if not np.isfinite(bounds).all():
            return None
        return {
            target: (float(low), float(high))
            for target, (low, high) in zip(self.ccc, bounds, strict=True)
        }

    def to_json(self) -> dict[str, Any]:
        """Everything but the values of the frames."""
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
    """Average overlapping windows: [T, C] float64; NaN in rows that no window covers.

    Args:
        rows: T of the video.
        bounds: (start, stop) of each window.
        values: [stop - start, C] of each window, or longer (padding is cut off).
    """
    total = np.zeros((rows, values[0].shape[-1]))
    count = np.zeros((rows, 1))
    for (start, stop), window in zip(bounds, values, strict=True):
        total[start:stop] += window[: stop - start]
        count[start:stop] += 1
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def predict(
    network: nn.Module,
    loader: BatchLoader,
    videos: Sequence[str],
    seen: Callable[[Tensors, torch.Tensor], None] = lambda tensors, output: None,
) -> dict[str, np.ndarray]:
    """Predict every frame of the videos: video -> [T, C] float32, overlaps averaged in float64.

    Args:
        network: called with (streams, valid, mask), gives [B, L, C]; left in evaluation mode.
        seen: called with every batch of windows and the network's output [B, L, C] for it.
    """
    return predict_gated(network, loader, videos, seen, gated=False)[0]


def predict_gated(
    network: nn.Module,
    loader: BatchLoader,
    videos: Sequence[str],
    seen: Callable[[Tensors, torch.Tensor], None] = lambda tensors, output: None,
    *,
    gated: bool = True,
) -> tuple[dict[str, np.ndarray], Gates]:
    """As `predict`, with the heads' gates of the same pass; the model fills a further argument.

    The first batch shows which gates there are; a head without any is not asked again, for scores
    between frames are slower when they are wanted.
    """
    network.eval()
    windows = make_windows(loader.store, videos, loader.config)
    values: list[np.ndarray] = []
    kept: list[np.ndarray] = []
    groups: list[GateGroup] | None = None if gated else []
    with device_errors(str(loader.device)), inferring():
        for tensors in loader.batches(windows):
            given = (tensors.streams, tensors.valid, tensors.mask)
            found: dict[str, dict[str, torch.Tensor]] = {}
            output = network(*given) if groups == [] else network(*given, found)
            seen(tensors, output)
            values.extend(output.double().cpu().numpy())
            own = gates_per_frame(found, tensors.mask)
            if groups is None:
                groups = gate_groups(own)
            if groups:
                kept.extend(gate_columns(own, groups))
    gates = _merge_videos(loader, windows, kept) if kept else {}
    return (
        _as_annotated(loader, _merge_videos(loader, windows, values), videos),
        Gates(groups or [], {video: x.astype(np.float16) for video, x in gates.items()}),
    )


def _as_annotated(
    loader: BatchLoader, merged: Mapping[str, np.ndarray], videos: Sequence[str]
) -> dict[str, np.ndarray]:
    """Predictions [T, C] float32 at the moments at which annotators, who lag, would give them."""
    delay, store = loader.config.label_delay, loader.store
    return {
        video: (
            later(merged[video], store.timeline(video).pts, delay) if delay else merged[video]
        ).astype(np.float32)
        for video in videos
    }


def _merge_videos(
    loader: BatchLoader, windows: Sequence[Window], values: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Video -> [T, C] float64: its windows merged."""
    own: dict[str, list[int]] = {}
    for i, window in enumerate(windows):
        own.setdefault(window.video, []).append(i)
    return {
        video: merge_windows(
            loader.store.rows(video),
            [(windows[i].start, windows[i].stop) for i in rows],
            [values[i] for i in rows],
        )
        for video, rows in own.items()
    }


def score(
    store: FeatureStore,
    predictions: Mapping[str, np.ndarray],
    *,
    partition: str,
    targets: Sequence[str] = TARGETS,
    conditions: Mapping[str, Any] | None = None,
    gates: Gates | None = None,
) -> Evaluation:
    """Compare predictions with the annotation.

    CCC is taken over all annotated frames of all videos, concatenated, in float64 with ddof 0;
    `mean` is the mean over the targets.

    Args:
        predictions: video -> [T, len(targets)], a finite value for every frame.
        targets: what the columns of the predictions are.

    Raises:
        ConfigError: a video with other rows than its annotation, or with frames not predicted; a
            target without an annotated frame.
    """
    truth = {video: store.labels(video, targets) for video in predictions}
    frames = dict.fromkeys(targets, 0)
    per_video: dict[str, dict[str, float | None]] = {}
    for video, values in predictions.items():
        _require_complete(video, values, truth[video])
        per_video[video] = {}
        for column, target in enumerate(targets):
            annotated = np.isfinite(truth[video][:, column])
            frames[target] += int(annotated.sum())
            per_video[video][target] = (
                ccc(values[:, column], truth[video][:, column], annotated)
                if annotated.any()
                else None
            )
    for target, count in frames.items():
        if not count:
            raise ConfigError(
                f"no frame of the {counted(len(predictions), f'{partition} video')} in "
                f"{store.root} is "
                f"annotated with {target}, so there is nothing to compare with; `vapipe predict` "
                "and `vapipe submit` need no annotation"
            )
    return Evaluation(
        partition=partition,
        ccc=_over_all(ccc, targets, predictions, truth),
        frames=frames,
        per_video=per_video,
        predictions=dict(predictions),
        truth=truth,
        files={video: store.source(video)["sha256"] for video in predictions},
        conditions=dict(conditions or {}),
        gates=gates,
    )


def _over_all(
    measure: Callable[[np.ndarray, np.ndarray, np.ndarray], float],
    targets: Sequence[str],
    predictions: Mapping[str, np.ndarray],
    truth: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Target -> the measure over all annotated frames of all videos, concatenated; and `mean`."""
    values, expected = (np.concatenate(list(part.values())).T for part in (predictions, truth))
    result = {
        target: measure(values[column], expected[column], np.isfinite(expected[column]))
        for column, target in enumerate(targets)
    }
    return {**result, "mean": float(np.mean(list(result.values())))}


def _require_complete(video: str, values: np.ndarray, truth: np.ndarray) -> None:
    """Refuse predictions that would have to be cut, padded or filled to be compared."""
    if values.shape != truth.shape:
        raise ConfigError(
            f"{video}: predictions {values.shape} for an annotation {truth.shape}; one row per "
            "frame is needed, and nothing is cut or padded to fit: predict this video again"
        )
    missing = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if missing.size:
        raise ConfigError(
            f"{video}: {missing.size} of {counted(len(values), 'frame')} have no finite "
            f"prediction (the first is row {missing[0]}); every frame is needed, annotated or not"
        )
