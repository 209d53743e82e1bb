"""The video files below a folder, and the entries there that cannot be used, with reasons."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..cache.layout import MARKER

# Endings of files with pictures that FFmpeg opens.
_MP4 = ".mp4 .m4v .mov .qt .3gp .3g2 .f4v .insv .lrv"
_MPEG = ".mpg .mpeg .mpe .m1v .m2v .m2p .vob .mod .ts .mts .m2ts .m2t .tod .trp"
_OTHERS = ".avi .divx .mkv .webm .wmv .asf .flv .ogv .ogm .mxf .dv .gif .rm .rmvb .nut .ivf .y4m"
_RAW = ".h264 .264 .avc .hevc .h265 .265 .mjpg .mjpeg .obu"
VIDEO_SUFFIXES = frozenset(" ".join((_MP4, _MPEG, _OTHERS, _RAW)).split())


class Entry(NamedTuple):
    """A video file, or with a problem what cannot be used."""

    path: Path
    problem: str = ""


def video_files(root: Path) -> Iterator[Path]:
    """Videos below `root` that can be opened, sorted folder by folder."""
    return (entry.path for entry in video_entries(root) if not entry.problem)


def video_entries(root: Path, others: Counter[str] | None = None) -> Iterator[Entry]:
    """Videos below `root`, and what might be some but cannot be used.

    Links to folders are followed, each folder is visited once, by its own name where that is below
    `root`, too. Hidden entries and vapipe's own caches are passed over.

    Args:
        root: a folder.
        others: counts the endings of the files that are not looked at.
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
            elif others is not None:
                others[path.suffix.lower()] += 1
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
