"""Works out what is missing of a data set; reads no media but what a file announces of itself."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..cache.catalog import Catalog, Place
from ..cache.durable import digest_file
from ..cache.errors import ConfigError, MediaError
from .dataset import Dataset, Video
from .media.probe import open_media
from .streams import StreamFacts
from .video import Task

_MICROSECONDS = 1_000_000  # FFmpeg's unit of durations
_BYTES_PER_S = 10_000  # of a poor video, where a file does not say how long it is
_FPS = 30.0  # where a file does not say


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


def announced(path: Path) -> tuple[float, int]:
    """Seconds and frames that a file says it has, estimated from its size where it says nothing.

    Depends on the file alone, so that every node finds the same.
    """
    try:
        with open_media(path) as container:
            seconds = max(0, container.duration or 0) / _MICROSECONDS
            rates = [stream.average_rate for stream in container.streams.video]
    except MediaError:
        return 0.0, 0  # it is refused as fast, and listed, when its turn comes
    seconds = seconds or path.stat().st_size / _BYTES_PER_S
    return seconds, round(seconds * float(next(filter(None, rates), _FPS)))


def partition(videos: Sequence[Video], part: Part) -> tuple[Video, ...]:
    """The videos of one part: the longest first, each to the part that has least so far.

    Every caller with the same files gets the same parts; no part is longer than 4/3 of what the
    best partition could do (Graham 1969, longest processing time first).
    """
    lengths = [(announced(video.path)[0], video) for video in videos]
    loads = [(0.0, number) for number in range(1, part.count + 1)]
    mine = []
    for length, video in sorted(lengths, key=lambda pair: (-pair[0], pair[1].id)):
        seconds, number = loads[0]
        heapq.heapreplace(loads, (seconds + length, number))
        if number == part.number:
            mine.append(video)
    return tuple(mine)


def take_part(dataset: Dataset, part: Part) -> Dataset:
    """The data set with the videos of one part; its problems are left to the first part."""
    return replace(
        dataset,
        videos=tuple(sorted(partition(dataset.videos, part), key=lambda video: video.id)),
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


def unchanged(path: Path, source: dict) -> bool:
    """Whether a file is the one described: same size and time, or else the same digest."""
    facts = path.stat()
    if facts.st_size != source["bytes"]:
        return False
    return facts.st_mtime_ns == source["modified_ns"] or digest_file(path) == source["sha256"]
