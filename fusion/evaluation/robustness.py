"""Robustness curves of a run: the CCC under damage, kept in the run's folder point by point."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...cache.durable import write_json
from ...cache.store import FeatureStore
from ...errors import ConfigError
from ..runs.folder import Run
from .corruption import Corruption, parse_corruption
from .evaluate import compare
from .scoring import Evaluation

Curve = list[tuple[Corruption, dict[str, Evaluation]]]

_KEPT: tuple[str, ...] = ("corruption", "smoothing", "ccc", "ccc_interval", "frames")


def curves_file(path: Path, partition: str) -> Path:
    """Where a run keeps the curves of a partition."""
    return path / f"robustness-{partition}.json"


def measure_curves(
    runs: Mapping[str, Run],
    store: FeatureStore,
    damages: Sequence[str],
    *,
    seed: int = 0,
    **options: Any,
) -> Iterator[Curve]:
    """Evaluate runs under each kind of damage at each severity, and keep the points in the runs.

    Args:
        damages: `KIND=SEVERITY,...` each.
        **options: partition, ensemble and smoothing, as in `compare`.

    Yields:
        For every kind the damages and what `compare` gives under them.
    """
    for corruptions in [parse_corruption(text, seed) for text in damages]:
        curve = [(each, compare(runs, store, corruption=each, **options)) for each in corruptions]
        for name, run in runs.items():
            record_points(run.path, [results[name] for _, results in curve])
        yield curve


def record_points(path: Path, evaluations: Sequence[Evaluation]) -> Path:
    """Add evaluations under damage, all of one partition, to a run's curves; returns the file.

    A point that was measured before, with the same damage, seed and smoothing, is replaced.

    Raises:
        ConfigError: what is there already cannot be read.
    """
    partition = evaluations[0].partition
    points = {_what(point): point for point in read_points(path, partition)}
    for evaluation in evaluations:
        record = evaluation.to_json()
        point = {key: record[key] for key in _KEPT if key in record}
        point["moments"] = {name: sums.tolist() for name, sums in evaluation.moments.items()}
        points[_what(point)] = point
    write_json(curves_file(path, partition), {"points": list(points.values())})
    return curves_file(path, partition)


def read_points(path: Path, partition: str) -> list[dict[str, Any]]:
    """The points of a run: `corruption`, `ccc`, `ccc_interval`, `frames`, perhaps `smoothing`.

    `moments` are those of `Evaluation.moments`; earlier versions did not write them.

    Raises:
        ConfigError: the file cannot be read.
    """
    file = curves_file(path, partition)
    if not file.exists():
        return []
    try:
        points = json.loads(file.read_text())["points"]
        for point in points:
            _what(point), point["ccc"]["mean"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot read {file} ({type(error).__name__}: {error}); remove it, and `vapipe "
            f"evaluate {path} --partition {partition} --corrupt ...` measures the curves again"
        ) from error
    return points


def _what(point: dict[str, Any]) -> str:
    """What was done to get a point."""
    return json.dumps([point["corruption"], point.get("smoothing")], sort_keys=True)
