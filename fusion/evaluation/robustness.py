"""Robustness curves of a run: the CCC under damage, kept in the run's folder point by point."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...cache.durable import write_json
from ...errors import ConfigError
from .scoring import Evaluation

_KEPT: tuple[str, ...] = ("corruption", "smoothing", "ccc", "ccc_interval", "frames")


def curves_file(path: Path, partition: str) -> Path:
    """Where a run keeps the curves of a partition."""
    return path / f"robustness-{partition}.json"


def record_points(path: Path, evaluations: Sequence[Evaluation]) -> Path:
    """Add evaluations under damage, all of one partition, to a run's curves; returns the file.

    A point that was measured before, with the same damage, seed and smoothing, is replaced.

    Raises:
        ConfigError: what is there already cannot be read.
        CacheError: the disk refuses.
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
