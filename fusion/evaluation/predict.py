"""Predictions without annotation: items of a cache by one run, or by the mean of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...cache.store import FeatureStore
from ...errors import ConfigError
from ..runs.folder import Run, load_run
from .ensemble import combine
from .evaluate import name_runs, predict_run, run_streams


def load_runs(paths: Sequence[Path], device: str = "auto") -> dict[str, Run]:
    """Name -> finished run.

    Raises:
        ConfigError: a run is given twice, or cannot be read.
    """
    return {name: load_run(path, device) for name, path in name_runs(paths).items()}


def predict_items(
    runs: Mapping[str, Run], store: FeatureStore, videos: Sequence[str]
) -> dict[str, np.ndarray]:
    """Predict every frame of items, by the mean over the runs.

    Args:
        runs: name -> run, at least one.
        store: holds the very streams that the runs were trained on.
        videos: item ids.

    Returns:
        video -> [T, 2] float32.

    Raises:
        ConfigError: other streams than a run was trained on, or streams missing for some videos.
    """
    members = {name: predict_run(run, store, videos) for name, run in runs.items()}
    return combine(members, np.full((len(runs), 2), 1 / len(runs)))


def complete_items(
    runs: Mapping[str, Run], store: FeatureStore
) -> tuple[list[str], dict[str, list[str]]]:
    """Items with all streams of all runs, and the other items with what each lacks.

    Raises:
        ConfigError: the cache holds a stream only under other keys than the runs', or no item has
            all streams.
    """
    wanted = _streams(runs, store)
    lacking = {
        video: [name for name in wanted if not store.has(video, name)] for video in store.videos()
    }
    complete = [video for video, names in lacking.items() if not names]
    if not complete:
        raise ConfigError(
            f"none of the {len(lacking)} items in {store.root} has all of {', '.join(wanted)}; "
            "`vapipe extract` makes what is missing"
        )
    return complete, {video: names for video, names in lacking.items() if names}


def unusable_items(
    runs: Mapping[str, Run], store: FeatureStore, videos: Sequence[str]
) -> list[str]:
    """Items without a usable row in any stream of the runs: predictions of them say nothing."""
    names = _streams(runs, store)
    return [video for video in videos if not any(store.valid(video, name).any() for name in names)]


def _streams(runs: Mapping[str, Run], store: FeatureStore) -> list[str]:
    """Every `stream@key` that one of the runs was trained on."""
    return list(dict.fromkeys(n for run in runs.values() for n in run_streams(run, store).values()))
