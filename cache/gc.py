"""Finds what a cache no longer needs, and removes it when told to."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from .catalog import Catalog, Group
from .durable import dead_partials, wrap_io_errors
from .index import open_catalog, write_index
from .layout import read_current
from .locks import upkeep
from .verify import QUARANTINE


@dataclass(frozen=True)
class Garbage:
    """A file or folder that nothing needs, why, and its size in bytes."""

    path: Path
    reason: str
    nbytes: int


def find_garbage(
    root: Path, keep: Collection[tuple[str, str]], *, quarantine: bool = False
) -> list[Garbage]:
    """What can go: features under keys that are in no use, stale rows, leftovers of killed writers.

    Labels, timelines and what was imported always stay: vapipe cannot make an import again. Rows of
    a pack that a newer shard supersedes go with the next `pack_cache`.

    Args:
        keep: (stream, key) pairs that runs refer to; those last extracted are kept anyway.
        quarantine: whether the damaged shards that `verify --repair` set aside count.
    """
    catalog = open_catalog(root)
    used = {*keep, *read_current(root).items()}
    garbage = [_entry(path, "left by a killed writer") for path in dead_partials(root)]
    if quarantine and (root / QUARANTINE).is_dir():
        garbage.append(_entry(root / QUARANTINE, "set aside by verify --repair"))
    for unit, group in catalog.features.items():
        stream, key = unit
        if group.folder.imported:
            continue
        if unit not in used:
            path = root / group.folder.path
            garbage.append(
                _entry(path, f"{stream}@{key[:8]} is in no run and was not extracted last")
            )
        else:
            garbage += _stale(catalog, group)
    return garbage


def _stale(catalog: Catalog, group: Group) -> list[Garbage]:
    """Shards all of whose rows are of earlier versions of their videos.

    Rows whose timeline is lost stay: it is made again from the video, and they are as good as ever.
    """
    videos = dict(catalog.subjects())
    reasons: dict[Path, str | None] = {}
    for item, place in group.items():
        timeline = catalog.timelines.get(videos.get(item, item))
        reason = place.stale_reason(timeline, item) if timeline else None
        reasons[place.path] = reason and reasons.get(place.path, reason)
    return [_entry(path, reason) for path, reason in reasons.items() if reason]


def remove(root: Path, garbage: Collection[Garbage], keep: Collection[tuple[str, str]] = ()) -> int:
    """Remove what `find_garbage` found and would find still; the bytes freed.

    Args:
        keep: (stream, key) pairs that runs refer to by now.

    Raises:
        CacheBusyError: somebody extracts, imports, packs or repairs.
    """
    freed = 0
    with upkeep(root, "vapipe cache gc", removes=True):
        still = {entry.path for entry in find_garbage(root, keep, quarantine=True)}
        for entry in garbage:
            if entry.path not in still:
                continue
            freed += entry.nbytes
            with wrap_io_errors(entry.path):
                if entry.path.is_dir():
                    shutil.rmtree(entry.path)
                else:
                    entry.path.unlink(missing_ok=True)
        write_index(root)
    return freed


def _entry(path: Path, reason: str) -> Garbage:
    files = path.rglob("*") if path.is_dir() else [path]
    return Garbage(path, reason, sum(file.stat().st_size for file in files if file.is_file()))
