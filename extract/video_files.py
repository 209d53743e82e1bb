"""The video files below a folder, and the entries there that cannot be used, with reasons."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..cache.layout import MARKER

_MP4 = (".mp4", ".m4v", ".mov", ".3gp")
_OTHERS = (".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".ogv")
VIDEO_SUFFIXES = frozenset(_MP4 + _OTHERS)


class Entry(NamedTuple):
    """A video file, or with a problem what cannot be used."""

    path: Path
    problem: str = ""


def video_files(root: Path) -> Iterator[Path]:
    """Videos below `root` that can be opened, sorted folder by folder."""
    return (entry.path for entry in video_entries(root) if not entry.problem)


def video_entries(root: Path) -> Iterator[Entry]:
    """Videos below `root`, and what might be some but cannot be used.

    Links to folders are followed, each folder is visited once, by its own name where that is below
    `root`, too. Hidden entries and vapipe's own caches are passed over.
    """
    waiting, links, visited = deque([root]), deque[Path](), set[tuple[int, int]]()
    while waiting or links:
        folder = waiting.popleft() if waiting else links.popleft()
        try:
            facts = folder.stat()
            if (facts.st_dev, facts.st_ino) in visited:
                continue
            visited.add((facts.st_dev, facts.st_ino))
            paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        except OSError as error:
            yield Entry(folder, f"a folder that cannot be looked into ({error.strerror})")
            continue
        if folder != root and folder / MARKER in paths:
            continue
        inner: list[Path] = []
        for path in paths:
            if path.is_dir():
                (links if path.is_symlink() else inner).append(path)
            elif path.suffix.lower() in VIDEO_SUFFIXES or _may_be_a_folder(path):
                yield Entry(path, _problem(path))
        waiting.extendleft(reversed(inner))


def _may_be_a_folder(path: Path) -> bool:
    return path.is_symlink() and not path.suffix and not path.exists()


def _problem(path: Path) -> str:
    """Why a path cannot be opened as a file; empty where it can."""
    if path.is_file():
        return "" if os.access(path, os.R_OK) else "a file that this user may not read"
    if path.is_symlink() and not path.exists():
        return (
            f"a link to {path.readlink()}, which is not there; get the file (`git annex get`, "
            "`dvc pull`), or remove the link"
        )
    return "no file of data but a pipe, socket or device"
