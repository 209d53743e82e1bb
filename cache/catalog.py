"""What lies in a cache, folder by folder; made from the shards' headers, never the truth itself.

All shards of a folder are of one kind and, for features, of one stream and key. A folder's listing
can be kept in the index (`index.py`), so that opening a large cache reads no headers.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import CacheError, DamagedShardError, FileGoneError, counted
from .header import Header, Item, read_header
from .layout import PACK_PREFIX, feature_folder
from .source import Source, is_plain, timeline_source


class RowRange(NamedTuple):
    """Rows [start, stop) of a shard and what must be known of them without opening it.

    `facts` are an item's facts for timelines and labels; for features, its `Source` as text.
    """

    path: Path
    start: int
    stop: int
    facts: Any

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.stop - self.start

    def stale_reason(self, timeline: RowRange | None, owner: str) -> str | None:
        """Why an owner's features cannot be served beside a timeline; None when they can."""
        if timeline is None:
            return "of a video no longer known"
        source = Source.parse(self.facts)
        reason = source.stale_reason(timeline_source(timeline.facts, owner))
        if reason is None and self.rows != timeline.rows:
            return (
                f"{counted(self.rows, 'row')} for a timeline of {counted(timeline.rows, 'frame')}"
            )
        if reason is None and not source.video_stream and not is_plain(timeline.facts):
            return "made by an earlier vapipe, which did not note what of the file it read"
        return reason


@dataclass
class Folder:
    """The shards of one folder and their items, in columns.

    Attributes:
        path: relative to the cache.
        kind: "timeline", "labels" or "features".
        stream, key: for features, what they are of.
        dim, dtype: for features, of the stored rows.
        provenance: for features, modality, configuration and library versions.
        modified_ns: modification time of the folder when it was listed.
        files: in an index, what else must be the same where that time was too recent to tell.
        shards: file names; of two that hold the same item the later one counts.
        damaged: file name -> why it cannot be used.
        ids, shard, start, rows, facts: one entry per item; `shard` counts into `shards`.
    """

    path: str
    kind: str
    stream: str = ""
    key: str = ""
    dim: int = 0
    dtype: str = ""
    provenance: dict[str, Any] = field(default_factory=dict)
    modified_ns: int = 0
    files: str = ""
    shards: list[str] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    shard: list[int] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    facts: list[Any] = field(default_factory=list)

    @property
    def imported(self) -> bool:
        """Whether its features came from files of the user, so that vapipe cannot make them."""
        return "imported" in self.provenance.get("config", {})

    def add(self, name: str, header: Header) -> None:
        """Enter a shard and its items."""
        features = self.kind == "features"
        if features and not self.shards:
            info = header.arrays["features"]
            self.dim, self.dtype = info.shape[1], info.dtype
            self.provenance = dict(header.provenance)
        start = 0
        for item in header.items:
            self.ids.append(item.id)
            self.shard.append(len(self.shards))
            self.start.append(start)
            self.rows.append(item.rows)
            self.facts.append(item_facts(header, item))
            start += item.rows
        self.shards.append(name)


def item_facts(header: Header, item: Item) -> Any:
    """What a listing keeps of an item's facts; see `RowRange`."""
    if header.kind == "features":
        return str(Source.of(item.facts["source"]))
    return {name: value for name, value in item.facts.items() if name != "digests"}


class Group(Mapping[str, RowRange]):
    """The places of one folder by item id; looked up on demand."""

    def __init__(self, root: Path, folder: Folder) -> None:
        self._path = root / folder.path
        self.folder = folder
        self._entry = {item: entry for entry, item in enumerate(folder.ids)}

    def __getitem__(self, item: str) -> RowRange:
        entry = self._entry[item]
        folder = self.folder
        start = folder.start[entry]
        path = self._path / folder.shards[folder.shard[entry]]
        return RowRange(path, start, start + folder.rows[entry], folder.facts[entry])

    def __iter__(self) -> Iterator[str]:
        return iter(self._entry)

    def __len__(self) -> int:
        return len(self._entry)


class Catalog:
    """Every folder of a cache.

    Attributes:
        folders: as listed.
        timelines: video id -> place.
        labels: item id -> place.
        features: (stream, key) -> item or video id -> place.
    """

    timelines: Mapping[str, RowRange]
    labels: Mapping[str, RowRange]
    features: dict[tuple[str, str], Group]

    def __init__(self, root: Path, folders: list[Folder]) -> None:
        self.root = root
        self.folders = folders
        self.timelines, self.labels, self.features = {}, {}, {}
        for folder in folders:
            group = Group(root, folder)
            if folder.kind == "timeline":
                self.timelines = group
            elif folder.kind == "labels":
                self.labels = group
            elif folder.shards:
                self.features[folder.stream, folder.key] = group

    def damaged(self) -> dict[Path, str]:
        """Shards that cannot be used, with the reason."""
        return {
            self.root / folder.path / name: reason
            for folder in self.folders
            for name, reason in folder.damaged.items()
        }

    def subjects(self) -> Iterator[tuple[str, str]]:
        """Every (item id, video id)."""
        for video, place in self.timelines.items():
            for item in place.facts["subjects"]:
                yield item, video


def shard_folders(root: Path) -> Iterator[tuple[Path, str]]:
    """Every folder that may hold shards, with their kind, in a fixed order."""
    for kind in ("timeline", "labels"):
        if (root / kind).is_dir():
            yield root / kind, kind
    for path in sorted((root / "features").glob("*/")):
        yield path, "features"


def list_folder(root: Path, path: Path, kind: str) -> Folder:
    """Read the header of every shard in a folder; packs first, so that single shards count.

    Damaged shards, and shards that do not belong into this folder, are entered as such. What is
    packed meanwhile is found where it lies then: an item that is there all the time is listed.
    """
    while True:
        modified_ns = path.stat().st_mtime_ns
        names = shard_names(path)
        folder = Folder(path.relative_to(root).as_posix(), kind, modified_ns=modified_ns)
        for name in sorted(names, key=shard_order):
            try:
                header = read_header(path / name)
                _check_belongs(path / name, header, folder)
            except FileGoneError:
                continue
            except CacheError as error:
                folder.damaged[name] = getattr(error, "reason", str(error))
            else:
                folder.add(name, header)
        # A pack is there before what it holds is removed, so a listing without a new one is whole.
        if not any(name.startswith(PACK_PREFIX) for name in shard_names(path) - names):
            return folder


def shard_names(path: Path) -> set[str]:
    """Names of the shards in a folder."""
    return {entry.name for entry in shard_entries(path)}


def shard_entries(path: Path) -> Iterator[os.DirEntry[str]]:
    """Directory entries of the shards in a folder."""
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.endswith(".h5") and not entry.name.startswith("."):
                yield entry


def shard_order(name: str) -> tuple[bool, str]:
    """Sorts shards so that, of two that hold the same item, the later one counts."""
    return not name.startswith(PACK_PREFIX), name


def _check_belongs(path: Path, header: Header, folder: Folder) -> None:
    """Refuse a shard that was moved here from elsewhere."""
    belongs = header.kind == folder.kind
    if belongs and folder.kind == "features":
        belongs = feature_folder(header.stream, header.key) == path.parent.name
        if belongs and not folder.shards:
            folder.stream, folder.key = header.stream, header.key
        belongs = belongs and (header.stream, header.key) == (folder.stream, folder.key)
    if not belongs:
        raise DamagedShardError(
            path,
            f"holds {header.kind} {header.stream} {header.key[:8]}".rstrip()
            + ", which does not belong into this folder",
        )
    if folder.kind == "features" and folder.shards:
        info = header.arrays["features"]
        if (info.shape[1], info.dtype) != (folder.dim, folder.dtype):
            raise DamagedShardError(
                path,
                f"holds rows of {info.shape[1]} x {info.dtype}, the others of this folder "
                f"{folder.dim} x {folder.dtype}",
            )
