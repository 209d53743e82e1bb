"""Where annotations lie beside videos, when nobody says it."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from ...cache.labels import partition_of
from ...cache.layout import MARKER
from ...cache.tables import OTHER_SUFFIXES, SUFFIXES
from ...errors import ConfigError

_AFF_WILD2 = ("va_estimation_challenge", "va_set")
_NAMES = ("labels", "label", "annotations", "annotation", "label_segments", "ratings_gold_standard")
_DEEPEST = 4  # folders below that of the videos


def table_files(folder: Path, suffixes: Collection[str] = SUFFIXES) -> Iterator[Path]:
    """Files below a folder that may hold annotations, sorted; none that are hidden.

    Links to folders are followed, each folder once.
    """
    visited: set[tuple[int, int]] = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        facts = Path(parent).stat()
        if (facts.st_dev, facts.st_ino) in visited:
            folders.clear()
            continue
        visited.add((facts.st_dev, facts.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if not name.startswith(".") and path.suffix.lower() in suffixes:
                yield path


def files_beside(videos: Iterable[Path]) -> list[Path]:
    """Files in the folders of videos that are called like one, perhaps with a side."""
    stems: dict[Path, set[str]] = defaultdict(set)
    for video in videos:
        stems[video.parent].update(video.stem + side for side in ("", "_left", "_right"))
    return sorted(
        path
        for folder, wanted in stems.items()
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and path.stem in wanted and path.is_file()
    )


def find_folder(base: Path, videos: Mapping[str, Path], *, alone: bool) -> Path | None:
    """The folder of annotations of videos.

    In this order: one of Aff-Wild2's names, one that is called after annotations, both below the
    videos' folder and then beside it; at last the videos' folder itself where a file of one's name
    lies beside it.

    Args:
        base: the folder of videos.
        videos: id -> path.
        alone: whether only this folder is looked at: a single clip's neighbours are not its own.

    Raises:
        ConfigError: there are several to choose from.
    """
    names = {path.stem for path in videos.values()}
    below = [base / name for name in _entries(base)] if alone else list(_folders(base, names))
    beside = [] if alone else [base.parent / name for name in _entries(base.parent)]
    for places in (below, beside):
        sets = [path for path in places if path.name.lower() in _AFF_WILD2 and _partitioned(path)]
        named = [path for path in places if path.name.lower() in _NAMES and _has_tables(path)]
        if places is beside:
            sets = [path for path in sets if _names_one(path, names)]
            named = [path for path in named if _names_one(path, names)]
        for found in (sets, _outermost(named)):
            if len(found) > 1:
                listed = ", ".join(map(str, found))
                raise ConfigError(
                    f"{base} holds several annotation sets: {listed}; choose with --labels, or "
                    f"take all with --labels {base}"
                )
            if found:
                return found[0]
    return base if files_beside(videos.values()) else None


def narrowed(folder: Path) -> Path:
    """The folder itself, or the one set of Aff-Wild2 for valence and arousal in it.

    Raises:
        ConfigError: there are several.
    """
    if folder.name.lower() in _AFF_WILD2:
        return folder
    places = _folders(folder, (), deepest=2)
    sets = [path for path in places if path.name.lower() in _AFF_WILD2 and _partitioned(path)]
    if len(sets) > 1:
        listed = ", ".join(map(str, sets))
        raise ConfigError(f"{folder} holds several annotation sets: {listed}; name one of them")
    return sets[0] if sets else folder


def _entries(folder: Path) -> list[str]:
    """Names of folders in a folder; none where it cannot be looked into."""
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError:
        return []


def _folders(base: Path, passed: Collection[str], deepest: int = _DEEPEST) -> Iterator[Path]:
    """Folders below one, but for caches and those called like a video, which hold its crops."""
    level: Iterable[Path] = [base]
    for _ in range(deepest):
        inner = [
            folder / name for folder in level for name in _entries(folder) if name not in passed
        ]
        level = [p for p in inner if os.access(p, os.R_OK | os.X_OK) and not (p / MARKER).exists()]
        yield from level


def _outermost(folders: list[Path]) -> list[Path]:
    """Those that are nearest to the top."""
    least = min((len(path.parts) for path in folders), default=0)
    return [path for path in folders if len(path.parts) == least]


def _partitioned(folder: Path) -> bool:
    return any(partition_of(name) for name in _entries(folder)) or _has_tables(folder)


def _has_tables(folder: Path) -> bool:
    return next(table_files(folder, SUFFIXES | OTHER_SUFFIXES), None) is not None


def _names_one(folder: Path, names: Collection[str]) -> bool:
    """Whether a file in a folder is called like a video, wholly or at its beginning or end."""
    return any(
        path.stem in names or any(part in names for part in path.parts[len(folder.parts) :])
        for path in table_files(folder)
    )
