"""Checks every byte of a cache, and moves what is damaged aside so that extraction redoes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from ..errors import CacheError, counted
from .catalog import Catalog, list_folder, shard_folders
from .durable import wrap_io_errors
from .header import Header, read_header
from .locks import upkeep
from .pack import Piece, write_pack
from .reading import ShardReader, verify_shard

QUARANTINE = "quarantine"


@dataclass(frozen=True)
class Finding:
    """One shard that was checked.

    Attributes:
        items: ids of the items in it, as far as they can be read.
        problem: what is wrong, or None.
        moved_to: where `repair` put it.
        saved_to: the pack that `repair` wrote of its undamaged items.
    """

    path: Path
    items: tuple[str, ...]
    problem: str | None = None
    moved_to: Path | None = None
    saved_to: Path | None = None


def verify_cache(root: Path, *, repair: bool = False) -> Iterator[Finding]:
    """Check digests of every shard, and rows of labels and features against the timelines.

    The index is not consulted. Every shard is judged by its own bytes: with `repair`, damaged ones
    are moved to the folder `quarantine`, after the undamaged items of a pack were copied into
    another; nothing is deleted. Rows that fit no timeline stay where they are: they are not served,
    and extraction makes the timeline, or them, again.

    Raises:
        CacheBusyError: with `repair`, another process packs, repairs or removes.
        CacheError: a shard cannot be moved.
    """
    with upkeep(root, "vapipe cache verify --repair") if repair else nullcontext():
        folders = [list_folder(root, path, kind) for path, kind in shard_folders(root)]
        catalog = Catalog(root, folders)
        videos = dict(catalog.subjects())
        for folder in folders:
            for name in sorted([*folder.shards, *folder.damaged]):
                path = root / folder.path / name
                problem, header = folder.damaged.get(name), None
                if problem is None:
                    try:
                        header = _verify_settled(path)
                    except CacheError as error:
                        problem = getattr(error, "reason", str(error))
                if problem:
                    saved = _save_items(path) if repair else None
                    moved = _set_aside(root, path) if repair else None
                    yield Finding(path, (), problem, moved, saved)
                elif header:
                    items = tuple(item.id for item in header.items)
                    yield Finding(path, items, _misfit(header, catalog, videos))


def _verify_settled(path: Path) -> Header | None:
    """As `verify_shard`, once nobody replaces the shard meanwhile; None where it has gone."""
    before = None
    while True:
        try:
            before = path.stat()
            return verify_shard(path)
        except (CacheError, OSError):
            try:
                now = path.stat()
            except FileNotFoundError:
                return None  # packed
            if before and (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns):
                raise


def _misfit(header: Header, catalog: Catalog, videos: dict[str, str]) -> str | None:
    """Why the shard's rows fit no timeline, or None."""
    if header.kind == "timeline":
        return None
    for item in header.items:
        timeline = catalog.timelines.get(videos.get(item.id, item.id))
        if timeline is None:
            return f"no timeline for `{item.id}`"
        if item.rows != timeline.rows:
            held = f"{counted(item.rows, 'row')} of `{item.id}`"
            return f"{held} for a timeline of {counted(timeline.rows, 'frame')}"
    return None


def _save_items(path: Path) -> Path | None:
    """Copy the items of a damaged pack whose rows are as they were written into a new pack."""
    try:
        header = read_header(path)
        reader = ShardReader(path)
    except CacheError:
        return None
    pieces = [
        Piece(path, header, item, start)
        for start, item in reader.items.values()
        if len(header.items) > 1 and _is_sound(reader, start, item.rows, item.facts.get("digests"))
    ]
    return write_pack(path.parent, pieces) if pieces else None


def _is_sound(reader: ShardReader, start: int, rows: int, digests: dict[str, str] | None) -> bool:
    """Whether an item's rows have the digests that the pack keeps of them."""
    try:
        return digests is not None and all(
            reader.digest(name, start, start + rows) == digests[name]
            for name in reader.header.arrays
        )
    except CacheError:
        return False


def _set_aside(root: Path, path: Path) -> Path:
    """Move a shard to the quarantine folder, under a name that is free there."""
    folder = root / QUARANTINE / path.parent.relative_to(root)
    target = folder / path.name
    with wrap_io_errors(target):
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while target.exists():
            number += 1
            target = folder / f"{path.stem}.{number}{path.suffix}"
        path.rename(target)
    return target
