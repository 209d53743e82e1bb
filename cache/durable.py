"""The one way by which anything that must last reaches the disk.

A file appears under its final name complete and flushed, or not at all: a killed writer leaves a
`.partial` file that no reader looks at. Of two writers of one name the last complete one wins.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import CacheError, DiskFullError
from .locks import lock, lock_where_possible

PARTIAL_SUFFIX = ".partial"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def wrap_io_errors(target: Path) -> Iterator[None]:
    """Turn what the file system (or HDF5 over it) refuses into one message that names `target`.

    Raises:
        DiskFullError: there is no room, or no way to write at all.
        CacheError: in place of any other OSError or RuntimeError of HDF5.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        hdf5 = re.search(r"error message = '([^']+)'", str(error))
        why = hdf5[1] if hdf5 else getattr(error, "strerror", None) or str(error)
        if any(why == os.strerror(number) for number in _FULL):
            raise DiskFullError(
                f"cannot write {target}: {why}; what was there before is intact. "
                "Make room, or have the disk writable, then run the command again"
            ) from error
        raise CacheError(
            f"cannot write {target}: {why}; what was there before is intact. "
            "Check the free space and the permissions of the folder, then run the command again"
        ) from error


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield an empty file beside `target`; flush and rename it when the block ends well.

    The temporary name is unique across processes and nodes that share the file system, and locked
    as long as its writer lives. When the block raises, the temporary file is removed and `target`
    stays as it was.

    Raises:
        CacheError: the folder cannot be written, or the disk is full.
    """
    with wrap_io_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial, handle = _locked_partial(target.parent)
    try:
        yield partial
        with wrap_io_errors(target):
            _flush(partial)
            partial.replace(target)
            _flush(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def _locked_partial(folder: Path) -> tuple[Path, int]:
    """A new temporary file and its handle, locked where the file system has locks."""
    while True:
        partial = folder / f".{secrets.token_hex(12)}{PARTIAL_SUFFIX}"
        handle = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        lock_where_possible(handle)
        if _names(partial, handle):  # not taken for a dead one before it was locked
            return partial, handle
        os.close(handle)


def _names(path: Path, handle: int) -> bool:
    """Whether a path still names an open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False


def _flush(path: Path) -> None:
    """Force a file's (or folder's) content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(target: Path, data: bytes) -> None:
    """Write a small file durably."""
    with atomic_file(target) as partial, wrap_io_errors(target):
        partial.write_bytes(data)


def write_json(target: Path, value: Any) -> None:
    """Write a value as indented JSON, durably."""
    write_bytes(target, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode())


def digest_file(path: Path, start: int = 0) -> str:
    """SHA-256 (hex) of a file's bytes from `start` to its end."""
    with path.open("rb") as handle:
        handle.seek(start)
        return hashlib.file_digest(handle, "sha256").hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces: equal values give equal bytes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def dead_partials(folder: Path) -> Iterator[Path]:
    """Partial files below `folder` whose writers no longer live, on whatever host they were.

    Each is locked as long as the caller is at it, so that it may be removed. Where the file system
    has no locks none is known to be dead.
    """
    for path in folder.rglob(f".*{PARTIAL_SUFFIX}"):
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError:
            continue  # complete meanwhile, or another user's
        try:
            if lock(handle) and _names(path, handle):
                yield path
        except OSError:
            continue
        finally:
            os.close(handle)


def slug(identifier: str) -> str:
    """The readable part of a file name: letters, digits, dot, dash and underscore, else `_`."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", identifier)[:100].lstrip(".") or "_"


def safe_name(identifier: str) -> str:
    """A file name for any identifier: readable, at most 113 bytes, distinct for distinct ones.

    No identifier can name a path outside its folder; the digest keeps different identifiers
    apart, also on file systems that ignore case.
    """
    return f"{slug(identifier)}-{hashlib.sha256(identifier.encode()).hexdigest()[:12]}"
