"""Shards: immutable HDF5 files that hold the rows of one or many items of one kind.

Written row by row under a temporary name, checked, then renamed (`durable.py`); read by mapping the
file at the offsets that the header names, so that a window of rows is a zero-copy view.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .durable import atomic_file, canonical_json, digest_file
from .errors import CacheError
from .header import (
    VERSION,
    ArrayInfo,
    DamagedShardError,
    Header,
    Item,
    pack_user_block,
    read_header,
    user_block_size,
)

_NO_DIGEST = "0" * 64
_ALIGNMENT = 64  # bytes; one cache line, so that mapped rows start aligned
ArraySpec = tuple[str, tuple[int, ...]]  # NumPy dtype, shape of one row


class ShardWriter:
    """Receives the rows of a shard in order; made by `write_shard`."""

    def __init__(self, file: h5py.File, header: Header, name: str) -> None:
        self._datasets = {key: file[key] for key in header.arrays}
        self._digests = {key: hashlib.sha256() for key in header.arrays}
        self._name = name
        self._total = header.rows
        self.rows = 0

    def append(self, **blocks: np.ndarray) -> None:
        """Write the next n rows of every array; block shapes [n, ...], any float precision.

        Raises:
            CacheError: arrays missing or of unequal length, more rows than announced, or values
                that the stored precision cannot hold.
        """
        lengths = {key: len(block) for key, block in blocks.items()}
        if set(blocks) != set(self._datasets) or len(set(lengths.values())) != 1:
            raise CacheError(
                f"{self._name}: append needs equally many rows of {sorted(self._datasets)}, "
                f"got {lengths}"
            )
        stop = self.rows + next(iter(lengths.values()))
        if stop > self._total:
            raise CacheError(f"{self._name}: row {stop} of {self._total} announced rows")
        for key, block in blocks.items():
            dataset = self._datasets[key]
            values = self._fit(key, np.asarray(block), dataset.dtype)
            dataset[self.rows : stop] = values
            self._digests[key].update(values.data)
        self.rows = stop

    def _fit(self, key: str, block: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Convert to the stored type, refusing features that would become inf or are NaN."""
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(block, dtype=dtype)
        if key == "features" and not np.isfinite(values).all():
            row, column = (int(i[0]) for i in np.nonzero(~np.isfinite(values)))
            raise CacheError(
                f"{self._name}: feature {column} of row {self.rows + row} is "
                f"{float(block[row, column])}, which {dtype} cannot hold. "
                "Extract this stream with --dtype float32, or mend the encoder"
            )
        return values

    def digests(self) -> dict[str, str]:
        """SHA-256 of each array once every announced row is there.

        Raises:
            CacheError: rows are missing.
        """
        if self.rows != self._total:
            raise CacheError(f"{self._name}: only {self.rows} of {self._total} rows were written")
        return {key: digest.hexdigest() for key, digest in self._digests.items()}


@contextmanager
def write_shard(
    target: Path,
    *,
    kind: str,
    items: Sequence[Item],
    arrays: Mapping[str, ArraySpec],
    stream: str = "",
    key: str = "",
    provenance: Mapping[str, Any] | None = None,
) -> Iterator[ShardWriter]:
    """Write a shard at `target`; it appears there complete and checked, or not at all.

    Args:
        target: final path; replaced when it exists.
        kind: "timeline", "labels" or "features".
        items: the items in row order; their rows add up to N.
        arrays: name -> (dtype, shape of one row).
        stream: stream name, for features.
        key: stream key, for features.
        provenance: JSON-able facts that hold for the whole shard.

    Raises:
        CacheError: the rows do not fit what was announced, or the disk refuses.
    """
    rows = sum(item.rows for item in items)
    header = Header(
        kind=kind,
        stream=stream,
        key=key,
        items=tuple(items),
        arrays={
            name: ArrayInfo(np.dtype(dtype).str, (rows, *row_shape), 0, _NO_DIGEST)
            for name, (dtype, row_shape) in arrays.items()
        },
        provenance=dict(provenance or {}),
        hdf5_bytes=0,
        hdf5_sha256=_NO_DIGEST,
    )
    block = user_block_size(header)
    with atomic_file(target) as partial:
        with _create(partial, header, block) as file:
            writer = ShardWriter(file, header, stream or kind)
            yield writer
            digests = writer.digests()
            for name, digest in digests.items():
                file[name].attrs["sha256"] = digest
        _seal(partial, header, block, digests)


def _create(path: Path, header: Header, block: int) -> h5py.File:
    """Lay out the HDF5 part so that it can be read without the header."""
    file = h5py.File(
        path, "w", userblock_size=block, alignment_threshold=1, alignment_interval=_ALIGNMENT
    )
    file.attrs["format"] = "vapipe-shard"
    file.attrs["version"] = VERSION
    for name in ("kind", "stream", "key"):
        file.attrs[name] = getattr(header, name)
    text = h5py.string_dtype()
    file.create_dataset("videos", data=[item.id for item in header.items], dtype=text)
    bounds = np.cumsum([0, *(item.rows for item in header.items)], dtype=np.int64)
    file.create_dataset("offsets", data=bounds)
    facts = {"provenance": header.provenance, "items": [dict(item.facts) for item in header.items]}
    file.create_dataset("facts", data=canonical_json(facts).decode(), dtype=text)
    for name, info in header.arrays.items():
        file.create_dataset(name, info.shape, info.dtype)
    return file


def _seal(path: Path, header: Header, block: int, digests: Mapping[str, str]) -> None:
    """Reopen what was written, check it, and put the finished header in front."""
    with h5py.File(path, "r") as file:
        offsets = {
            name: file[name].id.get_offset() if file[name].size else 0 for name in header.arrays
        }
    sealed = Header(
        **{
            **vars(header),
            "arrays": {
                name: ArrayInfo(info.dtype, info.shape, offsets[name], digests[name])
                for name, info in header.arrays.items()
            },
            "hdf5_bytes": path.stat().st_size - block,
            "hdf5_sha256": digest_file(path, start=block),
        }
    )
    with path.open("r+b") as handle:
        handle.write(pack_user_block(sealed, block))
    for name, array in map_arrays(path, sealed).items():
        if hashlib.sha256(array.data).hexdigest() != digests[name]:
            raise CacheError(
                f"{path.name}: `{name}` reads back differently from what was written; "
                "the disk or its file system is faulty"
            )


def map_arrays(path: Path, header: Header) -> dict[str, np.ndarray]:
    """Map a shard's arrays; read-only views that share the page cache between processes.

    Raises:
        CacheError: the file cannot be opened.
        DamagedShardError: an array would lie outside the file.
    """
    try:
        with path.open("rb") as handle:
            buffer = mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise CacheError(f"cannot map {path}: {error}") from error
    arrays = {}
    for name, info in header.arrays.items():
        offset = info.offset or 0
        if offset + info.nbytes > len(buffer):
            raise DamagedShardError(path, f"`{name}` ends beyond the end of the file")
        count = int(np.prod(info.shape))
        flat = np.frombuffer(buffer, info.dtype, count=count, offset=offset)
        arrays[name] = flat.reshape(info.shape)
    return arrays


def verify_shard(path: Path) -> Header:
    """Read every byte of a shard and compare with its digests; HDF5 is not parsed.

    Raises:
        DamagedShardError: something differs.
    """
    header = read_header(path)
    block = path.stat().st_size - header.hdf5_bytes
    if digest_file(path, start=block) != header.hdf5_sha256:
        damaged = [
            name
            for name, array in map_arrays(path, header).items()
            if hashlib.sha256(array.data).hexdigest() != header.arrays[name].sha256
        ]
        what = f"values of {', '.join(damaged)}" if damaged else "HDF5 metadata"
        raise DamagedShardError(path, f"{what} changed since it was written")
    return header
