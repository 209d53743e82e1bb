"""Predictions without annotation: items of a cache by one run, or by the mean of several."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..cache.errors import ConfigError
from ..cache.store import FeatureStore
from .data import require_streams
from .ensemble import combine
from .evaluate import run_streams
from .feed import Feed
from .runs import Run
from .scoring import predict


def predict_items(
    runs: Sequence[Run], store: FeatureStore, videos: Sequence[str]
) -> dict[str, np.ndarray]:
    """Predict every frame of items, by the mean over the runs.

    Args:
        runs: at least one.
        store: holds the very streams that the runs were trained on.
        videos: item ids.

    Returns:
        video -> [T, 2] float32.

    Raises:
        ConfigError: other streams than a run was trained on, or streams missing for some videos.
    """
    members = {}
    for number, run in enumerate(runs):
        streams = run_streams(run, store)
        require_streams(store, videos, list(streams.values()))
        config = dataclasses.replace(run.config, streams=streams, memory="map", views=False)
        name = f"{number} {run.path}"  # one run may be named twice
        members[name] = predict(run.model, Feed(store, config, run.device), videos)
    return combine(members, np.full((len(runs), 2), 1 / len(runs)))


def complete_items(
    runs: Sequence[Run], store: FeatureStore
) -> tuple[list[str], dict[str, list[str]]]:
    """Items with all streams of all runs, and the other items with what each lacks.

    Raises:
        ConfigError: the cache holds a stream only under other keys than the runs', or no item has
            all streams.
    """
    wanted = list(dict.fromkeys(n for run in runs for n in run_streams(run, store).values()))
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


def unusable_items(runs: Sequence[Run], store: FeatureStore, videos: Sequence[str]) -> list[str]:
    """Items without a usable row in any stream of the runs: predictions of them say nothing."""
    names = {name for run in runs for name in run_streams(run, store).values()}
    return [video for video in videos if not any(store.valid(video, name).any() for name in names)]
