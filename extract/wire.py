"""Messages between processes of one machine over a socket: any values, arrays without a copy."""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

_MANY = 1 << 20  # parts of a message at most: more is no message of ours


def connect(address: str) -> socket.socket:
    """A connection to the socket at a path.

    Raises:
        OSError: nobody answers there.
    """
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect(address)
    except OSError:
        link.close()
        raise
    return link


def send(to: socket.socket, message: Any) -> None:
    """Send one message; contiguous arrays in it go as they lie in memory.

    Raises:
        OSError: the other end is gone.
    """
    arrays: list[pickle.PickleBuffer] = []
    parts = [pickle.dumps(message, protocol=5, buffer_callback=arrays.append)]
    views = [memoryview(parts[0]), *(array.raw() for array in arrays)]
    to.sendall(struct.pack(f"!{len(views) + 1}Q", len(views), *(v.nbytes for v in views)))
    for view in views:
        to.sendall(view)


def receive(source: socket.socket) -> Any:
    """Wait for one message.

    Raises:
        EOFError: the other end is gone.
        OSError: likewise.
    """
    (count,) = struct.unpack("!Q", _read(source, 8))
    if not 0 < count < _MANY:
        raise EOFError
    sizes = struct.unpack(f"!{count}Q", _read(source, 8 * count))
    head, *arrays = [_read(source, size) for size in sizes]
    return pickle.loads(head, buffers=arrays)


def _read(source: socket.socket, size: int) -> bytearray:
    content = bytearray(size)
    view = memoryview(content)
    while view:
        got = source.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return content
