"""Smoothing of predictions over time, after the network."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from ...cache.store import FeatureStore
from ...errors import ConfigError, counted

_SAME_TIME = 1e-6  # seconds; presentation times are multiples of coarser steps


def check_smoothing(seconds: float) -> None:
    """Refuse a width that cannot be.

    Raises:
        ConfigError: negative or not finite.
    """
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ConfigError(f"smoothing takes a width in seconds, 0 or more; got {seconds:g}")


def smooth(values: np.ndarray, pts: np.ndarray, seconds: float) -> np.ndarray:
    """Centred moving average over presentation time.

    A row becomes the mean of all rows within `seconds / 2` of its own time, both ends included;
    at the ends of the video, of those that exist. The width is one of time, so frame rates, even
    variable ones, are smoothed alike. It looks ahead by half its width.

    Args:
        values: [T, C], every row predicted.
        pts: [T] seconds, never decreasing.
        seconds: full width; 0 leaves everything as it is.

    Returns:
        [T, C], the type of `values`, computed in float64.

    Raises:
        ConfigError: a width that cannot be, or rows that are not finite or not T.
    """
    check_smoothing(seconds)
    if len(values) != len(pts) or not np.isfinite(values).all():
        raise ConfigError(
            f"smoothing needs a finite prediction for each of {counted(len(pts), 'frame')}; got "
            f"{counted(len(values), 'row')}, "
            f"{int((~np.isfinite(values)).any(axis=-1).sum())} of them not finite"
        )
    if seconds == 0:
        return values
    reach = seconds / 2 + _SAME_TIME
    first = np.searchsorted(pts, pts - reach, "left")
    last = np.searchsorted(pts, pts + reach, "right")
    sums = np.zeros((len(values) + 1, values.shape[1]))
    np.cumsum(values, axis=0, dtype=np.float64, out=sums[1:])
    return ((sums[last] - sums[first]) / (last - first)[:, None]).astype(values.dtype)


def smooth_videos(
    predictions: Mapping[str, np.ndarray], store: FeatureStore, seconds: float
) -> dict[str, np.ndarray]:
    """`smooth` of every video, at the times that the store knows: video -> [T, C]."""
    return {
        video: smooth(values, store.timeline(video).pts, seconds)
        for video, values in predictions.items()
    }
