"""Measures beside CCC (MSE, Pearson's correlation), and intervals of CCC by the bootstrap."""

from __future__ import annotations

import numpy as np

from .ccc import Series, valid_pairs

RESAMPLES = 1000
LEVEL = 0.95
# Far below the variance of anything annotated (steps of 1e-3), far above rounding in float64.
_NO_SPREAD = 1e-14


def mse(prediction: Series, target: Series, mask: Series | None = None) -> float:
    """Mean squared error over the valid values, in float64; arguments and errors as `ccc`."""
    p, t = valid_pairs("mse", prediction, target, mask)
    return float(((p - t) ** 2).mean())


def pcc(prediction: Series, target: Series, mask: Series | None = None) -> float:
    """Pearson's correlation over the valid values, in float64; arguments and errors as `ccc`.

    Like `ccc` it is 0.0 when either series is constant.
    """
    p, t = valid_pairs("pcc", prediction, target, mask)
    if p.min() == p.max() or t.min() == t.max():
        return 0.0
    p, t = p - p.mean(), t - t.mean()
    return float((p * t).sum() / np.sqrt((p * p).sum() * (t * t).sum()))


def moments(prediction: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Sums that determine CCC, and that add up over videos.

    Args:
        prediction: [T, C].
        target: [T, C]; rows that are not finite are left out, per column.

    Returns:
        [C, 3, 3] float64, the Gram matrix of (1, prediction, target): the number of rows, both
        sums, both sums of squares and the sum of products.
    """
    counted = np.isfinite(target)
    p, t = (np.where(counted, x, 0).astype(np.float64).T for x in (prediction, target))
    x = np.stack([counted.T.astype(np.float64), p, t], axis=1)
    return x @ x.transpose(0, 2, 1)


def concordance(sums: np.ndarray) -> np.ndarray:
    """CCC from `moments` [..., 3, 3] -> [...]; NaN without rows, 0 where nothing varies."""
    count = sums[..., 0, 0]
    mean = sums[..., 0, 1:] / np.where(count, count, np.nan)[..., None]
    second = sums[..., 1:, 1:] / np.where(count, count, np.nan)[..., None, None]
    covariance = second - mean[..., :, None] * mean[..., None, :]
    distance = (mean[..., 0] - mean[..., 1]) ** 2
    spread = covariance[..., 0, 0] + covariance[..., 1, 1] + distance
    return np.where(
        spread < _NO_SPREAD, 0.0, 2 * covariance[..., 0, 1] / np.maximum(spread, _NO_SPREAD)
    )


def bootstrap(
    sums: np.ndarray, *, resamples: int = RESAMPLES, level: float = LEVEL, seed: int = 0
) -> np.ndarray | None:
    """Percentile intervals of the concatenated CCC, resampling whole videos.

    Frames of a video are far from independent, so videos are drawn, with replacement and as many
    as there are (the cluster bootstrap; Efron & Tibshirani 1993, ch. 13 for the percentiles). A
    resample without any annotated frame of a target is left out.

    Args:
        sums: [V, C, 3, 3], `moments` of each video.
        resamples: how many times the videos are drawn.
        level: share of the resamples inside an interval.
        seed: of the drawing.

    Returns:
        [C + 1, 2], lower and upper bound for each target and, last, their mean; None with fewer
        than two videos, where nothing can be said.
    """
    videos = len(sums)
    if videos < 2:
        return None
    rng = np.random.default_rng(seed)
    times = rng.multinomial(videos, np.full(videos, 1 / videos), size=resamples)
    drawn = concordance(np.tensordot(times.astype(np.float64), sums, axes=1))
    drawn = np.column_stack([drawn, drawn.mean(axis=1)])
    drawn = drawn[np.isfinite(drawn).all(axis=1)]
    tail = 100 * (1 - level) / 2
    return np.percentile(drawn, [tail, 100 - tail], axis=0).T
