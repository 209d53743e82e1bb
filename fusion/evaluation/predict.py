"""Predictions without annotation: items of a cache by one run, or by several as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...cache.store import FeatureStore
from ...errors import ConfigError, counted
from ..runs.folder import Run, load_run
from .ensemble import combine, shared_targets
from .evaluate import name_runs, predict_run, run_streams, stored_partition
from .smooth import check_smoothing, smooth_videos


def load_runs(paths: Sequence[Path], device: str = "auto") -> dict[str, Run]:
    """Name -> finished run.

    Raises:
        ConfigError: a run is given twice, or cannot be read.
    """
    return {name: load_run(path, device) for name, path in name_runs(paths).items()}


def predict_items(
    runs: Mapping[str, Run],
    store: FeatureStore,
    videos: Sequence[str],
    *,
    weights: np.ndarray | None = None,
    smoothing: float = 0.0,
) -> dict[str, np.ndarray]:
    """Predict every frame of items: video -> [T, targets] float32, the weighted mean over runs.

    Args:
        weights: [runs, targets], the shares of the runs as `ensemble_weights`
            gives them; None is the mean.
        smoothing: seconds, see `smooth`; of each run's predictions.

    Raises:
        ConfigError: other streams than a run was trained on, streams missing for some videos, or a
            width that cannot be.
    """
    check_smoothing(smoothing)
    members = {
        name: smooth_videos(predict_run(run, store, videos), store, smoothing)
        for name, run in runs.items()
    }
    if weights is None:
        targets = shared_targets({name: run.path for name, run in runs.items()})
        weights = np.full((len(runs), len(targets)), 1 / len(runs))
    return combine(members, weights)


def complete_items(
    runs: Mapping[str, Run], store: FeatureStore, partition: str | None = None
) -> tuple[list[str], dict[str, list[str]]]:
    """Items with all streams of all runs, and the other items with what each lacks.

    Args:
        partition: train, validation or test as stored; None means all items. Nothing of it needs
            an annotation.

    Raises:
        ConfigError: the cache holds a stream only under other keys than the runs', no item is in
            the partition, or none has all streams.
    """
    wanted = all_streams(runs, store)
    items = store.videos() if partition is None else stored_partition(store, partition)
    lacking = {video: [name for name in wanted if not store.has(video, name)] for video in items}
    complete = [video for video, names in lacking.items() if not names]
    if not complete:
        raise ConfigError(
            f"none of the {counted(len(lacking), 'item')} in {store.root} has all of "
            f"{', '.join(wanted)}; `vapipe extract` makes what is missing"
        )
    return complete, {video: names for video, names in lacking.items() if names}


def all_streams(runs: Mapping[str, Run], store: FeatureStore) -> list[str]:
    """Every `stream@key` that one of the runs was trained on."""
    return list(dict.fromkeys(n for run in runs.values() for n in run_streams(run, store).values()))
