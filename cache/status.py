"""What a cache holds and what is wrong with it, as plain values for people and for scripts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from .catalog import Catalog, Group, RowRange
from .index import open_catalog
from .layout import check_cache, read_current
from .verify import QUARANTINE

State = Literal["present", "missing", "stale"]


@dataclass(frozen=True)
class StreamStatus:
    """One stream under one key.

    Attributes:
        stream, key, modality: what it is.
        dim: feature dimension.
        dtype: stored precision.
        current: whether the last extraction used this key.
        present, missing, stale: counts of owners (subjects for visual, videos for audio streams).
        shards: number of files.
        nbytes: their size.
    """

    stream: str
    key: str
    modality: str
    dim: int
    dtype: str
    current: bool
    present: int
    missing: int
    stale: int
    shards: int
    nbytes: int


@dataclass(frozen=True)
class CacheStatus:
    """A whole cache.

    Attributes:
        videos, items, frames: counts; an item is one subject of one video.
        seconds: duration of all videos.
        partitions: partition (or "none") -> annotated or named items.
        streams: each stream under each key.
        damaged: shard -> reason.
        quarantine: shards set aside.
        nbytes: size of everything in the folder.
    """

    path: str
    videos: int
    items: int
    frames: int
    seconds: float
    partitions: dict[str, int]
    streams: list[StreamStatus]
    damaged: dict[str, str]
    quarantine: list[str]
    nbytes: int


def cache_status(root: Path) -> CacheStatus:
    """Survey a cache from its listing and file sizes; no values are read.

    Raises:
        CacheError: the folder is not a cache that this vapipe reads.
    """
    check_cache(root)
    return summarise(root, open_catalog(root))


def summarise(root: Path, catalog: Catalog) -> CacheStatus:
    """The status of a cache whose listing is at hand."""
    current = set(read_current(root).items())
    timelines = list(catalog.timelines.values())
    files = [path for path in root.rglob("*") if path.is_file()]
    return CacheStatus(
        path=str(root),
        videos=len(timelines),
        items=sum(len(place.facts["subjects"]) for place in timelines),
        frames=sum(place.rows for place in timelines),
        seconds=sum(place.rows / place.facts["fps"] for place in timelines),
        partitions=dict(
            Counter(place.facts["partition"] or "none" for place in catalog.labels.values())
        ),
        streams=[
            _stream_status(catalog, group, unit in current)
            for unit, group in sorted(catalog.features.items())
        ],
        damaged={str(path.relative_to(root)): reason for path, reason in catalog.damaged().items()},
        quarantine=[str(path.relative_to(root)) for path in files if QUARANTINE in path.parts[:-1]],
        nbytes=sum(_size(path) for path in files),
    )


def _stream_status(catalog: Catalog, group: Group, current: bool) -> StreamStatus:
    folder = group.folder
    counts = Counter(each.state for each in owner_states(catalog, group))
    path = catalog.root / folder.path
    return StreamStatus(
        stream=folder.stream,
        key=folder.key,
        modality=folder.provenance["modality"],
        dim=folder.dim,
        dtype=np.dtype(folder.dtype).name,
        current=current,
        present=counts["present"],
        missing=counts["missing"],
        stale=counts["stale"],
        shards=len(folder.shards),
        nbytes=sum(_size(path / name) for name in folder.shards),
    )


def _size(path: Path) -> int:
    """Bytes of a file; none of one that was packed or removed meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class OwnerState(NamedTuple):
    """One owner of a stream: a subject for visual streams, a video for audio streams.

    Attributes:
        video: whose rows, or whose subject's rows.
        place: where the rows lie, None where they are missing.
        stale_reason: why rows that are there are stale, None where they are not.
    """

    video: str
    owner: str
    place: RowRange | None
    stale_reason: str | None

    @property
    def state(self) -> State:
        """In a word."""
        if self.place is None:
            return "missing"
        return "stale" if self.stale_reason else "present"


def owner_states(catalog: Catalog, group: Group) -> Iterator[OwnerState]:
    """Every owner that a stream should have, with what there is of it."""
    audio = group.folder.provenance["modality"] == "audio"
    for video, timeline in catalog.timelines.items():
        for owner in [video] if audio else timeline.facts["subjects"]:
            place = group.get(owner)
            reason = place.stale_reason(timeline, owner) if place else None
            yield OwnerState(video, owner, place, reason)
