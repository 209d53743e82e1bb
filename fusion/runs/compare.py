"""Runs side by side: in which options, streams and caches they differ, and what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import RunError
from .listing import read_json, summarise_run


@dataclass(frozen=True)
class Comparison:
    """Several runs beside the first of them.

    Attributes:
        runs: their folders.
        options: option -> its value in each, for those that are not the same in all; streams count
            with their keys, and an option that a run does not know is None there.
        made: `cache`, `validation videos`, `torch`, `device` ... -> the same of what they ran on;
            `data`, a digest of features and annotations, where runs have the same streams.
        scores: target and `mean` -> validation CCC of each, None where there is none.
        better: number of validation videos with a better CCC (mean of the targets) than in the
            first run, of each run; None where there are no such videos in common.
        videos: number of validation videos in common with the first run, of each run.
    """

    runs: list[str]
    options: dict[str, list[Any]]
    made: dict[str, list[Any]]
    scores: dict[str, list[float | None]]
    better: list[int | None]
    videos: list[int]


def compare_runs(paths: Sequence[Path]) -> Comparison:
    """Compare runs.

    Raises:
        RunError: a folder is no run or cannot be read.
    """
    runs = [summarise_run(path) for path in paths]
    for run in runs:
        if run.options is None:
            raise RunError(f"{run.path} is no run that can be compared: {run.state}")
    per_video = [_video_scores(path) for path in paths]
    shared = [sorted(per_video[0].keys() & each.keys()) for each in per_video]
    targets = dict.fromkeys(target for run in runs for target in run.ccc or {})
    options = _differing([run.options or {} for run in runs])
    made = _differing([_made(path) for path in paths])
    if any(name.startswith(("streams.", "init_from")) for name in options):
        made.pop("data", None)
    return Comparison(
        runs=[str(path) for path in paths],
        options=options,
        made=made,
        scores={target: [(run.ccc or {}).get(target) for run in runs] for target in targets},
        better=[
            sum(own[video] > per_video[0][video] for video in videos) if videos else None
            for own, videos in zip(per_video, shared, strict=True)
        ],
        videos=[len(videos) for videos in shared],
    )


def _differing(each: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for facts in each for name in facts)
    values = {name: [facts.get(name) for facts in each] for name in names}
    return {n: v for n, v in values.items() if any(value != v[0] for value in v)}


def _made(path: Path) -> dict[str, Any]:
    """What a run was made on."""
    cache, environment = read_json(path / "cache.json"), read_json(path / "environment.json")
    videos = {f"{part} videos": sorted(items) for part, items in cache.get("videos", {}).items()}
    made = {name: environment.get(name) for name in ("vapipe", "torch", "device")}
    return {"cache": cache.get("path"), "data": cache.get("digest"), **videos, **made}


def _video_scores(path: Path) -> dict[str, float]:
    """Validation video -> mean CCC of its targets, where there are all."""
    file = path / "evaluation-validation.json"
    scores = read_json(file)["per_video"] if file.is_file() else {}
    known = {v: list(own.values()) for v, own in scores.items() if None not in own.values()}
    return {video: sum(values) / len(values) for video, values in known.items() if values}
