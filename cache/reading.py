"""Reads shards: mapped at the offsets that the header names, so that rows are zero-copy views.

Arrays of compressed shards have no offset; their rows are decompressed by HDF5 when asked for.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from ..errors import CacheError, DamagedShardError
from .durable import digest_file
from .header import ArrayInfo, Header, Item, open_shard, pack_user_block, read_header_of
from .mapping import map_file

_BLOCK_BYTES = 64 << 20  # read at once where a whole array is gone through
_CHUNK_BYTES = 1 << 20  # of a compressed shard: what one read decompresses at least
_UNKNOWN: dict[str, np.ndarray] = {
    "box": np.full(4, np.nan, np.float32),
    "track": np.array(0, np.uint16),
}
_NAMES = ("videos", "offsets", "facts")  # what a shard's HDF5 part has besides the arrays


class ShardReader:
    """The rows of one shard.

    Attributes:
        header: what lies in it.
    """

    def __init__(self, path: Path) -> None:
        """Read the header and map the arrays that are not compressed; no file stays open."""
        self.path = path
        self._arrays: dict[str, np.ndarray] = {}
        with open_shard(path) as handle:
            self.header: Header = read_header_of(handle, path)
            infos = self.header.arrays
            mapped = {n: info for n, info in infos.items() if info.offset is not None}
            if not mapped:
                return
            # The header has checked the size: nothing lies beyond the end of the file.
            stop = max((info.offset or 0) + info.nbytes for info in mapped.values())
            buffer = map_file(handle, stop)
        for name, info in mapped.items():
            count = int(np.prod(info.shape))
            flat = np.frombuffer(buffer, info.dtype, count=count, offset=info.offset or 0)
            self._arrays[name] = flat.reshape(info.shape)

    @cached_property
    def items(self) -> dict[str, tuple[int, Item]]:
        """Item id -> its first row, and what the header says of it."""
        found, start = {}, 0
        for item in self.header.items:
            found[item.id] = start, item
            start += item.rows
        return found

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of an array, read-only; a view of the map unless compressed.

        Of a shard without faces, boxes are NaN and tracks 0.

        Raises:
            DamagedShardError: compressed rows cannot be decompressed.
        """
        array = self._arrays.get(name)
        if array is not None:
            return array[start:stop]
        if name not in self.header.arrays:
            return np.broadcast_to(_UNKNOWN[name], (stop - start, *_UNKNOWN[name].shape))
        with _opened_hdf5(self.path) as file:
            values = _dataset(file, name, self.header.arrays[name])[start:stop]
        values.flags.writeable = False
        return values

    def digest(self, name: str, start: int = 0, stop: int | None = None) -> str:
        """SHA-256 (hex) of an array's values, or of those of some rows.

        Raises:
            DamagedShardError: compressed rows cannot be decompressed.
        """
        info = self.header.arrays[name]
        stop = info.shape[0] if stop is None else stop
        digest = hashlib.sha256()
        step = max(1, _BLOCK_BYTES * info.shape[0] // max(1, info.nbytes))
        for first in range(start, stop, step):
            digest.update(self.rows(name, first, min(first + step, stop)).data)
        return digest.hexdigest()


def verify_shard(path: Path) -> Header:
    """Read every byte of a shard and compare with its digests; then look at its HDF5 part.

    Raises:
        DamagedShardError: something differs, or HDF5 would read anything but this file's values.
    """
    with open_shard(path) as handle:
        header = read_header_of(handle, path)
        block = handle.seek(0, 2) - header.hdf5_bytes
        handle.seek(0)
        if handle.read(block) != pack_user_block(header, block):
            raise DamagedShardError(path, "bytes between the header and the HDF5 part changed")
    if digest_file(path, start=block) != header.hdf5_sha256:
        raise DamagedShardError(path, f"{_what_changed(path, header)} changed since it was written")
    check_hdf5(path, header)
    reader = ShardReader(path)
    for name, info in header.arrays.items():
        if info.offset is None and reader.digest(name) != info.sha256:
            raise DamagedShardError(path, f"the values of `{name}` are not those of its digest")
    return header


def _what_changed(path: Path, header: Header) -> str:
    if any(info.offset is None for info in header.arrays.values()):
        return "compressed values or HDF5 metadata"
    reader = ShardReader(path)
    changed = [name for name, info in header.arrays.items() if reader.digest(name) != info.sha256]
    return f"values of {', '.join(changed)}" if changed else "HDF5 metadata"


def check_hdf5(path: Path, header: Header) -> None:
    """Check that HDF5 finds the values that the header names, and in this file alone.

    Raises:
        DamagedShardError: it would not.
    """
    with _opened_hdf5(path) as file:
        strangers = sorted(set(file) ^ {*_NAMES, *header.arrays})
        if strangers:
            raise DamagedShardError(path, f"its HDF5 part lacks or adds {', '.join(strangers)}")
        for name in _NAMES:
            _own(file, name)
        for name, info in header.arrays.items():
            _dataset(file, name, info)


@contextmanager
def _opened_hdf5(path: Path) -> Iterator[h5py.File]:
    """The HDF5 part of a shard; whatever HDF5 cannot read is damage."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except CacheError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DamagedShardError(path, f"its HDF5 part cannot be read: {error}") from error


def _own(file: h5py.File, name: str) -> h5py.Dataset:
    """A dataset whose values lie in the file itself."""
    path = Path(file.filename)
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise DamagedShardError(path, f"`{name}` is a link to somewhere else")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise DamagedShardError(path, f"the values of `{name}` lie in other files")
    return dataset


def _dataset(file: h5py.File, name: str, info: ArrayInfo) -> h5py.Dataset:
    """An array's dataset, which must be laid out as `shard.py` does it."""
    dataset = _own(file, name)
    same = dataset.shape == info.shape and dataset.dtype == np.dtype(info.dtype)
    if info.offset is not None:
        same &= dataset.chunks is None and dataset.id.get_offset() == info.offset
    else:
        plist = dataset.id.get_create_plist()
        filters = {plist.get_filter(number)[0] for number in range(plist.get_nfilters())}
        same &= dataset.chunks == chunk_shape(info) and filters <= {
            h5py.h5z.FILTER_DEFLATE,
            h5py.h5z.FILTER_SHUFFLE,
        }
        # Chunks that were never written would be served as zeros.
        same = same and dataset.id.get_num_chunks() == math.ceil(info.shape[0] / dataset.chunks[0])
    if not same:
        path = Path(file.filename)
        raise DamagedShardError(path, f"`{name}` is another dataset in HDF5 than in the header")
    return dataset


def chunk_shape(info: ArrayInfo) -> tuple[int, ...]:
    """The chunks in which an array of a compressed shard is stored."""
    row = max(1, info.nbytes // info.shape[0])
    return min(info.shape[0], max(1, _CHUNK_BYTES // row)), *info.shape[1:]
