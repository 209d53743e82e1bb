"""Works out what is missing of a data set; reads no media but what a file announces of itself."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..cache.catalog import Catalog, Place
from ..cache.durable import digest_file
from ..errors import ConfigError
from .dataset import Dataset, Video
from .media.lengths import announced
from .streams import StreamFacts
from .video import Task


@dataclass(frozen=True)
class Part:
    """Part `number` (from 1) of `count` of a data set."""

    number: int
    count: int

    @staticmethod
    def parse(text: str) -> Part:
        """Read `i/n`.

        Raises:
            ConfigError: anything else.
        """
        number, _, count = text.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise ConfigError(f"--partition {text}: give i/n with i from 1 to n, e.g. 3/16")
        return Part(int(number), int(count))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def partition(videos: Sequence[Video], count: int) -> list[list[Video]]:
    """Deal the videos out to parts: the longest first, each to the part that has least so far.

    Every caller with the same files gets the same parts; no part is longer than 4/3 of what the
    best partition could do (Graham 1969, longest processing time first).
    """
    lengths = [(announced(video.path)[0], video) for video in videos]
    loads = [(0.0, number) for number in range(count)]
    parts: list[list[Video]] = [[] for _ in range(count)]
    for length, video in sorted(lengths, key=lambda pair: (-pair[0], pair[1].id)):
        seconds, number = loads[0]
        heapq.heapreplace(loads, (seconds + length, number))
        parts[number].append(video)
    return parts


def take_part(dataset: Dataset, part: Part) -> Dataset:
    """The data set with the videos of one part; its problems are left to the first part."""
    mine = partition(dataset.videos, part.count)[part.number - 1]
    return replace(
        dataset,
        videos=tuple(sorted(mine, key=lambda video: video.id)),
        problems=dataset.problems if part.number == 1 else (),
    )


def plan(dataset: Dataset, streams: Sequence[StreamFacts], catalog: Catalog) -> list[Task]:
    """What is missing of each video: never extracted, or extracted from another file or key."""
    return [_plan_video(video, streams, catalog) for video in dataset.videos]


def _plan_video(video: Video, streams: Sequence[StreamFacts], catalog: Catalog) -> Task:
    subjects = [subject.id for subject in video.subjects]
    timeline = catalog.timelines.get(video.id)
    source = timeline.facts["source"] if timeline else {}
    same_file = timeline is not None and unchanged(video.path, source)
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


def length_of(task: Task, catalog: Catalog) -> tuple[float, int]:
    """Seconds and frames of a task's video: as the cache knows them, else as the file announces."""
    timeline = None if task.timeline else catalog.timelines.get(task.video.id)
    if timeline is None:
        return announced(task.video.path)
    return timeline.rows / timeline.facts["fps"], timeline.rows


def unchanged(path: Path, source: dict) -> bool:
    """Whether a file is the one described: same size and time, or else the same digest."""
    facts = path.stat()
    if facts.st_size != source["bytes"]:
        return False
    return facts.st_mtime_ns == source["modified_ns"] or digest_file(path) == source["sha256"]
