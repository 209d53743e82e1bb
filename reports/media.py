"""The clips beside their curves: which file belongs to a video, and its address in the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ..errors import ConfigError, counted
from .truth import VideoTruth


def find_media(folder: Path, videos: Sequence[VideoTruth]) -> tuple[dict[str, Path], list[str]]:
    """Find the file of each video in or below a folder, by its name and size.

    Returns:
        video -> its file, and a line for each video whose file is not there.

    Raises:
        ConfigError: no such folder, or none of the files is there.
    """
    if not folder.is_dir():
        raise ConfigError(f"--media {folder}: no such folder; name the one with the video files")
    there: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        there.setdefault(path.name, []).append(path)
    found, notes = {}, []
    for item in videos:
        name, size = Path(item.source["name"]).name, item.source["bytes"]
        same = [path for path in there.get(name, []) if path.is_file()]
        fitting = [path for path in same if path.stat().st_size == size]
        if fitting:
            found[item.video] = fitting[0]
        elif same:
            sizes = ", ".join(f"{path.stat().st_size:,}" for path in same)
            notes.append(f"{item.video}: {name} has {sizes} bytes, the extracted file had {size:,}")
        else:
            notes.append(f"{item.video}: no {name}")
    if not found:
        raise ConfigError(
            f"--media {folder}: none of the {counted(len(videos), 'video file')} is in it "
            f"({notes[0]}); name the folder that was extracted (`vapipe extract --videos`)"
        )
    return found, notes


def media_url(file: Path, page: Path) -> str:
    """The address of a file relative to the page, percent-encoded; absolute on another drive."""
    try:
        relative = os.path.relpath(file.resolve(), page.resolve().parent)
    except ValueError:
        return file.resolve().as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))
