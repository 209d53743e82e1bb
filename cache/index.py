"""The index: a listing of the cache kept in one file, so that opening reads no headers.

It can be deleted at any time. A folder whose modification time is not the one in the index, or was
too recent when the index was written to tell, is listed anew; readers never write the index.
"""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path

from .catalog import Catalog, Folder, list_folder, shard_folders
from .durable import canonical_json, write_bytes

INDEX = "index.json"
_FORMAT = 1
_RACY_SECONDS = 0.1  # file systems may give two changes within this time the same time stamp


def open_catalog(root: Path) -> Catalog:
    """List the cache, taking from the index what has not changed since it was written."""
    known = _load(root / INDEX)
    folders = []
    for path, kind in shard_folders(root):
        folder = known.get(path.relative_to(root).as_posix())
        if folder is None or folder.modified_ns != path.stat().st_mtime_ns:
            folder = list_folder(root, path, kind)
        folders.append(folder)
    return Catalog(root, folders)


def write_index(root: Path) -> None:
    """Bring the index up to date; of several writers the last one wins, which does no harm.

    Waits a moment first, so that the folders' present time stamps tell later changes.

    Raises:
        CacheError: the disk refuses.
    """
    time.sleep(2 * _RACY_SECONDS)
    catalog = open_catalog(root)
    folders = [vars(folder) for folder in catalog.folders]
    write_bytes(root / INDEX, canonical_json({"format": _FORMAT, "folders": folders}))


def _load(path: Path) -> dict[str, Folder]:
    """The folders of an index that can be trusted; none when it is absent or not readable."""
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects arrive at once and all stay
    try:
        content = json.loads(path.read_bytes())
        written_ns = path.stat().st_mtime_ns  # by the clock of the same file system
        if content["format"] != _FORMAT:
            return {}
        folders = [Folder(**folder) for folder in content["folders"]]
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # the index is never the truth: without it the headers are read
    finally:
        if collecting:
            gc.enable()
    return {
        folder.path: folder
        for folder in folders
        if folder.modified_ns < written_ns - _RACY_SECONDS * 1e9
    }
