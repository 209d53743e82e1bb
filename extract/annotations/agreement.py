"""Several annotators as one, and how far they agree."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np


def concordance(one: np.ndarray, other: np.ndarray) -> float:
    """CCC (Lin 1989) of two series where both are known; NaN where there are fewer than two."""
    both = np.isfinite(one) & np.isfinite(other)
    x, y = one[both], other[both]
    spread = x.var() + y.var() + (x.mean() - y.mean()) ** 2 if len(x) > 1 else 0.0
    return float(2 * ((x - x.mean()) * (y - y.mean())).mean() / spread) if spread else np.nan


def pairwise(annotators: Mapping[str, np.ndarray]) -> dict[str, float]:
    """`one/other` -> their concordance, of every pair that can be compared."""
    found = {f"{a}/{b}": concordance(annotators[a], annotators[b]) for a, b in _pairs(annotators)}
    return {pair: value for pair, value in found.items() if np.isfinite(value)}


def _pairs(annotators: Mapping[str, np.ndarray]) -> list[tuple[str, str]]:
    return list(combinations(sorted(annotators), 2))


def merge(annotators: Mapping[str, np.ndarray], how: str) -> tuple[np.ndarray, dict[str, float]]:
    """The annotators' series [T] as one, and the weight of each.

    `mean`: of those who annotated a frame. `ewe`: the evaluator-weighted estimator (Grimm &
    Kroschel 2005), each annotator weighted by the correlation with the mean of all, none below 0;
    the mean where nobody correlates.
    """
    names = sorted(annotators)
    series = np.stack([annotators[name] for name in names])
    weights = np.ones(len(names))
    if how == "ewe":
        centre = _weighted(series, weights)
        found = np.array([max(_correlation(each, centre), 0.0) for each in series])
        weights = found if found.any() else weights
    return _weighted(series, weights), dict(
        zip(names, map(float, weights / weights.sum()), strict=True)
    )


def _weighted(series: np.ndarray, weights: np.ndarray) -> np.ndarray:
    known = np.isfinite(series)
    total = (known * weights[:, None]).sum(axis=0)
    values = (np.where(known, series, 0) * weights[:, None]).sum(axis=0)
    return np.divide(values, total, out=np.full(len(total), np.nan), where=total > 0)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    both = np.isfinite(one) & np.isfinite(other)
    x, y = one[both], other[both]
    if len(x) < 2 or not x.std() or not y.std():
        return 0.0
    return float(((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std()))
