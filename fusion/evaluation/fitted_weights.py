"""Shares of runs in an ensemble, fitted on the videos that all of them were validated on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...cache.store import FeatureStore
from ...errors import CacheError, ConfigError, counted
from ..runs.recorded import recorded
from .results import read_predictions, require_agreement
from .smooth import smooth_videos

_EXACT = 1e-12  # of the CCC; far below what predictions of six decimals can decide
_TINY = 1e-30  # keeps constants apart from a division by zero


def fitted_weights(
    runs: Mapping[str, Path],
    agreements: Sequence[Mapping[str, float]],
    store: FeatureStore | None,
    smoothing: float = 0.0,
) -> np.ndarray:
    """The shares, per target, whose mixture has the highest CCC on the validation videos.

    The predictions are those that each fit left in its run's folder. The annotation is that of
    `store` where it holds the videos, else that of the cache the first run was trained on; either
    must give the CCC that the runs recorded.

    Args:
        agreements: target -> validation CCC as recorded, run by run.
        store: looked at first for the annotation.
        smoothing: seconds, applied to every run's predictions before.

    Returns:
        [runs, targets], >= 0; columns sum to 1.

    Raises:
        ConfigError: runs that were validated on different videos, a file that is missing or does
            not belong to the others, or no cache with the annotation.
    """
    videos = _shared_videos(runs)
    source = _annotated(store, next(iter(runs.values())), videos)
    targets = tuple(agreements[0])
    labels = {video: source.labels(video, targets) for video in videos}
    members = []
    for path, agreement in zip(runs.values(), agreements, strict=True):
        own = {v: read_predictions(path / "predictions" / "validation", v, targets) for v in videos}
        for video, values in own.items():
            if len(values) != len(labels[video]):
                raise ConfigError(
                    f"{path} predicted {counted(len(values), 'row')} of {video}, of which "
                    f"{source.root} has "
                    f"{len(labels[video])}; name the cache that the run was trained on with --cache"
                )
        require_agreement(path, agreement, own, labels)
        members.append(np.concatenate(list(smooth_videos(own, source, smoothing).values())))
    values, truth = np.stack(members, axis=-1), np.concatenate(list(labels.values()))  # [T, C, R]
    columns = []
    for column in range(len(targets)):
        known = np.isfinite(truth[:, column])
        columns.append(highest_ccc(values[known, column], truth[known, column]))
    return np.stack(columns, axis=-1)


def highest_ccc(predictions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The mixture of predictions [T, R] with the highest CCC with truth [T], in float64.

    With S the covariance of the predictions, c theirs with the truth and m their means, the CCC of
    the mixture w is 2 w'c / (w'Sw + var + (w'm - mean)^2): linear over convex, so where w'c > 0
    every maximum over the simplex is the highest one, and any start there finds it. Where no
    column rises with the truth, it is quasiconvex, so that one run alone is best.

    Returns:
        [R], >= 0, summing to 1.
    """
    joint = np.column_stack([predictions, truth]).astype(np.float64)
    mean, covariance = joint.mean(axis=0), np.cov(joint, rowvar=False, ddof=0)
    within, across = covariance[:-1, :-1], covariance[:-1, -1]
    bias = mean[:-1] - mean[-1]  # of each run; of a mixture the same mixture of them

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        above = 2 * weights @ across
        below = weights @ within @ weights + covariance[-1, -1] + (weights @ bias) ** 2 + _TINY
        slope = 2 * (within @ weights + weights @ bias * bias)
        return -above / below, -(2 * across - above / below * slope) / below

    corners = np.eye(len(across))
    best = min(corners, key=lambda corner: loss(corner)[0])
    if not across.max() > 0:
        return best
    from scipy.optimize import minimize  # a third of a second, which other commands need not

    found = minimize(
        loss,
        best,
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * len(across),
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"ftol": _EXACT, "maxiter": 500},
    )
    mixture = np.clip(found.x, 0, None)
    # Where one run alone is best the search may end a rounding error below it.
    return min([best, mixture / mixture.sum()], key=lambda weights: loss(weights)[0])


def _shared_videos(runs: Mapping[str, Path]) -> list[str]:
    own = {name: recorded(path, "videos")["validation"] for name, path in runs.items()}
    (first, videos), *others = own.items()
    for name, theirs in others:
        if set(theirs) != set(videos):
            raise ConfigError(
                f"{first} and {name} were validated on different videos ({len(videos)} and "
                f"{len(theirs)}, {len(set(videos) & set(theirs))} of them the same), and weights "
                "can be fitted only on videos that no run was trained on; for runs of different "
                "folds use --ensemble mean, ccc or best"
            )
    return videos


def _annotated(store: FeatureStore | None, run: Path, videos: Sequence[str]) -> FeatureStore:
    """`store` where it holds the videos with an annotation, else the cache a run was trained on."""
    if store is not None and not _lacking(store, videos):
        return store
    root = Path(recorded(run, "path"))
    try:
        found = FeatureStore.open(root)
    except CacheError as error:
        raise _no_annotation(
            videos, f"the cache of the run {run} cannot be opened: {error}"
        ) from error
    lacking = _lacking(found, videos)
    if lacking:
        raise _no_annotation(videos, f"{root} lacks that of {', '.join(lacking[:3])}")
    return found


def _lacking(store: FeatureStore, videos: Sequence[str]) -> list[str]:
    known = set(store.videos())
    return [v for v in videos if v not in known or not np.isfinite(store.labels(v)).any()]


def _no_annotation(videos: Sequence[str], reason: str) -> ConfigError:
    return ConfigError(
        "--ensemble fitted needs the annotation of the "
        f"{counted(len(videos), 'validation video')}, and "
        f"{reason}; name a cache that has it with --cache, or use --ensemble ccc"
    )
