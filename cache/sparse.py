"""An in-memory file of which only the written parts take space."""

from __future__ import annotations

import io
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until the block ends: HDF5 swallows what is raised in its callbacks."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: caught.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        raise KeyboardInterrupt


class SparseFile(io.RawIOBase):
    """What HDF5 lays a shard out in: kilobytes of metadata around arrays not yet written.

    HDF5 cannot end a file that a full disk refuses without noise; this one never refuses, and its
    parts then reach the disk by plain writes.
    """

    def __init__(self) -> None:
        """Start empty; `parts` are (offset, bytes) as written, later ones over earlier ones."""
        self.parts: list[tuple[int, bytes]] = []
        self.size = 0
        self._position = 0

    def readable(self) -> bool:
        """HDF5 reads back what it wrote."""
        return True

    def writable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Position of the next read or write."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset; HDF5 seeks from the start or the end."""
        self._position = offset + (self.size if whence == io.SEEK_END else 0)
        return self._position

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        self.size = self._position if size is None else size
        return self.size

    def write(self, data: Any) -> int:
        """Keep the bytes."""
        content = bytes(data)
        self.parts.append((self._position, content))
        self._position += len(content)
        self.size = max(self.size, self._position)
        return len(content)

    def readinto(self, buffer: Any) -> int:
        """Give the bytes, zeros where nothing was written."""
        start, stop = self._position, min(self._position + len(buffer), self.size)
        view = memoryview(buffer).cast("B")
        view[: max(0, stop - start)] = bytes(max(0, stop - start))
        for offset, content in self.parts:
            lower, upper = max(start, offset), min(stop, offset + len(content))
            if lower < upper:
                view[lower - start : upper - start] = content[lower - offset : upper - offset]
        self._position = max(start, stop)
        return max(0, stop - start)
