"""Extracts many videos: plans what is missing, has an engine run it, takes the labels in.

Results are found in the cache, not in return values, so that a run can be killed and repeated.
Where worker processes extract, this one loads no weights.
"""

from __future__ import annotations

import os
import resource
import socket
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import torch

from ..cache.catalog import Catalog
from ..cache.durable import dead_partials
from ..cache.index import open_catalog, write_index
from ..cache.layout import create_cache, write_current
from ..cache.locks import writing
from ..cache.pack import LOOSE, pack_cache
from ..dask_engine import open_dask
from ..errors import (
    CacheBusyError,
    CacheError,
    ConfigError,
    MediaError,
    VapipeError,
    WriteVerificationError,
)
from ..workers import Death, Engine, open_engine
from .annotate import take_labels
from .attempts import DEFAULT, Attempts, Policy, limits_of
from .dataset import Dataset, Video
from .failures import (
    Circumstances,
    Failure,
    clear_failure,
    known_media,
    passed_over,
    read_failures,
    write_failure,
)
from .media.lengths import announced
from .plan import Part, length_of, plan
from .runlog import open_log
from .streams import Stream, StreamConfig, StreamFacts, bind, doubled
from .video import Outcome, Settings, Task, extract_video

# Seconds of video for which a process is worth starting: it takes seconds to import torch and to
# load networks, and one process alone keeps more than one core busy (`overlap.py`).
_WORTH_A_PROCESS_S = 180.0  # with these streams alone ...
_LIGHT = ("onet", "logmel")
_WORTH_A_PROCESS_LARGE_S = 12.0  # ... and with a large network, which takes ten times as long


def run_extraction(
    dataset: Dataset,
    settings: Settings,
    *,
    jobs: int = 1,
    policy: Policy = DEFAULT,
    part: Part | None = None,
    scheduler: str | None = None,
    warn: Callable[[str], None] = lambda message: None,
) -> Iterator[Outcome]:
    """Extract what is missing of every video; one outcome per video, as they finish.

    A video that fails is tried again after the others, reported, and noted in the cache, so that
    later runs pass over it; the others go on, also where it ends its worker process.

    Args:
        dataset: the videos and their annotations.
        settings: streams, cropping, cache.
        jobs: worker processes; 1 runs in this process, unless the policy sets limits.
        policy: how failures are met.
        part: which part of a larger data set this is; listing the cache is left to a run over all.
        scheduler: address of a Dask scheduler whose workers extract, in place of `jobs`.
        warn: told what is odd about the streams before the first video.

    Raises:
        ConfigError: unknown encoder or option, missing weights.
        CacheError: the cache folder cannot be used.
        StoppedError: too many videos failed, or the first ones all in the same way.
    """
    create_cache(settings.cache)
    with ExitStack() as scope:
        scope.enter_context(writing(settings.cache))
        for leftover in dead_partials(settings.cache):
            leftover.unlink(missing_ok=True)
        catalog = open_catalog(settings.cache)
        engines = _engines(settings, jobs, policy, scheduler, catalog)
        crew = scope.enter_context(ExitStack())  # ends before suspects run, which need its memory
        engine = crew.enter_context(engines[0]())
        processes = jobs if scheduler is None else 1
        streams = describe_streams(settings, engine, policy.retries, processes)
        for one, other in doubled(streams):
            warn(
                f"streams {one} and {other} are the same network on the same input; "
                "the second adds nothing"
            )
        keys = {stream.config.name: stream.key for stream in streams}
        write_current(settings.cache, keys)
        failures = read_failures(settings.cache)
        tasks = plan(dataset, streams, catalog)
        given_up = (
            {} if policy.retry_failed else passed_over(failures, tasks, keys, settings.crops_dir)
        )
        todo = []
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
        if todo:
            log = scope.enter_context(
                open_log(
                    settings.cache,
                    jobs=jobs,
                    scheduler=scheduler,
                    part=str(part) if part else None,
                    streams=keys,
                    videos=len(dataset.videos),
                    todo=len(todo),
                )
            )
            attempts = Attempts(partial(_attempt, settings), policy, engines[1], log)
            for tries in (partial(attempts.first, engine, todo), attempts.again):
                for task, outcome in tries():
                    _note(task, outcome, settings, keys, failures)
                    yield take_labels(outcome, task.video, dataset, settings.cache, catalog)
                crew.close()
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


_Opener = Callable[[], AbstractContextManager[Engine]]


def _engines(
    settings: Settings, jobs: int, policy: Policy, scheduler: str | None, catalog: Catalog
) -> tuple[_Opener, _Opener]:
    """What opens the engine of all videos, and that of one suspect alone."""
    limits = limits_of(policy, catalog)
    if scheduler is not None:
        remote = partial(open_dask, scheduler, limits, gpu=settings.device != "cpu")
        return remote, partial(remote, fresh=True)
    limited = policy.time_limit is not None or policy.memory_limit is not None
    local = partial(open_engine, limits=limits if jobs > 1 or limited else None, retries=0)
    return partial(local, jobs), partial(local, 1)


def _note(
    task: Task,
    outcome: Outcome,
    settings: Settings,
    keys: Mapping[str, str],
    failures: Mapping[str, Failure],
) -> None:
    """Write down that a video failed, or strike out that it did.

    What the cache refuses (a full disk) is no failure of the video.
    """
    video = task.video
    if outcome.status == "failed" and outcome.fault != "set-up" and video.path.exists():
        failure = Failure(
            video=video.id,
            path=str(video.path),
            reason=outcome.problems[0],
            circumstances=Circumstances.of(video, keys, settings.crops_dir),
            trace=outcome.trace,
            media=known_media(settings.cache, video.id),
            host=socket.gethostname(),
        )
        write_failure(settings.cache, failure)
    elif outcome.status == "extracted" and video.id in failures:
        clear_failure(settings.cache, video.id)


def sensible_jobs(videos: Sequence[Video], device: str, streams: Sequence[StreamConfig]) -> int:
    """How many processes are worth starting: one for a GPU, few for little work."""
    if device != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0))
    light = all(stream.encoder in _LIGHT for stream in streams)
    worth = _WORTH_A_PROCESS_S if light else _WORTH_A_PROCESS_LARGE_S
    seconds = 0.0
    for video in videos:
        seconds += announced(video.path)[0]
        if seconds >= cores * worth:
            break
    return max(1, min(cores, len(videos), int(seconds / worth)))


def describe_streams(
    settings: Settings, engine: Engine, retries: int = 0, processes: int = 1
) -> list[StreamFacts]:
    """Have the engine load the streams' encoders and tell what they are.

    Args:
        settings: the streams.
        engine: runs the loading.
        retries: how often it is tried again where it kills its process, which others may have done.
        processes: how many of them load at the same time; each must, before its first video.

    Raises:
        ConfigError: unknown encoder or option, missing weights, or the loading kills a process.
    """
    for _ in range(retries + 1):
        answers = [answer for _, answer in engine(_describe, [settings] * processes)]
        answer = next((each for each in answers if not isinstance(each, Death)), answers[0])
        if not isinstance(answer, Death):
            break
    if isinstance(answer, Death):
        raise ConfigError(
            f"a worker process died ({answer.cause}) while it loaded the encoders of "
            f"{', '.join(config.name for config in settings.streams)}; there may be too little "
            "memory, or a library is broken: try one stream at a time, with --jobs 1"
        )
    if isinstance(answer, VapipeError):
        raise answer
    return answer


def _describe(settings: Settings) -> list[StreamFacts] | VapipeError:
    try:
        return [stream.facts() for stream in bind_all(settings)]
    except VapipeError as error:
        return error


def _attempt(settings: Settings, task: Task) -> Outcome:
    """Extract one video; an error becomes its outcome, so that the others go on.

    One thread computes: sums split over threads round differently, and the stored bytes must not
    depend on the machine's cores or on how many videos run at once.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        outcome = extract_video(task, settings, bind_all(settings))
    except VapipeError as error:
        fault = "set-up"
        if isinstance(error, MediaError):
            fault = "media"
        elif isinstance(error, WriteVerificationError):
            fault = "unexpected"
        outcome = Outcome(task.video.id, "failed", problems=(str(error),), fault=fault)
    except Exception as error:
        reason = f"{task.video.path}: unexpected {type(error).__name__}: {error}"
        outcome = Outcome(
            task.video.id,
            "failed",
            problems=(reason,),
            trace=traceback.format_exc(),
            fault="unexpected",
        )
    finally:
        torch.set_num_threads(threads)
    return replace(outcome, peak=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


@lru_cache(maxsize=1)
def bind_all(settings: Settings) -> tuple[Stream, ...]:
    """Load the encoders once per process."""
    return tuple(bind(config, settings.crops, settings.device) for config in settings.streams)
