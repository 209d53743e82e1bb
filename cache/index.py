"""The index: a listing of the cache kept in one file, so that opening reads no headers.

It can be deleted at any time. A folder that may have changed since it was listed is listed anew;
readers never write the index.
"""

from __future__ import annotations

import gc
import hashlib
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from .catalog import Catalog, Folder, list_folder, shard_entries, shard_folders
from .durable import atomic_file, canonical_json, wrap_io_errors
from .header_checks import check_listing

INDEX = "index.json"
FORMAT = 3  # raised when a listing means something else
_COARSE_NS = 3_000_000_000  # file systems may give changes within this time the same time stamp
_FIELDS = {field.name for field in fields(Folder)}


def open_catalog(root: Path) -> Catalog:
    """List the cache, taking from the index what has not changed since it was written."""
    known = _load(root / INDEX)
    folders = []
    for path, kind in shard_folders(root):
        folder = known.get(path.relative_to(root).as_posix())
        if folder is None or folder.kind != kind or not _is_current(path, folder):
            folder = list_folder(root, path, kind)
        folders.append(folder)
    return Catalog(root, folders)


def _is_current(path: Path, folder: Folder) -> bool:
    """Whether a folder is as it was listed.

    Its time tells, unless it had changed just before; then which file has which name.
    """
    if folder.modified_ns != path.stat().st_mtime_ns:
        return False
    return not folder.files or folder.files == _files(path)


def _files(path: Path) -> str:
    """Digest of the names of a folder's shards and of the files that have these names."""
    found = sorted(f"{entry.name} {entry.inode()}" for entry in shard_entries(path))
    return hashlib.sha256("\n".join(found).encode(errors="surrogateescape")).hexdigest()


def write_index(root: Path) -> None:
    """Bring the index up to date; of several writers the last one wins, which does no harm."""
    target = root / INDEX
    with atomic_file(target) as partial:
        now_ns = partial.stat().st_mtime_ns  # by the clock of the file system, before the listing
        known = {path: _files(path) for path, _ in shard_folders(root)}
        catalog = open_catalog(root)
        for folder in catalog.folders:
            recent = folder.modified_ns > now_ns - _COARSE_NS
            folder.files = known.get(root / folder.path, "changed") if recent else ""
        folders = canonical_json([vars(folder) for folder in catalog.folders])
        with wrap_io_errors(target):
            partial.write_bytes(_preamble(folders) + folders)


def _preamble(folders: bytes) -> bytes:
    return f"vapipe-index {FORMAT} {hashlib.sha256(folders).hexdigest()}\n".encode()


def _load(path: Path) -> dict[str, Folder]:
    """The folders of an index that can be trusted; none when it is absent or not readable."""
    collecting = gc.isenabled()
    gc.disable()  # millions of small objects arrive at once and all stay
    try:
        preamble, _, folders = path.read_bytes().partition(b"\n")
        if preamble + b"\n" != _preamble(folders):
            return {}
        listing: Any = json.loads(folders)
        for folder in listing:
            check_listing(folder, _FIELDS)
        if b"\\ud" in folders.lower():  # half of a character, which cannot be written again
            return {}
    except (OSError, ValueError, TypeError, RecursionError):
        return {}  # the index is never the truth: without it the headers are read
    finally:
        if collecting:
            gc.enable()
    return {folder["path"]: Folder(**folder) for folder in listing}
