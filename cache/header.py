"""The header of a shard: what lies in it, where, and the digests that prove it.

A shard is an HDF5 file whose user block (the bytes that HDF5 leaves to the application) holds this
header, so that a reader can check and map a shard without parsing HDF5. See docs/cache-format.md.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..errors import CacheError, DamagedShardError, FileGoneError
from .durable import canonical_json
from .header_checks import RefusedError, check_header, parse_json

VERSION = 2  # the newest
_PREAMBLE = re.compile(rb"vapipe-shard (\d{4}) (\d{9}) (\d{9}) ([0-9a-f]{64})\n")
PREAMBLE_BYTES = 13 + 5 + 10 + 10 + 65
_FIRST_READ = 8192
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Item:
    """Consecutive rows of a shard that belong to one item (or, for audio, one video)."""

    id: str
    rows: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ArrayInfo:
    """One dataset [N, ...]: NumPy dtype, shape, file offset (None: compressed), SHA-256."""

    dtype: str
    shape: tuple[int, ...]
    offset: int | None
    sha256: str

    @property
    def nbytes(self) -> int:
        """Size of the array's values in bytes."""
        return int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Header:
    """Everything a reader needs to know of a shard before it touches the values."""

    kind: str
    stream: str
    key: str
    items: tuple[Item, ...]
    arrays: Mapping[str, ArrayInfo]
    provenance: Mapping[str, Any]
    hdf5_bytes: int
    hdf5_sha256: str

    @property
    def rows(self) -> int:
        """Number of rows N of every array."""
        return sum(item.rows for item in self.items)

    @property
    def version(self) -> int:
        """Of the format that is needed: 2 brought the boxes of faces."""
        return VERSION if "box" in self.arrays else 1

    def encode(self) -> bytes:
        """The header as canonical JSON."""
        return canonical_json(asdict(self))


def pack_user_block(header: Header, block: int) -> bytes:
    """The `block` bytes that go before the HDF5 part: preamble, JSON, zeros."""
    body = header.encode()
    digest = hashlib.sha256(body).hexdigest()
    preamble = f"vapipe-shard {header.version:04d} {block:09d} {len(body):09d} {digest}\n".encode()
    return (preamble + body).ljust(block, b"\0")


def user_block_size(header: Header) -> int:
    """Smallest size HDF5 allows (a power of two, >= 512) that surely holds this header.

    Offsets and digests may still be placeholders: a reserve covers the digits they gain.
    """
    need = PREAMBLE_BYTES + len(header.encode()) + 32 * (len(header.arrays) + 1)
    return max(512, 1 << (need - 1).bit_length())


def read_header(path: Path) -> Header:
    """Read and check a shard's header; the HDF5 part is neither parsed nor read.

    Raises:
        DamagedShardError: truncated, flipped or foreign bytes, or what no vapipe writes.
        FileGoneError: there is no such file (any more).
        CacheError: the file cannot be read, or a newer vapipe wrote it.
    """
    with open_shard(path) as handle:
        return read_header_of(handle, path)


@contextmanager
def open_shard(path: Path) -> Iterator[BinaryIO]:
    """Open a shard for reading.

    Raises:
        FileGoneError: there is no such file (any more).
        CacheError: it cannot be read.
    """
    try:
        with path.open("rb", buffering=0) as handle:
            yield handle
    except FileNotFoundError as error:
        raise FileGoneError(f"cannot read {path}: {error.strerror}") from error
    except OSError as error:
        raise CacheError(f"cannot read {path}: {error.strerror or error}") from error


def read_header_of(handle: BinaryIO, path: Path) -> Header:
    """Read and check the header of an open shard; errors as `read_header`."""
    start = handle.read(_FIRST_READ)
    match = _PREAMBLE.match(start)
    if match is None:
        raise DamagedShardError(path, _why_foreign(start))
    version, block, length = (int(match[group]) for group in (1, 2, 3))
    if not 1 <= version <= VERSION:
        raise CacheError(
            f"{path} has shard format version {version}; this vapipe reads 1 to "
            f"{VERSION}. Use the vapipe that wrote it, or extract again into a new cache"
        )
    size = os.fstat(handle.fileno()).st_size
    if not PREAMBLE_BYTES + length <= block <= size:
        raise DamagedShardError(
            path, f"header of {length} bytes in a block of {block}, in a file of {size}"
        )
    missing = PREAMBLE_BYTES + length - len(start)
    whole = start + handle.read(missing) if missing > 0 else start
    body = whole[PREAMBLE_BYTES:][:length]
    if hashlib.sha256(body).hexdigest().encode() != match[4]:
        raise DamagedShardError(path, "the header does not match its digest")
    try:
        raw = parse_json(body)
        check_header(raw, block)
    except RefusedError as error:
        raise DamagedShardError(path, f"its header: {error}") from error
    if size != block + raw["hdf5_bytes"]:
        raise DamagedShardError(
            path, f"the file has {size} bytes, its header says {block + raw['hdf5_bytes']}"
        )
    header = _decode(raw)
    if header.version != version:
        raise DamagedShardError(path, f"its arrays are not those of version {version}")
    return header


def _why_foreign(start: bytes) -> str:
    if not start.strip(b"\0"):
        return "the file is empty or all zeros"
    if start.startswith(_HDF5_SIGNATURE):
        return "an HDF5 file that vapipe did not write"
    return "the file does not begin with a shard header"


def _decode(raw: dict[str, Any]) -> Header:
    items = tuple(Item(**item) for item in raw["items"])
    arrays = {
        name: ArrayInfo(**{**info, "shape": tuple(info["shape"])})
        for name, info in raw["arrays"].items()
    }
    return Header(**{**raw, "items": items, "arrays": arrays})
