"""What lies in a cache, video by video: states, validity codes, times, labels, sizes.

Unlike `status.py`, which counts from the listing alone, this reads codes, times and labels of
everything; features are never touched. A shard that cannot be read becomes a damaged cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import CacheError, counted
from .catalog import Catalog, Folder, Group, RowRange
from .durable import safe_name
from .index import open_catalog
from .layout import check_cache, feature_folder, read_current
from .rows import RowReader
from .status import CacheStatus, owner_states, summarise
from .timeline import usable
from .timestamp_issues import TimestampIssue, find_timestamp_issues

STATES = ("complete", "missing", "stale", "damaged")


class Cell(NamedTuple):
    """One item in one stream.

    Attributes:
        state: of `STATES`.
        codes: validity code -> rows, where complete.
        reason: why it is stale or damaged.
        nbytes: of its stored rows; the audio rows of a video count for each of its subjects.
    """

    state: str
    codes: Mapping[int, int]
    reason: str = ""
    nbytes: int = 0

    @property
    def usable(self) -> int:
        """Rows that can be used."""
        return sum(rows for code, rows in self.codes.items() if code in _USABLE)


_USABLE = frozenset(np.flatnonzero(usable(np.arange(256))).tolist())
_MISSING = Cell("missing", {})


@dataclass(frozen=True, eq=False)
class StoredStream:
    """One stream under one key.

    Attributes:
        name, key: what it is.
        modality: "visual", "audio", or "" where no shard is left to tell.
        config: what the key is the digest of; {} where no shard is left to tell.
        group: its places, None where there are none.
        label: its name; with the key where several of one name are shown.
    """

    name: str
    key: str
    modality: str
    config: Mapping[str, Any]
    group: Group | None
    label: str


class VideoFacts(NamedTuple):
    """One video file.

    Attributes:
        source: name, bytes, sha256 of the file.
        media: codec, size, rates as the container gives them.
        subjects: item ids.
        rows: frames T.
        fps: mean rate in hertz.
        odd: what is unusual about its times.
        problem: why its times cannot be read, or "".
    """

    id: str
    source: Mapping[str, Any]
    media: Mapping[str, Any]
    subjects: tuple[str, ...]
    rows: int
    fps: float
    odd: tuple[TimestampIssue, ...]
    problem: str = ""

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.rows / self.fps


class ItemFacts(NamedTuple):
    """One subject of one video.

    Attributes:
        partition: "train", "validation", "test", or None.
        labelled: rows with an annotation; None where there are no labels that fit.
        label_problem: why labels are not served, or "".
        cells: one per stream of the report.
    """

    id: str
    video: VideoFacts
    partition: str | None
    labelled: int | None
    label_problem: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class CacheReport:
    """A whole cache.

    Attributes:
        status: the counts that `vapipe cache status` shows.
        streams: those of the last extraction, and those of other names that none was the last of.
        older: how many streams under earlier keys are left out.
        videos: by id, sorted.
        items: sorted by id.
        damaged: shard, relative to the cache -> reason; also what only reading showed.
    """

    status: CacheStatus
    streams: tuple[StoredStream, ...]
    older: int
    videos: dict[str, VideoFacts]
    items: tuple[ItemFacts, ...]
    damaged: dict[str, str]


def scan(root: Path, progress: Callable[[int], None] = lambda total: None) -> CacheReport:
    """Read what is known of every item of a cache.

    Args:
        progress: called after each part of the work, with the number of all parts.

    Raises:
        CacheError: the folder is not a cache that this vapipe reads.
    """
    check_cache(root)
    catalog = open_catalog(root)
    catalog.timelines = dict(catalog.timelines)  # each is looked up again for every stream
    status = summarise(root, catalog)
    streams, older = _streams(catalog, read_current(root))
    reading = _Reading(root, catalog, dict(status.damaged))
    parts = len(streams) + 2
    videos = {}
    for video, place, pts in reading.rows(catalog.timelines, lambda each: each.timelines, "pts"):
        videos[video] = _video(video, place, pts)
    progress(parts)
    labels = dict(_labels(catalog, reading))
    progress(parts)
    columns = []
    for stream in streams:
        columns.append(_column(catalog, stream, reading))
        progress(parts)
    items = []
    for item, video in sorted(catalog.subjects()):
        stored = catalog.labels.get(item)
        labelled, problem = labels.get(item, (None, ""))
        cells = (
            c.get(video if u.modality == "audio" else item)
            for c, u in zip(columns, streams, strict=True)
        )
        items.append(
            ItemFacts(
                item,
                videos[video],
                stored.facts["partition"] if stored else None,
                labelled,
                problem,
                tuple(cell or _MISSING for cell in cells),
            )
        )
    return CacheReport(
        status, tuple(streams), older, dict(sorted(videos.items())), tuple(items), reading.damaged
    )


def _streams(catalog: Catalog, current: Mapping[str, str]) -> tuple[list[StoredStream], int]:
    """The streams shown, by name, and how many older ones are not."""
    shown = [unit for unit in catalog.features if current.get(unit[0], unit[1]) == unit[1]]
    older = len(catalog.features) - len(shown)
    lost = [unit for unit in current.items() if unit not in catalog.features]
    names = Counter(name for name, _ in [*shown, *lost])
    streams = []
    for name, key in sorted([*shown, *lost]):
        group = catalog.features.get((name, key))
        provenance = group.folder.provenance if group else {}
        label = name if names[name] == 1 else f"{name}@{key[:8]}"
        modality, config = provenance.get("modality", ""), provenance.get("config", {})
        streams.append(StoredStream(name, key, modality, config, group, label))
    return streams, older


_Places = Callable[[Catalog], Mapping[str, RowRange]]


class _Reading:
    """Reads rows of many items; what cannot be read is noted and told."""

    def __init__(self, root: Path, catalog: Catalog, damaged: dict[str, str]) -> None:
        self._root = root
        self._rows = RowReader(root, catalog)
        self.damaged = damaged

    def rows(
        self, places: Mapping[str, RowRange], among: _Places, name: str
    ) -> Iterator[tuple[str, RowRange, np.ndarray | str]]:
        """Each id with its place and rows, or in their stead the reason why there are none.

        Args:
            places: of the rows wanted.
            among: where to look them up again.
        """
        for owner, place in places.items():

            def find(catalog: Catalog, owner: str = owner) -> RowRange | None:
                return among(catalog).get(owner)

            try:
                yield owner, place, self._rows.read(find, owner, name)
            except CacheError as error:
                reason = getattr(error, "reason", str(error))
                self.damaged.setdefault(place.path.relative_to(self._root).as_posix(), reason)
                yield owner, place, reason


def _video(video: str, place: RowRange, pts: np.ndarray | str) -> VideoFacts:
    facts = place.facts
    media = facts.get("media", {})
    odd: tuple[TimestampIssue, ...] = ()
    if not isinstance(pts, str):
        odd = tuple(find_timestamp_issues(pts, media.get("video", {}).get("nominal_fps")))
    return VideoFacts(
        video,
        facts["source"],
        media,
        tuple(facts["subjects"]),
        place.rows,
        facts["fps"],
        odd,
        pts if isinstance(pts, str) else "",
    )


def _labels(catalog: Catalog, reading: _Reading) -> Iterator[tuple[str, tuple[int | None, str]]]:
    """Item -> annotated rows, or None and the reason."""
    lengths = {item: catalog.timelines[video].rows for item, video in catalog.subjects()}
    fitting = {}
    for item, place in catalog.labels.items():
        rows = lengths.get(item)
        if rows is not None and place.rows != rows:
            yield (
                item,
                (
                    None,
                    f"{counted(place.rows, 'label row')} for {counted(rows, 'frame')}; extract "
                    "again",
                ),
            )
        elif rows is not None:
            fitting[item] = place
    for item, _, values in reading.rows(fitting, lambda each: each.labels, "labels"):
        if isinstance(values, str):
            yield item, (None, values)
        else:
            yield item, (int((~np.isnan(values)).any(axis=1).sum()), "")


def _column(catalog: Catalog, stream: StoredStream, reading: _Reading) -> dict[str, Cell]:
    """The cells of a stream by owner; an owner of whom nothing is known is missing."""
    name = feature_folder(stream.name, stream.key)
    folder = next((f for f in catalog.folders if f.path == f"features/{name}"), None)
    cells = dict(_damaged_cells(catalog, stream, folder))
    if stream.group is None:
        return cells
    present = {}
    for each in owner_states(catalog, stream.group):
        if each.place is not None and each.stale_reason:
            cells[each.owner] = Cell("stale", {}, each.stale_reason)
        elif each.place is not None:
            present[each.owner] = each.place
            cells.pop(each.owner, None)  # a pack holds the rows of a damaged single shard
    row_bytes = stream.group.folder.dim * np.dtype(stream.group.folder.dtype).itemsize + 1
    key = stream.name, stream.key
    # In the order of the shards.
    in_order = {owner: present[owner] for owner in stream.group if owner in present}
    for owner, place, codes in reading.rows(
        in_order, lambda each: each.features.get(key, {}), "valid"
    ):
        if isinstance(codes, str):
            cells[owner] = Cell("damaged", {}, codes)
        else:
            counts = np.bincount(codes).tolist()
            held = {code: count for code, count in enumerate(counts) if count}
            cells[owner] = Cell("complete", held, nbytes=place.rows * row_bytes)
    return cells


def _damaged_cells(
    catalog: Catalog, stream: StoredStream, folder: Folder | None
) -> Iterator[tuple[str, Cell]]:
    """Owners whose own shard is damaged, told by its name; a damaged pack names nobody."""
    if folder is None or not folder.damaged:
        return
    for item, video in catalog.subjects():
        for owner in {item, video}:
            reason = folder.damaged.get(f"{safe_name(owner)}.h5")
            if reason:
                # Where no shard tells the modality, a video's rows count for all its subjects.
                yield (item if stream.modality == "" else owner), Cell("damaged", {}, reason)
