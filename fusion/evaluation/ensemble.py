"""Several runs as one: means, weighted means, and the best run for each target.

What `evaluate`, `predict` and `submit` mean by an ensemble stands here alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from ...cache.store import FeatureStore
from ...errors import ConfigError, counted, some
from ..runs.recorded import run_targets
from .fitted_weights import fitted_weights
from .smooth import check_smoothing

ENSEMBLES = ("mean", "ccc", "best", "fitted")

Predictions = Mapping[str, np.ndarray]


def recorded_ccc(run: Path) -> dict[str, float]:
    """Read target -> validation CCC as the run's own fit recorded it.

    Raises:
        ConfigError: evaluation-validation.json is missing or does not hold what `fit` writes.
    """
    path = run / "evaluation-validation.json"
    try:
        agreement = json.loads(path.read_text())["ccc"]
        return {target: float(agreement[target]) for target in run_targets(run)}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot read the validation CCC of the run {run} ({type(error).__name__}: {error}); "
            f"`vapipe fit` wrote it into {path.name}: restore the file, or use --ensemble mean"
        ) from error


def ensemble_weights(
    how: str, runs: Mapping[str, Path], store: FeatureStore | None = None, smoothing: float = 0.0
) -> np.ndarray:
    """The share of each run in each target: [runs, targets]; columns sum to 1.

    `mean`: equal. `ccc`: proportional to the validation CCC that each run recorded for the target,
    runs at or below 0 left out. `best`: the run with the best recorded CCC alone (the first of
    equals). `fitted`: the shares whose mixture has the highest CCC on the validation videos, which
    must be the same for all runs.

    Args:
        runs: name -> folder; `mean` reads nothing but what is predicted.
        store: a cache in which `fitted` looks for the annotation of these videos before it looks
            in the one that the runs were trained on.
        smoothing: seconds by which predictions are smoothed before they are mixed.

    Raises:
        ConfigError: no such ensemble, a width that cannot be, a run without its record, no run with
            a CCC above 0 to weight by, or what `fitted_weights` refuses.
    """
    if how not in ENSEMBLES:
        raise ConfigError(f"no ensemble is called `{how}`; there are: {', '.join(ENSEMBLES)}")
    check_smoothing(smoothing)
    targets = shared_targets(runs)
    if how == "mean":
        return np.full((len(runs), len(targets)), 1 / len(runs))
    recorded = [recorded_ccc(folder) for folder in runs.values()]
    if how == "fitted":
        return fitted_weights(runs, recorded, store, smoothing)
    agreement = np.array([list(each.values()) for each in recorded])
    if how == "best":
        return (np.arange(len(runs))[:, None] == agreement.argmax(axis=0)).astype(float)
    positive = np.maximum(agreement, 0.0)
    for target, total in zip(targets, positive.sum(axis=0), strict=True):
        if not total:
            raise ConfigError(
                f"none of the {counted(len(runs), 'run')} ({', '.join(runs)}) has a validation CCC "
                f"of {target} above 0, so there is nothing to weight by; use --ensemble mean"
            )
    return positive / positive.sum(axis=0)


def shared_targets(runs: Mapping[str, Path]) -> tuple[str, ...]:
    """What all runs predict; name -> folder.

    Raises:
        ConfigError: they predict different targets.
    """
    (first, targets), *others = ((name, run_targets(path)) for name, path in runs.items())
    for name, theirs in others:
        if theirs != targets:
            raise ConfigError(
                f"{first} predicts {', '.join(targets)}, and {name} {', '.join(theirs)}; only runs "
                "of the same targets can be one"
            )
    return targets


def name_shares(runs: Mapping[str, Path], weights: np.ndarray) -> dict[str, dict[str, float]]:
    """Weights [runs, targets] as run -> target -> share."""
    targets = shared_targets(runs)
    return {
        name: dict(zip(targets, map(float, row), strict=True))
        for name, row in zip(runs, weights, strict=True)
    }


def combine(members: Mapping[str, Predictions], weights: np.ndarray) -> dict[str, np.ndarray]:
    """Weighted mean of the predictions, frame by frame.

    Args:
        weights: [runs, C], in the order of the runs.

    Returns:
        video -> [T, C] float32, added up in float64.

    Raises:
        ConfigError: the runs do not predict the same frames of the same videos.
    """
    require_same_frames(members)
    first, *others = members.values()
    result = {}
    for video in first:
        stacked = np.stack([first[video], *(other[video] for other in others)])
        mixed = np.einsum("rtc,rc->tc", stacked.astype(np.float64), weights)
        result[video] = mixed.astype(np.float32)
    return result


def require_same_videos(members: Mapping[str, Iterable[str]]) -> None:
    """Check that all runs predict the same videos: run -> its videos.

    Raises:
        ConfigError: names two runs, and videos that only one of them predicts.
    """
    (reference, first), *others = ((name, set(videos)) for name, videos in members.items())
    for name, videos in others:
        odd = sorted(first ^ videos)
        if odd:
            raise ConfigError(
                f"{reference} and {name} do not predict the same videos: {len(first)} and "
                f"{len(videos)}, of which {len(odd)} only one of them ({some(odd, 3)}). Runs of "
                "different folds validate on different videos: evaluate them on --partition test"
            )


def require_same_frames(members: Mapping[str, Predictions]) -> None:
    """Check that all runs predict the same rows of the same videos; nothing is cut or padded.

    Raises:
        ConfigError: names two runs, the videos and the shapes.
    """
    require_same_videos(members)
    (reference, first), *others = members.items()
    for name, predictions in others:
        odd = [v for v in first if first[v].shape != predictions[v].shape]
        if odd:
            shapes = f"{first[odd[0]].shape} and {predictions[odd[0]].shape}"
            raise ConfigError(
                f"{reference} and {name} predict other rows in {len(odd)} of "
                f"{counted(len(first), 'video')} "
                f"({some(odd, 3)}: {shapes}); predictions are never cut or padded to fit: predict "
                "with all runs on one cache"
            )
