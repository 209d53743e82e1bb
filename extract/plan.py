"""Works out what is missing of a data set; loads no network, and opens no media but for lengths."""

from __future__ import annotations

import heapq
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..cache.catalog import Catalog, RowRange
from ..cache.durable import digest_file
from ..cache.source import Source
from ..errors import ConfigError, MediaError
from .dataset import Dataset, Video
from .faces.official import CropFiles, find_crops
from .media.lengths import container_duration
from .spec import EncoderSpec, differences
from .task import Settings, Stale, Task

# Seconds of video for which a process is worth starting: it takes seconds to import torch and to
# load networks, and one process alone keeps more than one core busy (`prefetch.py`).
_WORTH_A_PROCESS_S = 180.0  # with these streams alone ...
_LIGHT = ("onet", "logmel", "mfcc", "vad")
_PROCESS_BYTES = 1_500_000_000  # what a process takes at most with large networks and 1080p
# ... and with a large network, which takes ten times as long, or three times.
_WORTH_A_PROCESS_LARGE_S = {"float32": 12.0, "bfloat16": 40.0, "float16": 40.0}


def available_memory() -> int:
    """Bytes that programs can still take on this machine, without swapping."""
    facts = Path("/proc/meminfo").read_text()
    return int(facts.partition("MemAvailable:")[2].split()[0]) * 1024


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
    lengths = [(container_duration(video.path)[0], video) for video in videos]
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


def plan(dataset: Dataset, settings: Settings, catalog: Catalog) -> list[Task]:
    """What is missing of each video, and what is stale: made from another file or other options."""
    streams = [_Stored.of(spec, catalog) for spec in settings.specs]
    return [_plan_video(video, streams, settings, catalog) for video in dataset.videos]


@dataclass(frozen=True)
class _Stored:
    """What a cache holds of a stream.

    Attributes:
        spec: the stream asked for.
        group: what is there under its key.
        others: what is there under other keys, each with what differs.
    """

    spec: EncoderSpec
    group: Mapping[str, RowRange]
    others: tuple[tuple[Mapping[str, RowRange], str], ...]

    @staticmethod
    def of(spec: EncoderSpec, catalog: Catalog) -> _Stored:
        key = spec.key()
        others = tuple(
            (group, _otherwise(spec, group.folder.provenance["config"]))
            for (stream, other), group in catalog.features.items()
            if stream == spec.stream and other != key
        )
        return _Stored(spec, catalog.features.get((spec.stream, key), {}), others)


def _otherwise(spec: EncoderSpec, config: Mapping[str, Any]) -> str:
    """What differs from a stream under another key."""
    try:
        return f"made otherwise: {differences(EncoderSpec.from_json(spec.stream, config), spec)}"
    except ConfigError:
        return "imported, or made by another version of vapipe"


def _plan_video(
    video: Video, streams: Sequence[_Stored], settings: Settings, catalog: Catalog
) -> Task:
    timeline = catalog.timelines.get(video.id)
    subjects = [subject.id for subject in video.subjects]
    sides = {subject.id: subject.side for subject in video.subjects if subject.side}
    sources = _Sources(video, timeline, settings)
    missing: dict[str, tuple[str, ...]] = {}
    stale: list[Stale] = []
    for stored in streams:
        spec, lacking = stored.spec, []
        for owner in subjects if spec.modality == "visual" else [video.id]:
            place = stored.group.get(owner)
            reason = sources.stale_reason(place, spec, owner, sides.get(owner)) if place else None
            if place is None:
                reason = next((why for group, why in stored.others if owner in group), None)
            if reason is not None:
                stale.append(Stale(spec.stream, owner, reason))
            if place is None or reason is not None:
                lacking.append(owner)
        if lacking:
            missing[spec.stream] = tuple(lacking)
    fits = sources.timeline_fits(subjects, sides) and not stale
    sha256 = timeline.facts["source"]["sha256"] if timeline else ""
    return Task(video, missing, timeline=not fits, stale=tuple(stale), sha256=sha256)


class _Sources:
    """What the rows of one video are to be made of, as far as its timeline tells."""

    def __init__(self, video: Video, timeline: RowRange | None, settings: Settings) -> None:
        self._video, self._timeline, self._settings = video, timeline, settings
        self._facts = timeline.facts if timeline else {}

    @cached_property
    def _source(self) -> Source:
        """The file as it is now, with the streams to be read; no digest where it is another file.

        Where the timeline was lost the file itself is read, so that rows made of it still count.
        """
        if self._timeline is None:
            digest, default = digest_file(self._video.path), {"video": "", "audio": ""}
        else:
            same = unchanged(self._video.path, self._facts["source"])
            digest = self._facts["source"]["sha256"] if same else ""
            default = {"video": "", **self._facts.get("media", {}).get("default", {})}
        chosen = {"video": self._settings.video_stream, "audio": self._settings.audio_stream}
        read = default | {kind: index for kind, index in chosen.items() if index is not None}
        audio = read.get("audio")
        return Source(
            digest,
            video_stream=str(read["video"]),
            audio_stream="none" if audio is None else str(audio),
        )

    def timeline_fits(self, subjects: Sequence[str], sides: Mapping[str, str]) -> bool:
        """Whether the timeline is of this file, this stream of it and these subjects."""
        if self._timeline is None or not self._source.sha256:
            return False
        noted = Source.of(self._facts["source"]).video_stream
        return (
            noted == self._source.video_stream != ""
            and self._facts["subjects"] == subjects
            and self._facts.get("sides", {}) == sides
        )

    def stale_reason(
        self, place: RowRange, spec: EncoderSpec, owner: str, side: str | None
    ) -> str | None:
        """Why rows that are there are not those asked for; None where they are."""
        if not self._source.sha256:
            return "made from an earlier version of the video file"
        stored = Source.parse(place.facts)
        reason = stored.stale_reason(self._wanted(spec, owner, side, stored))
        if reason is None and self._timeline and place.rows != self._timeline.rows:
            return f"made for {place.rows} frames, the timeline has {self._timeline.rows}"
        return reason

    def _wanted(self, spec: EncoderSpec, owner: str, side: str | None, stored: Source) -> Source:
        if spec.crops is None:
            return self._source
        pictures = self._source._replace(audio_stream="")
        if spec.finds_faces:
            return pictures._replace(subject=side or "main")
        if spec.crops.source == "crops":
            return pictures._replace(crops=self._crops(owner, stored))
        return pictures

    def _crops(self, owner: str, stored: Source) -> str:
        """Digest of an owner's crop files; contents are read only where something has changed."""
        try:
            files = CropFiles(find_crops(self._settings.crops_dir or Path(), owner))
        except MediaError:
            return "none"  # extraction says why
        return stored.crops if files.quick_digest() == stored.crop_files else files.digest()


def length_of(task: Task, catalog: Catalog) -> tuple[float, int]:
    """Seconds and frames of a task's video: as the cache knows them, else as the file announces."""
    timeline = None if task.timeline else catalog.timelines.get(task.video.id)
    if timeline is None:
        return container_duration(task.video.path)
    return timeline.rows / timeline.facts["fps"], timeline.rows


def unchanged(path: Path, source: dict) -> bool:
    """Whether a file is the one described: same size and time, or else the same digest."""
    facts = path.stat()
    if facts.st_size != source["bytes"]:
        return False
    return facts.st_mtime_ns == source["modified_ns"] or digest_file(path) == source["sha256"]


def sensible_jobs(videos: Sequence[Video], device: str, streams: Sequence[EncoderSpec]) -> int:
    """How many processes are worth starting: few for little work, or where memory is short.

    Those beside a GPU compute no networks, and all of them can hardly keep it busy.
    """
    growing = sum(stream.encoder_options().bytes_per_hour for stream in streams)
    longest = max((container_duration(v.path)[0] for v in videos if growing), default=0.0)
    fitting = int(available_memory() // (_PROCESS_BYTES + growing * longest / 3600))
    cores = min(len(os.sched_getaffinity(0)), max(1, fitting))
    worth = _WORTH_A_PROCESS_S
    if device == "cpu":
        large = [stream.precision for stream in streams if stream.encoder not in _LIGHT]
        worth = min((_WORTH_A_PROCESS_LARGE_S[precision] for precision in large), default=worth)
    seconds = 0.0
    for video in videos:
        seconds += container_duration(video.path)[0]
        if seconds >= cores * worth:
            break
    return max(1, min(cores, len(videos), int(seconds / worth)))
