"""Extracts many videos: plans what is missing, has it run, takes the labels in.

Results are found in the cache, not in return values, so that a run can be killed and repeated.
Where worker processes extract, this one loads no weights.
"""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ..cache.catalog import Catalog, RowRange
from ..cache.durable import dead_partials
from ..cache.index import open_catalog, write_index
from ..cache.layout import create_cache, write_current, write_timeline
from ..cache.locks import writing
from ..cache.pack import LOOSE, pack_cache
from ..cache.rows import RowReader
from ..cache.timeline import Timeline
from ..device import describe_versions
from ..device_faults import device_errors, take_notes
from ..errors import CacheBusyError, CacheError, ConfigError, DiskFullError, StoppedError
from ..executor import Limits, TaskFailed, crashed, run_tasks
from ..numerics import exactly, on_threads
from .annotate import take_labels
from .attempts import DEFAULT, Attempts, Policy, limits_of, may_pass, outcome_of
from .dataset import Dataset
from .device_client import RemoteCascade, choose_address, remote_encoders
from .device_server import DeviceServer, serve_devices
from .faces.detector import FaceDetector
from .failures import (
    Circumstances,
    Failure,
    clear_failure,
    known_media,
    passed_over,
    read_failures,
    write_failure,
)
from .plan import Part, length_of, plan
from .runlog import open_log
from .spec import find_duplicate_streams
from .stages import take_times
from .task import Outcome, Settings, Task
from .video import Stream, extract_video


def run_extraction(
    dataset: Dataset,
    settings: Settings,
    *,
    jobs: int = 1,
    policy: Policy = DEFAULT,
    part: Part | None = None,
    scheduler: str | None = None,
    devices: Sequence[str] = (),
    warn: Callable[[str], None] = lambda message: None,
) -> Iterator[Outcome]:
    """Extract what is missing of every video; one outcome per video, as they finish.

    A video that fails is tried again after the others, reported, and noted in the cache, so that
    later runs pass over it; the others go on, also where it ends its worker process.

    Args:
        dataset: the videos and their annotations.
        settings: streams, cropping, cache.
        jobs: worker processes; 1 runs in this process on the CPU, unless the policy sets limits.
        policy: how failures are met.
        part: which part of a larger data set this is; listing the cache is left to a run over all.
        scheduler: address of a Dask scheduler whose workers extract, in place of `jobs`.
        devices: each computes for its share of the `jobs`, in a process of its own; none for that
            of the settings, which is the CPU of each of them, or a GPU for all.
        warn: told what is odd about the streams before the first video.

    Raises:
        ConfigError: unknown encoder or option, missing weights.
        CacheError: the cache folder cannot be used.
        StoppedError: the disk is full, too many videos failed, or the first ones all in the same
            way.
    """
    try:
        yield from _run(dataset, settings, jobs, policy, part, scheduler, devices, warn)
    except DiskFullError as error:
        raise StoppedError.by(error) from error


def _run(
    dataset: Dataset,
    settings: Settings,
    jobs: int,
    policy: Policy,
    part: Part | None,
    scheduler: str | None,
    devices: Sequence[str],
    warn: Callable[[str], None],
) -> Iterator[Outcome]:
    create_cache(settings.cache)
    with ExitStack() as scope:
        scope.enter_context(writing(settings.cache))
        for leftover in dead_partials(settings.cache):
            leftover.unlink(missing_ok=True)
        catalog = open_catalog(settings.cache)
        if not devices and settings.device != "cpu" and scheduler is None:
            devices = [settings.device]  # a fault of CUDA stays in its process
        apart = bool(devices) or jobs > 1
        apart |= policy.time_limit is not None or policy.memory_limit is not None
        execute = partial(
            run_tasks,
            n_jobs=jobs,
            scheduler=scheduler,
            resources={"GPU": 1} if scheduler is not None and settings.device != "cpu" else None,
            limits=limits_of(policy, catalog) if apart or scheduler is not None else None,
            retries=policy.retries,
            retry_if=may_pass,
        )
        for one, other in find_duplicate_streams(settings.specs):
            warn(
                f"streams {one} and {other} are the same network on the same input; "
                "the second adds nothing"
            )
        keys = settings.keys
        failures = read_failures(settings.cache)
        tasks = plan(dataset, settings, catalog)
        given_up = {} if policy.retry_failed else passed_over(failures, tasks, settings)
        todo = []
        note_times(tasks, settings.cache, catalog)
        for task in tasks:
            video = task.video
            if not task.incomplete:
                outcome = Outcome(video.id, "complete", rows=catalog.timelines[video.id].rows)
                yield take_labels(outcome, video, dataset, settings.cache, catalog)
            elif video.id in given_up:
                reason = (
                    "not tried, since it failed in an earlier run; --retry-failed tries again: "
                    f"{given_up[video.id].reason}"
                )
                yield Outcome(video.id, "quarantined", problems=(reason,))
            else:
                todo.append(task)
        if jobs > 1 or scheduler is not None:  # a long video begun last would be waited for alone
            todo.sort(key=lambda task: -length_of(task, catalog)[0])
        servers: list[DeviceServer] = []
        if todo and devices:
            servers = scope.enter_context(serve_devices(settings, devices))
        elif todo and scheduler is None and apart:
            _try_loading(settings, execute)
        elif todo and scheduler is None:
            _load(settings)
        write_current(settings.cache, keys)
        if todo:
            log = scope.enter_context(
                open_log(
                    settings.cache,
                    jobs=jobs,
                    devices=list(devices),
                    scheduler=scheduler,
                    part=str(part) if part else None,
                    streams=keys,
                    videos=len(dataset.videos),
                    todo=len(todo),
                )
            )
            attempts = Attempts(policy, log)
            addresses = tuple(server.address for server in servers)
            work = partial(_attempt, settings, addresses)
            tried = execute(work, todo, on_attempt=attempts.note)
            for task, answer in scope.enter_context(closing(tried)):
                outcome = outcome_of(task, answer)
                _note(task, outcome, settings, failures)
                yield take_labels(outcome, task.video, dataset, settings.cache, catalog)
                attempts.check_number()
                for server in servers:
                    server.check()
            for server in servers:
                busy, seconds = server.busy()
                log("device", device=server.device, busy_s=round(busy, 3), s=round(seconds, 3))
    if part is None:
        _pack(settings.cache, warn)


def _pack(cache: Path, warn: Callable[[str], None]) -> None:
    """Leave few files: pack what has become many, unless somebody else is at it."""
    try:
        for _ in pack_cache(cache, loose=LOOSE):
            pass
    except CacheBusyError:
        write_index(cache)
    except CacheError as error:
        warn(f"all that was extracted is in the cache, but not packed: {error}")
        write_index(cache)


def note_times(tasks: Sequence[Task], cache: Path, catalog: Catalog) -> None:
    """Note the new times of files that were touched or copied, so that none is read every run.

    Raises:
        CacheError: the disk refuses.
    """
    rows = RowReader(cache, catalog)
    for task in tasks:
        if task.timeline:
            continue
        video, facts = task.video.id, catalog.timelines[task.video.id].facts
        modified_ns = task.video.path.stat().st_mtime_ns
        if facts["source"]["modified_ns"] == modified_ns:
            continue

        def find(catalog: Catalog, video: str = video) -> RowRange | None:
            return catalog.timelines.get(video)

        pts = rows.read(find, video, "pts")
        write_timeline(
            cache,
            video,
            Timeline(pts, facts["fps"]),
            subjects=facts["subjects"],
            source={**facts["source"], "modified_ns": modified_ns},
            sides=facts.get("sides"),
            media=facts.get("media"),
        )


def _note(
    task: Task, outcome: Outcome, settings: Settings, failures: Mapping[str, Failure]
) -> None:
    """Write down that a video failed, or strike out that it did.

    What the cache refuses (a full disk) is no failure of the video.
    """
    video = task.video
    lost = outcome.status == "extracted" and outcome.problems  # single streams of it
    failed = outcome.status == "failed" and outcome.fault not in ("set-up", "changed", "device")
    if (failed or lost) and video.path.exists():
        failure = Failure(
            video=video.id,
            path=str(video.path),
            reason=outcome.problems[0],
            circumstances=Circumstances.of(video, settings),
            trace=outcome.trace,
            media=known_media(settings.cache, video.id),
            host=socket.gethostname(),
        )
        write_failure(settings.cache, failure)
    elif outcome.status == "extracted" and video.id in failures:
        clear_failure(settings.cache, video.id)


def _try_loading(settings: Settings, execute: Callable[..., Any]) -> None:
    """Load the networks in a process of its own, before the first video."""
    ((_, answer),) = execute(_load, [settings], limits=Limits(), retry_if=crashed)
    if not isinstance(answer, TaskFailed):
        return
    if answer.error is not None:
        raise answer.error
    raise ConfigError(
        f"a worker process died ({answer.reason}) while it loaded the encoders of "
        f"{', '.join(spec.stream for spec in settings.specs)}; there may be too little "
        "memory, or a library is broken: try one stream at a time, with --jobs 1"
    )


def _load(settings: Settings) -> None:
    with device_errors(settings.device):
        load_streams(settings)


def _attempt(settings: Settings, addresses: tuple[str, ...], task: Task) -> Outcome:
    """Extract one video.

    One thread computes: sums split over threads round differently, and the stored bytes must not
    depend on the machine's cores or on how many videos run at once.
    """
    take_notes(), take_times()  # of a try before
    with on_threads(1), device_errors(settings.device), exactly():
        if addresses:
            streams, make_detector = _connect(settings, addresses)
            outcome = extract_video(task, settings, streams, make_detector)
        else:
            outcome = extract_video(task, settings, load_streams(settings))
    return replace(
        outcome,
        notes=(*outcome.notes, *take_notes().values()),
        stages=take_times(),
        peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


@lru_cache(maxsize=1)
def load_streams(settings: Settings) -> tuple[Stream, ...]:
    """Load the encoders once per process; each must be the one specified."""
    versions = describe_versions(settings.device)
    return tuple(Stream(spec, spec.load(settings.device), versions) for spec in settings.specs)


@lru_cache(maxsize=1)
def _connect(
    settings: Settings, addresses: tuple[str, ...]
) -> tuple[tuple[Stream, ...], Callable[..., Any]]:
    """Encoders and face detector of one of the devices, once per process."""
    address = choose_address(addresses)
    encoders, versions = remote_encoders(address)
    streams = tuple(Stream(spec, encoders[spec.stream], versions) for spec in settings.specs)
    return streams, partial(FaceDetector, make_cascade=partial(RemoteCascade, address))
