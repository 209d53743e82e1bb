"""Extracts many videos: plans what is missing, runs it on this machine, takes the labels in.

Results are found in the cache, not in return values, so that a run can be killed and repeated.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import joblib
import numpy as np
import torch

from ..cache.catalog import Catalog, Place
from ..cache.durable import dead_partials, digest_file
from ..cache.errors import LabelError, VapipeError
from ..cache.index import open_catalog, write_index
from ..cache.labels import fit_labels, read_label_file
from ..cache.layout import create_cache, write_current, write_labels
from .dataset import Annotation, Dataset, Video
from .streams import Stream, bind
from .video import Outcome, Settings, Task, extract_video


def run_extraction(dataset: Dataset, settings: Settings, *, jobs: int = 1) -> Iterator[Outcome]:
    """Extract what is missing of every video; one outcome per video, as they finish.

    A video that fails is reported and the others go on.

    Args:
        dataset: the videos and their annotations.
        settings: streams, cropping, cache.
        jobs: worker processes; 1 runs in this process.

    Raises:
        ConfigError: unknown encoder or option, missing weights.
        CacheError: the cache folder cannot be used.
    """
    create_cache(settings.cache)
    for leftover in dead_partials(settings.cache):
        leftover.unlink(missing_ok=True)
    catalog = open_catalog(settings.cache)
    streams = bind_all(settings)
    write_current(settings.cache, {stream.config.name: stream.key for stream in streams})
    tasks = plan(dataset, streams, catalog)
    videos = {task.video.id: task.video for task in tasks}
    for outcome in _outcomes(tasks, settings, catalog, jobs):
        yield _take_labels(outcome, videos[outcome.video], dataset, settings.cache, catalog)
    write_index(settings.cache)


def plan(dataset: Dataset, streams: Sequence[Stream], catalog: Catalog) -> list[Task]:
    """What is missing of each video: never extracted, or extracted from another file or key."""
    return [_plan_video(video, streams, catalog) for video in dataset.videos]


def _plan_video(video: Video, streams: Sequence[Stream], catalog: Catalog) -> Task:
    subjects = [subject.id for subject in video.subjects]
    timeline = catalog.timelines.get(video.id)
    source = timeline.facts["source"] if timeline else {}
    same_file = timeline is not None and _unchanged(video.path, source)
    missing = {}
    for stream in streams:
        stored: Mapping[str, Place] = catalog.features.get((stream.config.name, stream.key), {})
        owners = subjects if stream.encoder.modality == "visual" else [video.id]
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
    tasks: Sequence[Task], settings: Settings, catalog: Catalog, jobs: int
) -> Iterator[Outcome]:
    todo = [task for task in tasks if task.timeline or task.streams]
    waiting = {id(task) for task in todo}
    for task in tasks:
        if id(task) not in waiting:
            place = catalog.timelines[task.video.id]
            yield Outcome(task.video.id, "complete", rows=place.rows)
    if jobs == 1 or len(todo) <= 1:
        yield from (_attempt(task, settings) for task in todo)
        return
    workers = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    yield from workers(joblib.delayed(_attempt)(task, settings) for task in todo)


def _attempt(task: Task, settings: Settings) -> Outcome:
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
