"""Extracts many videos: plans what is missing, has an engine run it, takes the labels in.

Results are found in the cache, not in return values, so that a run can be killed and repeated.
Where worker processes extract, this one loads no weights.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch

from ..cache.catalog import Catalog, Place
from ..cache.durable import dead_partials, digest_file
from ..cache.errors import ConfigError, LabelError, MediaError, VapipeError
from ..cache.index import open_catalog, write_index
from ..cache.labels import fit_labels, read_label_file
from ..cache.layout import create_cache, write_current, write_labels
from ..workers import Death, Engine, open_engine
from .dataset import Annotation, Dataset, Video
from .media.probe import announced_seconds
from .streams import Stream, StreamFacts, bind, doubled
from .video import Outcome, Settings, Task, extract_video

# Seconds of video for which a process is worth starting: it takes seconds to import torch and to
# load networks, and one process alone keeps more than one core busy (`overlap.py`).
_WORTH_A_PROCESS_S = 180.0


def run_extraction(
    dataset: Dataset,
    settings: Settings,
    *,
    jobs: int = 1,
    warn: Callable[[str], None] = lambda message: None,
) -> Iterator[Outcome]:
    """Extract what is missing of every video; one outcome per video, as they finish.

    A video that fails is reported and the others go on, also where it ends its worker process.

    Args:
        dataset: the videos and their annotations.
        settings: streams, cropping, cache.
        jobs: worker processes; 1 runs in this process.
        warn: told what is odd about the streams before the first video.

    Raises:
        ConfigError: unknown encoder or option, missing weights.
        CacheError: the cache folder cannot be used.
    """
    create_cache(settings.cache)
    for leftover in dead_partials(settings.cache):
        leftover.unlink(missing_ok=True)
    catalog = open_catalog(settings.cache)
    with open_engine(jobs) as engine:
        streams = describe_streams(settings, engine)
        for one, other in doubled(streams):
            warn(
                f"streams {one} and {other} are the same network on the same input; "
                "the second adds nothing"
            )
        write_current(settings.cache, {stream.config.name: stream.key for stream in streams})
        tasks = plan(dataset, streams, catalog)
        videos = {task.video.id: task.video for task in tasks}
        for outcome in _outcomes(tasks, settings, catalog, engine):
            yield _take_labels(outcome, videos[outcome.video], dataset, settings.cache, catalog)
    write_index(settings.cache)


def sensible_jobs(videos: Sequence[Video], device: str) -> int:
    """How many processes are worth starting: one for a GPU, few for little video."""
    if device != "cpu":
        return 1
    cores = len(os.sched_getaffinity(0))
    seconds = 0.0
    for video in videos:
        seconds += _announced_seconds(video)
        if seconds >= cores * _WORTH_A_PROCESS_S:
            break
    return max(1, min(cores, len(videos), int(seconds / _WORTH_A_PROCESS_S)))


def _announced_seconds(video: Video) -> float:
    try:
        return announced_seconds(video.path)
    except MediaError:
        return 0.0  # it is refused as fast, and listed, when its turn comes


def describe_streams(settings: Settings, engine: Engine) -> list[StreamFacts]:
    """Have the engine load the streams' encoders and tell what they are.

    Raises:
        ConfigError: unknown encoder or option, missing weights, or the loading kills a process.
    """
    ((_, answer),) = engine(_describe, [settings])
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


def plan(dataset: Dataset, streams: Sequence[StreamFacts], catalog: Catalog) -> list[Task]:
    """What is missing of each video: never extracted, or extracted from another file or key."""
    return [_plan_video(video, streams, catalog) for video in dataset.videos]


def _plan_video(video: Video, streams: Sequence[StreamFacts], catalog: Catalog) -> Task:
    subjects = [subject.id for subject in video.subjects]
    timeline = catalog.timelines.get(video.id)
    source = timeline.facts["source"] if timeline else {}
    same_file = timeline is not None and _unchanged(video.path, source)
    missing = {}
    for stream in streams:
        stored: Mapping[str, Place] = catalog.features.get((stream.config.name, stream.key), {})
        owners = subjects if stream.modality == "visual" else [video.id]
        lacking = tuple(
            owner
            for owner in owners
            if not same_file or (place := stored.get(owner)) is None or place.misfit(timeline)
        )
        if lacking:
            missing[stream.config.name] = lacking
    subjects_known = timeline is not None and timeline.facts["subjects"] == subjects
    return Task(video, missing, timeline=not (same_file and subjects_known))


def _unchanged(path: Path, source: dict) -> bool:
    """Whether a file is the one described: same size and time, or else the same digest."""
    facts = path.stat()
    if facts.st_size != source["bytes"]:
        return False
    return facts.st_mtime_ns == source["modified_ns"] or digest_file(path) == source["sha256"]


def _outcomes(
    tasks: Sequence[Task], settings: Settings, catalog: Catalog, engine: Engine
) -> Iterator[Outcome]:
    todo = []
    for task in tasks:
        if task.timeline or task.streams:
            todo.append(task)
        else:
            rows = catalog.timelines[task.video.id].rows
            yield Outcome(task.video.id, "complete", rows=rows)
    for task, answer in engine(partial(_attempt, settings), todo):
        if isinstance(answer, Death):
            reason = (
                f"{task.video.path}: its worker process died ({answer.cause}), also when nothing "
                "else ran; signal 9 mostly means that memory ran out, others a fault of a library "
                "on this file: convert the file, e.g. to H.264 in MP4, or leave it out"
            )
            yield Outcome(task.video.id, "failed", problems=(reason,))
        else:
            yield answer


def _attempt(settings: Settings, task: Task) -> Outcome:
    """Extract one video; an error becomes its outcome, so that the others go on.

    One thread computes: sums split over threads round differently, and the stored bytes must not
    depend on the machine's cores or on how many videos run at once.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return extract_video(task, settings, bind_all(settings))
    except VapipeError as error:
        return Outcome(task.video.id, "failed", problems=(str(error),))
    except Exception as error:
        reason = f"{task.video.path}: unexpected {type(error).__name__}: {error}"
        return Outcome(task.video.id, "failed", problems=(reason,), trace=traceback.format_exc())
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def bind_all(settings: Settings) -> tuple[Stream, ...]:
    """Load the encoders once per process."""
    return tuple(bind(config, settings.crops, settings.device) for config in settings.streams)


def _take_labels(
    outcome: Outcome, video: Video, dataset: Dataset, cache: Path, catalog: Catalog
) -> Outcome:
    """Store the annotations of a video's subjects where they are new or changed."""
    if not outcome.rows:
        return outcome
    notes, problems = list(outcome.notes), list(outcome.problems)
    for subject in video.subjects:
        annotation = dataset.annotations.get(subject.id)
        if annotation is None:
            continue
        try:
            note = _store_labels(
                cache, subject.id, annotation, outcome.rows, catalog.labels.get(subject.id)
            )
        except LabelError as error:
            problems.append(str(error))
        else:
            notes += [note] if note else []
    return replace(outcome, notes=tuple(notes), problems=tuple(problems))


def _store_labels(
    cache: Path, item: str, annotation: Annotation, rows: int, stored: Place | None
) -> str | None:
    """Write an item's labels unless they are there already; a note on surplus or lacking rows."""
    source = {}
    if annotation.file is not None:
        source = {"name": annotation.file.name, "sha256": digest_file(annotation.file)}
    wanted = {"partition": annotation.partition, "source": source}
    if stored and stored.facts == wanted and stored.rows == rows:
        return None
    if annotation.file is None:
        values, note = fit_labels(np.empty((0, 2), np.float32), rows, item)[0], None
    else:
        values, note = fit_labels(read_label_file(annotation.file), rows, str(annotation.file))
    write_labels(cache, item, values, partition=annotation.partition, source=source)
    return f"{item}: {note}" if note else None
