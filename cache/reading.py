"""Reads shards: mapped at the offsets that the header names, so that rows are zero-copy views.

Arrays of compressed shards have no offset; their rows are decompressed by HDF5 when asked for.
"""

from __future__ import annotations

import hashlib
import mmap
from pathlib import Path

import h5py
import numpy as np

from ..errors import CacheError, DamagedShardError
from .durable import digest_file
from .header import Header, pack_user_block, read_header

_BLOCK_BYTES = 64 << 20  # read at once where a whole array is gone through


class ShardReader:
    """The rows of one shard.

    Attributes:
        path: the shard.
        header: what lies in it.
    """

    def __init__(self, path: Path) -> None:
        """Read the header and map the arrays that are not compressed.

        Raises:
            CacheError: the file cannot be opened.
            DamagedShardError: it is not as it was written.
        """
        self.path = path
        self.header: Header = read_header(path)
        self._arrays: dict[str, np.ndarray] = {}
        mapped = {n: info for n, info in self.header.arrays.items() if info.offset is not None}
        if not mapped:
            return
        try:
            with path.open("rb") as handle:
                buffer = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise CacheError(f"cannot map {path}: {error}") from error
        for name, info in mapped.items():
            offset = info.offset or 0
            if offset + info.nbytes > len(buffer):
                raise DamagedShardError(path, f"`{name}` ends beyond the end of the file")
            count = int(np.prod(info.shape))
            flat = np.frombuffer(buffer, info.dtype, count=count, offset=offset)
            self._arrays[name] = flat.reshape(info.shape)

    def rows(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of an array, read-only; a view of the map unless compressed.

        Raises:
            DamagedShardError: compressed rows cannot be decompressed.
        """
        array = self._arrays.get(name)
        if array is not None:
            return array[start:stop]
        try:
            with h5py.File(self.path, "r", locking=False) as file:
                values = file[name][start:stop]
        except (OSError, RuntimeError, KeyError) as error:
            raise DamagedShardError(self.path, f"`{name}` cannot be read: {error}") from error
        values.flags.writeable = False
        return values

    def digest(self, name: str) -> str:
        """SHA-256 (hex) of an array's values.

        Raises:
            DamagedShardError: compressed rows cannot be decompressed.
        """
        info = self.header.arrays[name]
        digest = hashlib.sha256()
        step = max(1, _BLOCK_BYTES * info.shape[0] // max(1, info.nbytes))
        for start in range(0, info.shape[0], step):
            digest.update(self.rows(name, start, start + step).data)
        return digest.hexdigest()


def verify_shard(path: Path) -> Header:
    """Read every byte of a shard and compare with its digests; HDF5 is not parsed.

    Raises:
        DamagedShardError: something differs.
    """
    header = read_header(path)
    block = path.stat().st_size - header.hdf5_bytes
    with path.open("rb") as handle:
        if handle.read(block) != pack_user_block(header, block):
            raise DamagedShardError(path, "bytes between the header and the HDF5 part changed")
    if digest_file(path, start=block) != header.hdf5_sha256:
        reader = ShardReader(path)
        damaged = [
            name
            for name, info in header.arrays.items()
            if info.offset is not None and reader.digest(name) != info.sha256
        ]
        what = f"values of {', '.join(damaged)}" if damaged else "HDF5 metadata"
        if any(info.offset is None for info in header.arrays.values()):
            what = "compressed values or HDF5 metadata"
        raise DamagedShardError(path, f"{what} changed since it was written")
    return header
