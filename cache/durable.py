"""The one way by which anything that must last reaches the disk.

A file appears under its final name complete and flushed, or not at all: a killed writer leaves a
`.partial` file that no reader looks at. Of two writers of one name the last complete one wins.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import CacheError

PARTIAL_SUFFIX = ".partial"
_PARTIAL_NAME = re.compile(r"^\.(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{12}\.partial$")


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


@contextmanager
def refusals_named(target: Path) -> Iterator[None]:
    """Turn what the file system (or HDF5 over it) refuses into one message that names `target`.

    Raises:
        CacheError: in place of the OSError or HDF5's RuntimeError.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        hdf5 = re.search(r"error message = '([^']+)'", str(error))
        why = hdf5[1] if hdf5 else getattr(error, "strerror", None) or str(error)
        raise CacheError(
            f"cannot write {target}: {why}; what was there before is intact. "
            "Check the free space and the permissions of the folder, then run the command again"
        ) from error


@contextmanager
def atomic_file(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside `target`; flush and rename it when the block ends well.

    The temporary name is unique across processes and nodes that share the file system. When the
    block raises, the temporary file is removed and `target` stays as it was.

    Raises:
        CacheError: the folder cannot be written, or the disk is full.
    """
    with refusals_named(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.parent / f".{_host()}-{os.getpid()}-{secrets.token_hex(6)}{PARTIAL_SUFFIX}"
    try:
        yield partial
        with refusals_named(target):
            _flush(partial)
            partial.replace(target)
            _flush(target.parent)
    except BaseException:
        if partial.exists():
            partial.unlink()
        raise


def _flush(path: Path) -> None:
    """Force a file's (or folder's) content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(target: Path, data: bytes) -> None:
    """Write a small file durably."""
    with atomic_file(target) as partial, refusals_named(target):
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


def dead_partials(folder: Path) -> list[Path]:
    """Partial files left below `folder` by processes of this host that no longer live."""
    found = []
    for path in folder.rglob(f".*{PARTIAL_SUFFIX}"):
        match = _PARTIAL_NAME.match(path.name)
        if match and match["host"] == _host() and not _alive(int(match["pid"])):
            found.append(path)
    return found


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def slug(identifier: str) -> str:
    """The readable part of a file name: letters, digits, dot, dash and underscore, else `_`."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", identifier)[:100].lstrip(".") or "_"


def safe_name(identifier: str) -> str:
    """A file name for any identifier: readable, at most 113 bytes, distinct for distinct ones.

    No identifier can name a path outside its folder; the digest keeps different identifiers
    apart, also on file systems that ignore case.
    """
    return f"{slug(identifier)}-{hashlib.sha256(identifier.encode()).hexdigest()[:12]}"
