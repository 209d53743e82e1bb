"""Measures beside CCC (MSE, Pearson's correlation), and intervals and tests of CCC."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from .ccc import Series, valid_pairs

LEVEL = 0.95
FEW_VIDEOS = 30  # below it, intervals over videos are rough
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


def over_videos(
    sums: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of the concatenated videos, and its standard error over videos.

    Frames of a video are far from independent, so whole videos count: the error is that of the
    delete-one jackknife (Efron & Tibshirani 1993, ch. 11). With `t_interval` it covers better
    than percentiles of resampled videos, most of all where videos are few.

    Args:
        sums: [V, ...], `moments` of each video.
        statistic: from sums [N, ...] to [N, K].

    Returns:
        Its value [K] and its error [K]; the error is NaN with fewer than two videos, and where the
        statistic cannot be taken without one of them.
    """
    videos, total = len(sums), sums.sum(0)
    value = statistic(total[None])[0]
    if videos < 2:
        return value, np.full_like(value, np.nan)
    without = statistic(total - sums)
    return value, np.sqrt((videos - 1) / videos * ((without - without.mean(0)) ** 2).sum(0))


def with_mean(sums: np.ndarray) -> np.ndarray:
    """CCC of each target and, last, their mean, from `moments` [..., C, 3, 3] -> [..., C + 1]."""
    each = concordance(sums)
    return np.concatenate([each, each.mean(-1, keepdims=True)], axis=-1)


def t_interval(value: np.ndarray, error: np.ndarray, count: int) -> np.ndarray:
    """Student's interval at `LEVEL` of an estimate from `count` parts: [...] -> [..., 2]."""
    if count < 2:
        return np.full((*np.shape(value), 2), np.nan)
    half = special.stdtrit(count - 1, (1 + LEVEL) / 2) * np.asarray(error)
    return np.stack([value - half, value + half], axis=-1)


def t_test(value: float, error: float, count: int) -> float:
    """The two-sided p of an estimate from `count` parts being zero; NaN where nothing varies."""
    if count < 2 or not error > 0:
        return math.nan
    return float(2 * special.stdtr(count - 1, -abs(value) / error))


def holm(ps: Sequence[float]) -> list[float]:
    """Correct p-values for their number (Holm 1979); NaN stay NaN and do not count."""
    order = sorted((p, i) for i, p in enumerate(ps) if not math.isnan(p))
    corrected, highest = list(ps), 0.0
    for rank, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        corrected[i] = highest
    return corrected
