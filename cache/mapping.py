"""Maps files into memory without keeping them open, as Python's `mmap` does for the map's life."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from functools import cache
from typing import BinaryIO


def map_file(handle: BinaryIO, nbytes: int) -> memoryview:
    """The first bytes of an open file, read-only; unmapped when nothing refers to them.

    Raises:
        OSError: the system refuses, for example for want of memory regions.
    """
    libc = _libc()
    address = libc.mmap(None, nbytes, mmap.PROT_READ, mmap.MAP_SHARED, handle.fileno(), 0)
    if address == ctypes.c_void_p(-1).value:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    buffer = (ctypes.c_ubyte * nbytes).from_address(address)
    # At exit the system unmaps; other threads may still read then.
    weakref.finalize(buffer, libc.munmap, address, nbytes).atexit = False
    return memoryview(buffer).toreadonly()


@cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [
        ctypes.c_void_p,
        ctypes.c_size_t,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int,
        ctypes.c_int64,
    ]
    libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return libc
