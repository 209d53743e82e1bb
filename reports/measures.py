"""Figures of a report that no run's folder holds: paired differences, densities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..fusion.config import TARGETS
from ..fusion.evaluation.metrics import (
    concordance,
    moments,
    over_videos,
    t_interval,
    with_mean,
)
from .records import RunRecord
from .truth import VideoTruth

BINS = 40  # of a plane along each axis, and of errors
BLOCK_S = 5.0  # seconds of a video that count as one observation of it
_BLOCKS = 5  # fewer give no interval


def difference(
    first: RunRecord, other: RunRecord, truth: Sequence[VideoTruth]
) -> dict[str, dict[str, object]]:
    """How far the CCC of another run is above the first one's, with paired intervals.

    Both runs are judged on the same video files (`metrics.over_videos`), so what makes a video
    hard for both does not widen the interval.

    Returns:
        target (and `mean`) -> {"value", "interval"}; the interval is None with fewer than two
        video files.
    """
    sums: dict[str, np.ndarray] = {}
    for item in truth:
        pair = np.stack(
            [moments(run.predictions[item.video], item.labels) for run in (first, other)]
        )
        if pair.any():
            name = item.source["sha256"]
            sums[name] = sums.get(name, 0) + pair
    stacked = np.stack(list(sums.values()))  # [V, 2, C, 3, 3]
    values, errors = over_videos(stacked, _gain)
    intervals = t_interval(values, errors, len(stacked))
    bounds = [pair.tolist() if np.isfinite(pair).all() else None for pair in intervals]
    return {
        target: {"value": float(value), "interval": pair}
        for target, value, pair in zip((*first.targets, "mean"), values, bounds, strict=True)
    }


def _gain(sums: np.ndarray) -> np.ndarray:
    """Moments [..., 2, C, 3, 3] of two runs -> difference of their CCC [..., C + 1]."""
    each = with_mean(sums)
    return each[..., 1, :] - each[..., 0, :]


def within_video(
    prediction: np.ndarray, item: VideoTruth, targets: Sequence[str]
) -> dict[str, Any]:
    """How sure the CCC of one video is, and its errors.

    Neighbouring frames are far from independent, so blocks of `BLOCK_S` seconds count: the error
    is that of the delete-one-block jackknife (`metrics.over_videos`), the interval Student's.

    Args:
        prediction: [T, targets].

    Returns:
        `blocks` with annotated frames, `intervals` target -> 95 % interval of its CCC, None of too
        few blocks, and `errors` target -> mean absolute error, None without annotation.
    """
    block = ((item.pts - item.pts[0]) // BLOCK_S).astype(int)
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    parts = zip(np.split(prediction, starts[1:]), np.split(item.labels, starts[1:]), strict=True)
    sums = np.array([own for p, t in parts if (own := moments(p, t)).any()])
    intervals: dict[str, list[float] | None] = dict.fromkeys(targets)
    if len(sums) >= _BLOCKS:
        bounds = t_interval(*over_videos(sums, concordance), len(sums)).clip(-1, 1)
        for target, pair in zip(targets, bounds, strict=True):
            intervals[target] = pair.tolist() if np.isfinite(pair).all() else None
    errors = np.abs(prediction.astype(np.float64) - item.labels)
    known = np.isfinite(errors)
    return {
        "blocks": len(sums),
        "intervals": intervals,
        "errors": {
            target: float(own[rows].mean()) if rows.any() else None
            for target, own, rows in zip(targets, errors.T, known.T, strict=True)
        },
    }


def planes(
    records: Sequence[RunRecord], truth: Sequence[VideoTruth]
) -> list[tuple[str, list[np.ndarray]]]:
    """Name and frames [T, targets] of the annotation and of every run, of annotated frames."""
    rows = [np.isfinite(item.labels).all(axis=1) for item in truth]
    sources = [("annotation", {item.video: item.labels for item in truth})]
    sources += [(record.name, record.predictions) for record in records]
    return [
        (name, [own[item.video][known] for item, known in zip(truth, rows, strict=True)])
        for name, own in sources
    ]


def density(values: Sequence[np.ndarray], targets: Sequence[str] = TARGETS) -> list[list[int]]:
    """Count frames [T, targets] in the cells of the plane of valence and arousal.

    Rows are arousal, columns valence, upwards; nothing where the targets are others. Values
    beyond [-1, 1] count in the outermost cells; rows that are not finite nowhere.
    """
    if not {*TARGETS} <= {*targets}:
        return []
    frames = np.concatenate(list(values))[:, [targets.index(target) for target in TARGETS]]
    return _cells(frames[np.isfinite(frames).all(axis=1)], 1.0)


def _cells(frames: np.ndarray, most: float) -> list[list[int]]:
    """Count pairs [T, 2] in the cells of [-most, most]^2; rows are the second value, upwards."""
    edges = np.linspace(-most, most, BINS + 1)
    across, up = frames.clip(-most, most).T
    counts, _, _ = np.histogram2d(up, across, bins=[edges, edges])
    return counts.astype(int).tolist()


def agreement(
    labels: Sequence[np.ndarray], values: Sequence[np.ndarray], targets: Sequence[str] = TARGETS
) -> dict[str, dict[str, Any]]:
    """How predictions [T, targets] lie against the annotation of the same frames.

    Returns:
        target -> `most`, half the side of the plane, 1 or what is annotated beyond; `counts` of
        frames in its cells, rows are predicted and columns annotated; `errors`, counts of
        prediction minus annotation in twice as many bins of [-2 most, 2 most], in both cases
        larger ones in the outermost; `mean`, `deviation` and mean absolute value `absolute` of
        the errors.
    """
    pairs = np.stack([np.concatenate(list(each)) for each in (labels, values)]).astype(np.float64)
    result = {}
    for column, target in enumerate(targets):
        own = pairs[:, np.isfinite(pairs[..., column]).all(axis=0), column]  # [2, T]
        most = max(1.0, float(np.abs(own[0]).max()))
        errors = own[1] - own[0]
        edges = np.linspace(-2 * most, 2 * most, 2 * BINS + 1)
        result[target] = {
            "most": most,
            "counts": _cells(own.T, most),
            "errors": np.histogram(errors.clip(edges[0], edges[-1]), edges)[0].tolist(),
            "mean": float(errors.mean()),
            "deviation": float(errors.std()),
            "absolute": float(np.abs(errors).mean()),
        }
    return result


def summary(
    values: Sequence[np.ndarray], targets: Sequence[str] = TARGETS
) -> Mapping[str, dict[str, float]]:
    """Target -> mean, deviation, least and greatest of the finite frames [T, targets]."""
    frames = np.concatenate(list(values)).astype(np.float64)
    result = {}
    for column, target in enumerate(targets):
        own = frames[np.isfinite(frames[:, column]), column]
        result[target] = {
            "mean": float(own.mean()),
            "deviation": float(own.std()),
            "least": float(own.min()),
            "greatest": float(own.max()),
        }
    return result
