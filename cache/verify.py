"""Checks every byte of a cache, and moves what is damaged aside so that extraction redoes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import CacheError
from .catalog import Catalog, list_folder, shard_folders
from .durable import refusals_named
from .header import Header
from .reading import verify_shard

QUARANTINE = "quarantine"


@dataclass(frozen=True)
class Finding:
    """One shard that was checked.

    Attributes:
        path: the shard.
        items: ids of the items in it, as far as they can be read.
        problem: what is wrong, or None.
        moved_to: where `repair` put it.
    """

    path: Path
    items: tuple[str, ...]
    problem: str | None = None
    moved_to: Path | None = None


def verify_cache(root: Path, *, repair: bool = False) -> Iterator[Finding]:
    """Check digests of every shard, and rows of labels and features against the timelines.

    The index is not consulted. With `repair`, damaged shards and those that fit no timeline are
    moved to the folder `quarantine`; nothing is deleted.

    Raises:
        CacheError: a shard cannot be moved.
    """
    folders = [list_folder(root, path, kind) for path, kind in shard_folders(root)]
    catalog = Catalog(root, folders)
    for folder in folders:
        names = sorted([*folder.shards, *folder.damaged])
        for name in names:
            path = root / folder.path / name
            items: tuple[str, ...] = ()
            problem = folder.damaged.get(name)
            if problem is None:
                try:
                    header = verify_shard(path)
                except CacheError as error:
                    problem = getattr(error, "reason", str(error))
                else:
                    items = tuple(item.id for item in header.items)
                    problem = _misfit(header, catalog)
            moved = _set_aside(root, path) if repair and problem else None
            yield Finding(path, items, problem, moved)


def _misfit(header: Header, catalog: Catalog) -> str | None:
    """Why the shard's rows fit no timeline, or None."""
    if header.kind == "timeline":
        return None
    videos = dict(catalog.subjects())
    for item in header.items:
        timeline = catalog.timelines.get(videos.get(item.id, item.id))
        if timeline is None:
            return f"no timeline for `{item.id}`"
        if item.rows != timeline.rows:
            return f"{item.rows} rows of `{item.id}` for a timeline of {timeline.rows} frames"
    return None


def _set_aside(root: Path, path: Path) -> Path:
    """Move a shard to the quarantine folder, under a name that is free there."""
    folder = root / QUARANTINE / path.parent.relative_to(root)
    target = folder / path.name
    with refusals_named(target):
        folder.mkdir(parents=True, exist_ok=True)
        number = 1
        while target.exists():
            number += 1
            target = folder / f"{path.stem}.{number}{path.suffix}"
        path.rename(target)
    return target
