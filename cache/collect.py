"""Finds what a cache no longer needs, and removes it when told to."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .catalog import Catalog, Group
from .durable import dead_partials, refusals_named
from .index import open_catalog, write_index
from .layout import read_current
from .verify import QUARANTINE


@dataclass(frozen=True)
class Garbage:
    """A file or folder that nothing needs, why, and its size in bytes."""

    path: Path
    reason: str
    nbytes: int


def find_garbage(root: Path, keep: Collection[tuple[str, str]]) -> list[Garbage]:
    """What can go: features under keys that are in no use, stale rows, leftovers of killed writers.

    Labels and timelines always stay. Rows of a pack that a newer shard supersedes go with the
    next `pack_cache`.

    Args:
        root: the cache folder.
        keep: (stream, key) pairs that runs refer to; those last extracted are kept anyway.
    """
    catalog = open_catalog(root)
    used = {*keep, *read_current(root).items()}
    garbage = [_entry(path, "left by a killed writer") for path in dead_partials(root)]
    quarantine = root / QUARANTINE
    if quarantine.is_dir():
        garbage.append(_entry(quarantine, "set aside by verify --repair"))
    for unit, group in catalog.features.items():
        stream, key = unit
        if unit not in used:
            path = root / group.folder.path
            garbage.append(
                _entry(path, f"{stream}@{key[:8]} is in no run and was not extracted last")
            )
        else:
            garbage += _stale(catalog, group)
    return garbage


def _stale(catalog: Catalog, group: Group) -> list[Garbage]:
    """Shards none of whose rows belong to a present timeline."""
    videos = dict(catalog.subjects())
    misfits: dict[Path, str | None] = {}
    for item, place in group.items():
        misfit = place.misfit(catalog.timelines.get(videos.get(item, item)))
        misfits[place.path] = misfit and misfits.get(place.path, misfit)
    return [_entry(path, misfit) for path, misfit in misfits.items() if misfit]


def remove(root: Path, garbage: Collection[Garbage]) -> int:
    """Remove what `find_garbage` found; the bytes freed.

    Raises:
        CacheError: the disk refuses.
    """
    for entry in garbage:
        with refusals_named(entry.path):
            if entry.path.is_dir():
                shutil.rmtree(entry.path)
            else:
                entry.path.unlink(missing_ok=True)
    write_index(root)
    return sum(entry.nbytes for entry in garbage)


def _entry(path: Path, reason: str) -> Garbage:
    files = path.rglob("*") if path.is_dir() else [path]
    return Garbage(path, reason, sum(file.stat().st_size for file in files if file.is_file()))
