"""What a run would do: for people, before the work. Loads no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..cache.catalog import Catalog
from ..cache.index import open_catalog
from ..cache.layout import DTYPES, check_cache
from ..cache.timeline import Timeline
from .annotate import foresee_labels, read_times
from .dataset import Dataset
from .failures import Failure, passed_over, read_failures
from .plan import length_of, plan
from .runlog import LoggedRun, read_logs
from .spec import EncoderSpec
from .task import ItemLabels, Settings, Task


@dataclass
class StreamPlan:
    """Units (a subject's, or for sound a video's, rows) of one stream.

    Attributes:
        stream, key: what it is.
        complete: extracted.
        missing: never extracted.
        stale: there, but made from other files, persons or streams, or with other options.
        quarantined: of videos that failed and are passed over.
        reasons: why stale rows are made anew -> whose they are.
    """

    stream: str
    key: str
    complete: int = 0
    missing: int = 0
    stale: int = 0
    quarantined: int = 0
    reasons: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    Attributes:
        streams: one entry per stream asked for.
        videos: how many of them would be read.
        duration: their seconds.
        nbytes: size of the rows that would be written, where their dimension is known.
        seconds: process seconds that it would take, None where no log tells.
        failures: why videos are passed over, by video.
        labels: of each item, what would be in force of its annotation.
        refused: item -> why its annotation would not be.
    """

    streams: list[StreamPlan]
    videos: int
    duration: float
    nbytes: int
    seconds: float | None
    failures: dict[str, str]
    labels: list[ItemLabels] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def dry_run(dataset: Dataset, settings: Settings, *, retry_failed: bool) -> DryRun:
    """What `run_extraction` would do; writes nothing.

    Raises:
        ConfigError: unknown encoder or option, missing weights.
        CacheError: there is something else in the place of the cache.
    """
    root = settings.cache
    if root.exists():
        check_cache(root)
    catalog = open_catalog(root)
    tasks = plan(dataset, settings, catalog)
    noted = {} if retry_failed else read_failures(root)
    given_up = passed_over(noted, tasks, settings)
    found = count(settings.specs, catalog, tasks, given_up, read_logs(root))
    for task in tasks:
        annotated = any(subject.id in dataset.annotations for subject in task.video.subjects)
        times = _times(task, root, catalog) if annotated else None
        for subject in task.video.subjects:
            label, why = foresee_labels(subject.id, dataset, catalog, times)
            found.labels.append(label)
            if why:
                found.refused[subject.id] = why
    return found


def _times(task: Task, root: Path, catalog: Catalog) -> tuple[Timeline, float] | None:
    """Times of a video's frames as stored, else about as its file announces them."""
    if not task.timeline:
        return read_times(root, catalog, task.video.id)
    duration, rows = length_of(task, catalog)
    if not rows or not duration:
        return None
    return Timeline(np.arange(rows) * duration / rows, rows / duration), 0.0


def count(
    specs: Sequence[EncoderSpec],
    catalog: Catalog,
    tasks: Sequence[Task],
    given_up: Mapping[str, Failure],
    logs: Sequence[LoggedRun],
) -> DryRun:
    """Count the units of a plan, and estimate its size and time.

    Args:
        specs: the streams asked for.
        tasks: from `plan.plan`, for the same.
        given_up: failures that still count, by video.
        logs: of earlier runs, from which the speed is taken.
    """
    keys = {spec.stream: spec.key() for spec in specs}
    plans = {name: StreamPlan(name, key) for name, key in keys.items()}
    row_bytes = {spec.stream: _row_bytes(spec, catalog) for spec in specs}
    nbytes, duration, seconds = 0, 0.0, 0.0
    speeds: dict[frozenset[str], float | None] = {}
    videos = 0
    for task in tasks:
        for spec in specs:
            name = spec.stream
            count = len(task.video.subjects) if spec.modality == "visual" else 1
            lacking = task.streams.get(name, ())
            entry = plans[name]
            entry.complete += count - len(lacking)
            if task.video.id in given_up:
                entry.quarantined += len(lacking)
                continue
            stale = [each for each in task.stale if each.stream == name]
            entry.stale += len(stale)
            entry.missing += len(lacking) - len(stale)
            for each in stale:
                entry.reasons.setdefault(each.reason, []).append(each.owner)
        if task.video.id in given_up or not task.streams:
            continue
        videos += 1
        length, rows = length_of(task, catalog)
        duration += length
        nbytes += rows * sum(row_bytes[name] * len(own) for name, own in task.streams.items())
        kind = frozenset(task.streams)
        if kind not in speeds:
            speeds[kind] = _speed(logs, {name: keys[name] for name in kind})
        seconds += length / (speeds[kind] or float("nan"))
    return DryRun(
        list(plans.values()),
        videos,
        duration,
        nbytes,
        None if np.isnan(seconds) else seconds,
        {video: failure.reason for video, failure in given_up.items()},
    )


def _row_bytes(spec: EncoderSpec, catalog: Catalog) -> int:
    """Of one stored row, without features where only the network tells how many there are."""
    beside = 19 if spec.finds_faces else 1  # bytes of codes, boxes and tracks
    group = catalog.features.get((spec.stream, spec.key()))
    dim = group.folder.dim if group else spec.encoder_options().dim
    return (dim or 0) * np.dtype(DTYPES[spec.dtype]).itemsize + beside


def _speed(logs: Sequence[LoggedRun], keys: Mapping[str, str]) -> float | None:
    """Seconds of video per second of one process, where just these streams were extracted."""
    took = [
        (unit["duration"], unit["seconds"])
        for run in logs
        for unit in run.units
        if unit["outcome"] == "extracted"
        and {name: run.start["streams"][name] for name in unit["streams"]} == keys
    ]
    seconds = sum(each for _, each in took)
    return sum(each for each, _ in took) / seconds if seconds else None
