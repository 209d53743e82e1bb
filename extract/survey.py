"""What a run would do, and how far runs are: for people, before and beside the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..cache.catalog import Catalog
from ..cache.index import open_catalog
from ..cache.layout import DTYPES, check_cache
from .dataset import Dataset
from .failures import Failure, passed_over, read_failures
from .plan import length_of, plan
from .run import describe_streams
from .runlog import LoggedRun, read_logs
from .streams import StreamFacts
from .video import Settings, Task


@dataclass
class StreamPlan:
    """Units (a subject's, or for sound a video's, rows) of one stream.

    Attributes:
        stream, key: what it is.
        complete: extracted.
        missing: never extracted.
        stale: extracted from another version of the file, or with other options or weights.
        quarantined: of videos that failed and are passed over.
    """

    stream: str
    key: str
    complete: int = 0
    missing: int = 0
    stale: int = 0
    quarantined: int = 0


@dataclass(frozen=True)
class Survey:
    """What a run would do.

    Attributes:
        streams: one entry per stream asked for.
        videos: how many of them would be read.
        duration: their seconds.
        nbytes: size of the rows that would be written.
        seconds: process seconds that it would take, None where no log tells.
        failures: why videos are passed over, by video.
    """

    streams: list[StreamPlan]
    videos: int
    duration: float
    nbytes: int
    seconds: float | None
    failures: dict[str, str]


def survey_extraction(dataset: Dataset, settings: Settings, *, retry_failed: bool) -> Survey:
    """What `run_extraction` would do; writes nothing.

    Raises:
        ConfigError: unknown encoder or option, missing weights.
        CacheError: there is something else in the place of the cache.
    """
    root = settings.cache
    if root.exists():
        check_cache(root)
    streams = describe_streams(settings)
    catalog = open_catalog(root)
    tasks = plan(dataset, streams, catalog)
    keys = {stream.config.name: stream.key for stream in streams}
    noted = {} if retry_failed else read_failures(root)
    given_up = passed_over(noted, tasks, keys, settings.crops_dir)
    return survey(streams, catalog, tasks, given_up, read_logs(root))


def survey(
    streams: Sequence[StreamFacts],
    catalog: Catalog,
    tasks: Sequence[Task],
    given_up: Mapping[str, Failure],
    logs: Sequence[LoggedRun],
) -> Survey:
    """Count the units of a plan, and estimate its size and time.

    Args:
        streams: the streams asked for.
        catalog: of the cache.
        tasks: from `plan.plan`, for the same.
        given_up: failures that still count, by video.
        logs: of earlier runs, from which the speed is taken.
    """
    plans = {stream.config.name: StreamPlan(stream.config.name, stream.key) for stream in streams}
    row_bytes = {
        stream.config.name: stream.dim * np.dtype(DTYPES[stream.config.dtype]).itemsize + 1
        for stream in streams
    }
    stored = {
        name: [group for (stream, _), group in catalog.features.items() if stream == name]
        for name in plans
    }
    keys = {stream.config.name: stream.key for stream in streams}
    nbytes, duration, seconds = 0, 0.0, 0.0
    speeds: dict[frozenset[str], float | None] = {}
    videos = 0
    for task in tasks:
        for stream in streams:
            name = stream.config.name
            count = len(task.video.subjects) if stream.modality == "visual" else 1
            lacking = task.streams.get(name, ())
            entry = plans[name]
            entry.complete += count - len(lacking)
            if task.video.id in given_up:
                entry.quarantined += len(lacking)
                continue
            stale = sum(any(owner in group for group in stored[name]) for owner in lacking)
            entry.stale += stale
            entry.missing += len(lacking) - stale
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
    return Survey(
        list(plans.values()),
        videos,
        duration,
        nbytes,
        None if np.isnan(seconds) else seconds,
        {video: failure.reason for video, failure in given_up.items()},
    )


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


@dataclass(frozen=True)
class Progress:
    """How far one run is.

    Attributes:
        run: its log.
        state: "running", "done", "stopped", "killed", "open" (where the file system has no locks
            to tell whether it still runs), or an error.
        extracted, failed: videos; a failed one may get another try.
        left: videos that it has not finished.
        frames_per_s: of one process, on average.
        peak: resident bytes of a process at most.
        left_s: seconds that the rest may take, None where nothing tells.
    """

    run: LoggedRun
    state: str
    extracted: int
    failed: int
    left: int
    frames_per_s: float
    peak: int
    left_s: float | None


def progress(run: LoggedRun) -> Progress:
    """Sum up a log."""
    final = list(run.final().values())
    done = [unit for unit in final if unit["outcome"] == "extracted"]
    left = run.start["todo"] - len(final)
    seconds = sum(unit["seconds"] for unit in done)
    elapsed = run.last - run.start["time"]
    return Progress(
        run=run,
        state=run.state(),
        extracted=len(done),
        failed=len(final) - len(done),
        left=left,
        frames_per_s=sum(unit["rows"] for unit in done) / seconds if seconds else 0.0,
        peak=max((unit["peak_bytes"] for unit in final), default=0),
        left_s=elapsed / len(final) * left if final else None,
    )
