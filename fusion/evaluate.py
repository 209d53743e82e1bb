"""Evaluate a finished run on a partition of a cache."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..cache.errors import ConfigError
from ..cache.store import FeatureStore
from .data import require_streams
from .feed import Feed
from .runs import Run, load_run, write_evaluation
from .scoring import Evaluation, predict, score


def evaluate(
    run: Run | str | Path,
    store: FeatureStore,
    *,
    partition: str = "validation",
    device: str = "auto",
    out: Path | None = None,
) -> Evaluation:
    """Predict a partition with a run and compare with the annotation.

    Args:
        run: a loaded run, or its folder.
        store: a cache with the streams that the run was trained on.
        partition: train, validation or test.
        device: `auto`, `cpu` or `cuda`; a loaded run stays where it is.
        out: a folder to write the result into (see `write_evaluation`); None writes nothing.

    Raises:
        ConfigError: not a usable run, other streams than it was trained on, no video or no
            annotation in the partition, streams missing for some videos.
    """
    if not isinstance(run, Run):
        run = load_run(run, device)
    videos = [video for video in store.videos() if store.partition(video) == partition]
    if not videos:
        parts = sorted({str(store.partition(video)) for video in store.videos()})
        raise ConfigError(
            f"no video of {store.root} is in the partition `{partition}`; there are: "
            f"{', '.join(parts)}"
        )
    streams = run_streams(run, store)
    require_streams(store, videos, list(streams.values()))
    config = dataclasses.replace(run.config, streams=streams)
    predictions = predict(run.model, Feed(store, config, run.device), videos)
    evaluation = score(store, predictions, partition=partition)
    if out is not None:
        write_evaluation(out, evaluation, store)
    return evaluation


def run_streams(run: Run, store: FeatureStore) -> dict[str, str]:
    """Role -> `stream@key` of the very streams the run was trained on.

    Raises:
        ConfigError: the cache holds such a stream only under other keys, or not at all.
    """
    names = {}
    for role, facts in run.streams.items():
        stored = store.keys(facts["stream"])
        if facts["key"] not in stored:
            found = ", ".join(key[:8] for key in stored) or "none"
            raise ConfigError(
                f"the run {run.path} was trained on stream {facts['stream']} with key "
                f"{facts['key'][:8]}; {store.root} holds keys: {found}. A key changes with the "
                "encoder, its weights and its options: extract with those of the run, or fit "
                "again on what is there"
            )
        names[role] = f"{facts['stream']}@{facts['key']}"
    return names
