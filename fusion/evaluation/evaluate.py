"""Evaluate finished runs on a partition of a cache: one, several, as an ensemble, or damaged."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.labels import partition_of
from ...cache.store import FeatureStore
from ...errors import ConfigError, counted
from ..data.loader import BatchLoader
from ..data.plan import require_streams
from ..runs.folder import Run, find_streams, load_run
from ..runs.recorded import recorded
from .corruption import CorruptedLoader, Corruption
from .ensemble import combine, ensemble_weights, name_shares, require_same_videos, shared_targets
from .gates import write_gates
from .results import file_name, write_evaluation
from .scoring import Evaluation, predict, predict_gated, score
from .smooth import check_smoothing, smooth_videos


def evaluate(
    run: Run | str | Path,
    store: FeatureStore,
    *,
    partition: str = "validation",
    device: str = "auto",
    out: Path | None = None,
    smoothing: float = 0.0,
    corruption: Corruption | None = None,
) -> Evaluation:
    """Predict a partition with a run and compare with the annotation.

    Args:
        partition: train, validation or test; see `partition_videos`.
        device: `auto`, `cpu` or `cuda`; a loaded run stays where it is.
        out: a folder to write the result into (see `write_result`); None writes nothing.
        smoothing: seconds, see `smooth`; 0 is off.

    Raises:
        ConfigError: not a usable run, other streams than it was trained on, no video or no
            annotation in the partition, streams missing for some videos, a width that cannot be,
            or `out` would replace a run's record.
    """
    check_smoothing(smoothing)
    if not isinstance(run, Run):
        run = load_run(run, device)
    videos = partition_videos(run, store, partition)
    predictions, gates = predict_gated(run.model, _feed(run, store, videos, corruption), videos)
    conditions: dict[str, Any] = {}
    if smoothing:
        predictions = smooth_videos(predictions, store, smoothing)
        conditions["smoothing"] = {"method": "centred moving average", "seconds": smoothing}
    if corruption is not None:
        conditions["corruption"] = corruption.to_json()
    if notes := _warn_of_training([run], videos):
        conditions["notes"] = notes
    evaluation = score(
        store,
        predictions,
        partition=partition,
        targets=run.config.learned,
        conditions=conditions,
        gates=gates if corruption is None else None,
    )
    if out is not None:
        write_result(out, evaluation, store)
    return evaluation


def compare(
    runs: Mapping[str, Run],
    store: FeatureStore,
    *,
    partition: str = "validation",
    ensemble: str | None = None,
    smoothing: float = 0.0,
    corruption: Corruption | None = None,
    out: Path | None = None,
    gates: bool = False,
) -> dict[str, Evaluation]:
    """Evaluate runs on the same frames, and as an ensemble if asked.

    Args:
        ensemble: `mean`, `ccc`, `best` or `fitted` (see `ensemble_weights`); None makes none.
        smoothing: seconds; of each run's predictions.
        out: folder for the results as `write_result` has them, each in a folder of its own where
            there are several; None writes none.
        gates: whether to write the gates of the heads into the runs' folders.

    Returns:
        name -> evaluation, and `ensemble-<how>` last.

    Raises:
        ConfigError: as `evaluate`; runs that do not predict the same frames; a corruption that
            strikes no stream of any run; an ensemble that cannot be weighted.
    """
    if corruption is not None:
        _require_struck(runs, store, corruption)
    require_same_videos({n: partition_videos(run, store, partition) for n, run in runs.items()})
    results = {
        name: evaluate(run, store, partition=partition, smoothing=smoothing, corruption=corruption)
        for name, run in runs.items()
    }
    if ensemble is not None:
        members = {name: result.predictions for name, result in results.items()}
        paths = {name: run.path for name, run in runs.items()}
        weights = ensemble_weights(ensemble, paths, store, smoothing)
        shared = {
            key: value
            for key, value in next(iter(results.values())).conditions.items()
            if key in ("smoothing", "corruption")
        }
        videos = list(next(iter(members.values())))
        notes = _warn_of_training(list(runs.values()), videos)
        if ensemble != "mean":
            notes += _warn_of_choice(list(runs.values()), videos)
        results[f"ensemble-{ensemble}"] = score(
            store,
            combine(members, weights),
            partition=partition,
            targets=shared_targets(paths),
            conditions={
                **shared,
                "ensemble": {"method": ensemble, "weights": name_shares(paths, weights)},
                **({"notes": notes} if notes else {}),
            },
        )
    if out is not None:
        for name, result in results.items():
            write_result(out if len(results) == 1 else out / file_name(name), result, store)
    for name in runs if gates else ():
        taken = results[name].gates
        if taken is not None:
            write_gates(runs[name].path, partition, taken)
    return results


def write_result(out: Path, evaluation: Evaluation, store: FeatureStore) -> None:
    """Write predictions and measures as `write_evaluation`, but never over a run's own record.

    Raises:
        ConfigError: `out` is a run folder, whose validation record decides its share in ensembles.
    """
    if evaluation.partition == "validation" and (out / "model.safetensors").exists():
        raise ConfigError(
            f"{out} is a run folder, and its record of the validation, as `vapipe fit` wrote it, "
            "decides its share in ensembles; write into another folder"
        )
    write_evaluation(out, evaluation, store)


def name_runs(paths: Sequence[Path]) -> dict[str, Path]:
    """Name -> folder: the folder's name, or the path as given where names are not distinct.

    Raises:
        ConfigError: a run is given twice.
    """
    places = [path.resolve() for path in paths]
    twice = sorted(
        {str(p) for p, place in zip(paths, places, strict=True) if places.count(place) > 1}
    )
    if twice:
        raise ConfigError(f"a run is given more than once: {', '.join(twice)}; name each run once")
    names = [place.name for place in places]
    if len(set(names)) < len(names):
        names = [str(path) for path in paths]
    return dict(zip(names, paths, strict=True))


def predict_run(run: Run, store: FeatureStore, videos: Sequence[str]) -> dict[str, np.ndarray]:
    """Predict every frame of the videos with a run: video -> [T, 2] float32.

    Raises:
        ConfigError: other streams than it was trained on, or streams missing for some videos.
    """
    return predict(run.model, _feed(run, store, videos, None), videos)


def _feed(
    run: Run, store: FeatureStore, videos: Sequence[str], corruption: Corruption | None
) -> BatchLoader:
    streams = run_streams(run, store)
    require_streams(store, videos, list(streams.values()))
    config = dataclasses.replace(run.config, streams=streams, views=False)
    if corruption is None:
        return BatchLoader(store, config, run.device)
    network = next(iter(run.model.networks))  # all were given the same statistics
    deviations = {
        role: run.model.get_submodule(f"networks.{network}.encoders.{role}")
        .get_buffer("std")
        .cpu()
        .numpy()
        for role in streams
    }
    return CorruptedLoader(store, config, run.device, corruption=corruption, deviations=deviations)


def partition_videos(run: Run, store: FeatureStore, partition: str) -> list[str]:
    """The videos that a partition means for a run.

    Those that the cache has in this partition; but for `train` and `validation` of a run that was
    fitted on another split than the stored one, or that skipped videos, the run's own.

    Raises:
        ConfigError: there is none, or the cache lacks some of the run's own.
    """
    own = run.config.split != "stored" or run.config.missing_streams == "skip"
    if own and partition != "test":
        videos = recorded(run.path, "videos")[partition]
        lacking = sorted(set(videos) - set(store.videos()))
        if lacking:
            raise ConfigError(
                f"the run {run.path} has a split of its own, and {store.root} lacks {len(lacking)} "
                f"of its {counted(len(videos), f'{partition} video')} "
                f"({', '.join(lacking[:3])}); leave "
                "--cache out to take the cache that it was fitted on, or take --partition test"
            )
        return videos
    return stored_partition(store, partition)


def stored_partition(store: FeatureStore, partition: str) -> list[str]:
    """The videos that the cache has in a partition, annotated or not.

    Raises:
        ConfigError: there is none.
    """
    videos = [video for video in store.videos() if store.partition(video) == partition]
    if not videos:
        parts = Counter(store.partition(video) or "no partition" for video in store.videos())
        counts = ", ".join(f"{count} in {part}" for part, count in sorted(parts.items()))
        meant = partition_of(partition)
        hint = f"; did you mean `{meant}`?" if meant not in (None, partition) else ""
        raise ConfigError(
            f"no video of {store.root} is in the partition `{partition}`; there are: {counts}{hint}"
        )
    return videos


def run_streams(run: Run, store: FeatureStore) -> dict[str, str]:
    """Role -> `stream@key` of the very streams the run was trained on.

    Raises:
        ConfigError: the cache holds such a stream only under other keys, or not at all.
    """
    advice = (
        "A key changes with the encoder, its weights and its options: extract with those of the "
        "run, or fit again on what is there"
    )
    return find_streams(run.path, run.streams, store, advice)


def _require_struck(runs: Mapping[str, Run], store: FeatureStore, corruption: Corruption) -> None:
    names = {name for run in runs.values() for name in run_streams(run, store).values()}
    if corruption.modality not in {store.modality(name) for name in names}:
        raise ConfigError(
            f"{corruption.kind} strikes {corruption.modality} streams, and none of the "
            f"{counted(len(runs), 'run')} has one (streams: {', '.join(sorted(names))})"
        )


def _warn_of_training(runs: Sequence[Run], videos: Sequence[str]) -> list[str]:
    """Say which share of the videos a run has seen in training."""
    known = _known(runs, "train", videos)
    what = f"{known} of the {counted(len(videos), 'video')} were trained on"
    return [f"{what}, so this says little of new videos"] if known else []


def _warn_of_choice(runs: Sequence[Run], videos: Sequence[str]) -> list[str]:
    """Say which share of the videos has decided the weights of the ensemble."""
    known = _known(runs, "validation", videos)
    what = (
        f"{known} of the {counted(len(videos), 'video')} decided the shares of the runs, so the "
        "ensemble's CCC is optimistic; test it on others"
    )
    return [what] if known else []


def _known(runs: Sequence[Run], part: str, videos: Sequence[str]) -> int:
    seen = set().union(*(recorded(run.path, "videos")[part] for run in runs))
    return len(seen & set(videos))
