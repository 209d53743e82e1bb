"""Writes shards: immutable HDF5 files that hold the rows of one or many items of one kind.

Rows are written in order under a temporary name, checked, then renamed (`durable.py`). `reading.py`
reads shards.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from ..errors import CacheError, PrecisionError, WriteVerificationError
from .durable import atomic_file, canonical_json, digest_file, wrap_io_errors
from .header import ArrayInfo, Header, Item, pack_user_block, user_block_size
from .reading import ShardReader, check_hdf5, chunk_shape
from .sparse import SparseFile, uninterrupted

_NO_DIGEST = "0" * 64
_ALIGNMENT = 64  # bytes; one cache line, so that mapped rows start aligned
ArraySpec = tuple[str, tuple[int, ...]]  # NumPy dtype, shape of one row
Store = Callable[[str, int, np.ndarray], None]  # array, first row, values


class ShardWriter:
    """Receives the rows of a shard in order; made by `write_shard`."""

    def __init__(self, store: Store, target: Path, header: Header) -> None:
        self._store = store
        self._target = target
        self._header = header
        self._digests = {name: hashlib.sha256() for name in header.arrays}
        self.rows = 0

    def append(self, **blocks: np.ndarray) -> None:
        """Write the next n rows of every array; block shapes [n, ...], any numeric type.

        Raises:
            PrecisionError: values that the stored precision cannot hold.
            CacheError: arrays missing or of unequal length, more rows than announced, or the disk
                refuses.
        """
        lengths = {name: len(block) for name, block in blocks.items()}
        if set(blocks) != set(self._header.arrays) or len(set(lengths.values())) != 1:
            raise CacheError(
                f"{self._label}: append needs equally many rows of "
                f"{', '.join(sorted(self._header.arrays))}; got {lengths}"
            )
        stop = self.rows + next(iter(lengths.values()))
        if stop > self._header.rows:
            raise CacheError(f"{self._label}: row {stop} of {self._header.rows} announced rows")
        for name, block in blocks.items():
            info = self._header.arrays[name]
            values = self._fit(name, np.asarray(block), np.dtype(info.dtype))
            with wrap_io_errors(self._target):
                self._store(name, self.rows, values)
            self._digests[name].update(values.data)
        self.rows = stop

    @property
    def _label(self) -> str:
        return f"{self._header.items[0].id}: {self._header.stream or self._header.kind}"

    def _fit(self, name: str, block: np.ndarray, dtype: np.dtype) -> np.ndarray:
        """Convert to the stored type, refusing features that would become inf or are NaN."""
        row_shape = self._header.arrays[name].shape[1:]
        if block.shape[1:] != row_shape:
            raise CacheError(
                f"{self._label}: rows of `{name}` have shape {list(block.shape[1:])}, "
                f"announced was {list(row_shape)}"
            )
        with np.errstate(over="ignore"):
            values = np.ascontiguousarray(block, dtype=dtype)
        if name == "features" and not np.isfinite(values).all():
            row, column = (int(i[0]) for i in np.nonzero(~np.isfinite(values)))
            raise PrecisionError(
                f"{self._label}: feature {column} of row {self.rows + row} is "
                f"{float(block[row, column])}, which {dtype} cannot hold. "
                "Extract this stream with --dtype float32, or mend the encoder"
            )
        return values

    def digests(self) -> dict[str, str]:
        """SHA-256 of each array once every announced row is there.

        Raises:
            CacheError: rows are missing.
        """
        if self.rows != self._header.rows:
            raise CacheError(
                f"{self._label}: only {self.rows} of {self._header.rows} rows were written"
            )
        return {name: digest.hexdigest() for name, digest in self._digests.items()}


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
    compress: bool = False,
) -> Iterator[ShardWriter]:
    """Write a shard at `target`; it appears there complete and checked, or not at all.

    Args:
        target: final path; replaced when it exists.
        kind: "timeline", "labels" or "features".
        items: the items in row order; their rows add up to N >= 1.
        arrays: name -> (dtype, shape of one row).
        provenance: JSON-able facts that hold for the whole shard.
        compress: store the arrays in gzip-compressed chunks, for archiving: smaller, not mapped.

    Raises:
        CacheError: the rows do not fit what was announced, or the disk refuses.
        WriteVerificationError: something else changed the file before it was complete.
    """
    rows = sum(item.rows for item in items)
    plan = Header(
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
    block = user_block_size(plan)
    with atomic_file(target) as partial:
        with wrap_io_errors(target):
            header = _lay_out(partial, plan, block, compress)
            structure = None if compress else _structure(partial, header, block)
        with _opened(partial, target, header, compress) as store:
            writer = ShardWriter(store, target, header)
            yield writer
            digests = writer.digests()
        with wrap_io_errors(target):
            if structure is not None and _structure(partial, header, block) != structure:
                raise WriteVerificationError(target, "HDF5 metadata")
            _seal(partial, header, block, digests)
        _check(partial, target, digests)


@contextmanager
def _opened(path: Path, target: Path, header: Header, compress: bool) -> Iterator[Store]:
    """Yield what puts values into their place."""
    if compress:
        with wrap_io_errors(target):
            file = h5py.File(path, "r+", locking=False)
        try:

            def put(name: str, row: int, values: np.ndarray) -> None:
                file[name][row : row + len(values)] = values

            yield put
        finally:
            with wrap_io_errors(target):
                file.close()
        return
    with path.open("r+b", buffering=0) as handle:

        def write(name: str, row: int, values: np.ndarray) -> None:
            info = header.arrays[name]
            offset = (info.offset or 0) + row * (info.nbytes // header.rows)
            _write_at(handle, offset, values.data)

        yield write


def _lay_out(path: Path, header: Header, block: int, compress: bool) -> Header:
    """Write the HDF5 structure, every array allocated but not filled; the header with offsets.

    Unless compressed, HDF5 writes metadata only: the values go to their places with plain writes,
    so that a full disk is an ordinary error and memory does not grow with the shard.
    """
    layout = SparseFile()
    options = {"userblock_size": block, "alignment_threshold": 1}
    with uninterrupted(), h5py.File(layout, "w", alignment_interval=_ALIGNMENT, **options) as file:
        file.attrs["format"] = "vapipe-shard"
        file.attrs["version"] = header.version
        for name in ("kind", "stream", "key"):
            file.attrs[name] = getattr(header, name)
        text = h5py.string_dtype()
        file.create_dataset("videos", data=[item.id for item in header.items], dtype=text)
        bounds = np.cumsum([0, *(item.rows for item in header.items)], dtype=np.int64)
        file.create_dataset("offsets", data=bounds)
        facts = {
            "provenance": header.provenance,
            "items": [dict(item.facts) for item in header.items],
        }
        file.create_dataset("facts", data=canonical_json(facts).decode(), dtype=text)
        place = _chunk if compress else _allocate
        arrays = {
            name: replace(info, offset=place(file, name, info))
            for name, info in header.arrays.items()
        }
    with path.open("r+b", buffering=0) as handle:
        handle.truncate(layout.size)
        for offset, content in layout.parts:
            _write_at(handle, offset, memoryview(content))
    return replace(header, arrays=arrays)


def _allocate(file: h5py.File, name: str, info: ArrayInfo) -> int:
    """Reserve a contiguous dataset without writing its values; its offset in the file."""
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.CONTIGUOUS)
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)  # the same values give the same bytes
    kind = h5py.h5t.py_create(np.dtype(info.dtype), logical=True)
    space = h5py.h5s.create_simple(info.shape)
    return h5py.h5d.create(file.id, name.encode(), kind, space, dcpl=layout).get_offset()


def _chunk(file: h5py.File, name: str, info: ArrayInfo) -> None:
    """Make a compressed dataset; it has no offset."""
    options = {"chunks": chunk_shape(info), "compression": "gzip", "shuffle": True}
    file.create_dataset(name, info.shape, info.dtype, **options)


def _structure(path: Path, header: Header, block: int) -> str:
    """SHA-256 of what HDF5 wrote around the arrays, which stays as the values come."""
    digest = hashlib.sha256()
    arrays = sorted((info.offset or 0, info.nbytes) for info in header.arrays.values())
    with path.open("rb") as handle:
        start = block
        for offset, size in [*arrays, (path.stat().st_size, 0)]:
            handle.seek(start)
            digest.update(handle.read(offset - start))
            start = offset + size
    return digest.hexdigest()


def _seal(path: Path, header: Header, block: int, digests: Mapping[str, str]) -> None:
    """Put the finished header in front."""
    sealed = replace(
        header,
        arrays={name: replace(info, sha256=digests[name]) for name, info in header.arrays.items()},
        hdf5_bytes=path.stat().st_size - block,
        hdf5_sha256=digest_file(path, start=block),
    )
    with path.open("r+b", buffering=0) as handle:
        _write_at(handle, 0, memoryview(pack_user_block(sealed, block)))


def _write_at(handle: BinaryIO, offset: int, data: memoryview) -> None:
    """Write all bytes at an offset, however many the system takes at a time."""
    left = data.cast("B")
    while left:
        written = os.pwrite(handle.fileno(), left, offset)
        left, offset = left[written:], offset + written


def _check(path: Path, target: Path, digests: Mapping[str, str]) -> None:
    """Reopen what was written, as a shard and as HDF5, and compare with what was meant."""
    reader = ShardReader(path)
    for name, digest in digests.items():
        if reader.digest(name) != digest:
            raise WriteVerificationError(target, f"`{name}`")
    with wrap_io_errors(target):
        check_hdf5(path, reader.header)
