"""Locks between processes, containers and hosts that share a file system.

They are the kernel's locks on open files: they end with the process that holds them, however it
ends, and work between the hosts of NFS and between PID namespaces, where process numbers do not.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from ..errors import CacheBusyError, CacheError

FOLDER = "locks"
_NAMES = ("writers", "notes", "upkeep")
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
_POLL_S = 0.1
_WAIT_S = 60.0  # for those who hold a lock for moments only


def lock(handle: int, *, shared: bool = False, wait: bool = False) -> bool:
    """Lock an open file; False where others hold it and `wait` is not wanted.

    Raises:
        OSError: the file system has no locks.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(handle, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def lock_where_possible(handle: int) -> None:
    """Lock an open file, waiting for it; nothing where the file system has no locks."""
    try:
        lock(handle, wait=True)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise


@contextmanager
def locked_file(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold a lock file, however long others hold it; `waiting` is called meanwhile."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        while not lock(handle):
            waiting()
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def make_locks(root: Path) -> None:
    """Make the lock files of a cache, so that tidying up needs no room on a disk that is full."""
    (root / FOLDER).mkdir(exist_ok=True)
    for name in _NAMES:
        (root / FOLDER / name).touch()


@contextmanager
def writing(root: Path) -> Iterator[None]:
    """Say that this process writes features; any number may, but nothing is removed meanwhile.

    Raises:
        CacheBusyError: what removes from the cache does not end.
    """
    with _held(root, "writers", shared=True, needed=False, wait_s=_WAIT_S):
        yield


@contextmanager
def noting(root: Path) -> Iterator[None]:
    """Change a note that several processes change; held for moments.

    Raises:
        CacheBusyError: another process does not end doing so.
    """
    with _held(root, "notes", needed=False, wait_s=_WAIT_S):
        yield


@contextmanager
def upkeep(root: Path, what: str, *, removes: bool = False) -> Iterator[None]:
    """Move or rewrite shards; one process of all hosts at a time.

    Args:
        what: is done, for the message that others get.
        removes: refuse to begin while anybody writes features.

    Raises:
        CacheBusyError: another process does such work, or writes where that must not be.
        CacheError: the file system has no locks.
    """
    with _held(root, "upkeep") as handle, ExitStack() as also:
        if removes:
            also.enter_context(_held(root, "writers"))
        since = time.strftime("%Y-%m-%d %H:%M:%S %z")
        holder = f"`{what}`, process {os.getpid()} on {socket.gethostname()} since {since}"
        os.ftruncate(handle, 0)
        with suppress(OSError):  # a full disk; removing from it must be possible
            os.pwrite(handle, holder.encode(), 0)
        yield


@contextmanager
def _held(
    root: Path, name: str, *, shared: bool = False, needed: bool = True, wait_s: float = 0.0
) -> Iterator[int]:
    """Hold one lock of a cache; `needed` refuses file systems without locks."""
    path = root / FOLDER / name
    try:
        path.parent.mkdir(exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise CacheError(
            f"cannot write {path}: {error.strerror}; check the free space and the permissions"
        ) from error
    try:
        until = time.monotonic() + wait_s
        try:
            while not lock(handle, shared=shared):
                if time.monotonic() >= until:
                    raise CacheBusyError(root, _holder(root, name, shared))
                time.sleep(_POLL_S)
        except OSError as error:
            if needed or error.errno not in _UNSUPPORTED:
                raise CacheError(
                    f"cannot lock {path}: {error.strerror}; mount the file system with locks "
                    "(`flock`), or do this to a copy of the cache on another one"
                ) from error
        yield handle
    finally:
        os.close(handle)


def _holder(root: Path, name: str, shared: bool) -> str:
    """Who is in the way, as far as they said."""
    if name == "writers" and not shared:
        return "an extraction or import"
    if name == "notes":
        return "another process"
    return (root / FOLDER / "upkeep").read_text(errors="replace")
