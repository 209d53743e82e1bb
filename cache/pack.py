"""Packs many small shards into few large ones.

Safe to kill at any moment: a pack appears complete before the shards that it replaces are removed,
and a shard beside a pack that holds the same item counts. Values and digests stay the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .catalog import Folder, Group, list_folder, shard_folders
from .durable import canonical_json, refusals_named
from .header import Header, Item, read_header
from .index import write_index
from .layout import PACK_PREFIX
from .reading import ShardReader, verify_shard
from .shard import write_shard

DEFAULT_BYTES = 2 << 30
_BLOCK_ROWS = 16_384
_PACK_NAME = re.compile(rf"^{PACK_PREFIX}(\d+)\.h5$")


@dataclass(frozen=True)
class Packed:
    """One pack that was written.

    Attributes:
        path: the pack.
        items: how many items it holds.
        replaced: how many shards it replaced.
        nbytes: its size.
    """

    path: Path
    items: int
    replaced: int
    nbytes: int


@dataclass(frozen=True)
class _Piece:
    """Rows [start, stop) of a shard, to be copied into a pack."""

    path: Path
    header: Header
    item: Item
    start: int


def pack_cache(
    root: Path, *, max_bytes: int = DEFAULT_BYTES, compress: bool = False
) -> Iterator[Packed]:
    """Pack every folder's shards; yields each pack as it is written.

    Packs that are at least half full and wholly in use are left alone. Every shard is verified
    before it is copied. Files that changed meanwhile are kept.

    Args:
        root: the cache folder.
        max_bytes: size that a pack does not exceed unless one item alone does.
        compress: write compressed packs, for archiving.

    Raises:
        CacheError: a shard is damaged (verify names and mends it), or the disk refuses.
    """
    for path, kind in shard_folders(root):
        yield from _pack_folder(root, list_folder(root, path, kind), max_bytes, compress)
    write_index(root)


def _pack_folder(root: Path, folder: Folder, max_bytes: int, compress: bool) -> Iterator[Packed]:
    path = root / folder.path
    group = Group(root, folder)
    live: dict[str, list[str]] = {name: [] for name in folder.shards}
    for item, place in group.items():
        live[place.path.name].append(item)
    sources = [
        name for name in folder.shards if not _settled(path / name, len(live[name]), max_bytes)
    ]
    if len(sources) < 2 and not any(_superseded(path / name, live[name]) for name in sources):
        return
    states = {name: _state(path / name) for name in sources}
    pieces = sorted(
        (piece for name in sources for piece in _pieces(path / name, set(live[name]))),
        key=lambda piece: (canonical_json(piece.header.provenance), piece.item.id),
    )
    remaining = dict.fromkeys(sources, 0)
    for piece in pieces:
        remaining[piece.path.name] += 1
    number = 1 + max((_number(name) for name in folder.shards), default=0)
    for batch in _batches(pieces, max_bytes):
        target = path / f"{PACK_PREFIX}{number:06d}.h5"
        number += 1
        _write_pack(target, batch, compress)
        for piece in batch:
            remaining[piece.path.name] -= 1
        done = [name for name, left in remaining.items() if left == 0]
        replaced = 0
        for name in done:
            del remaining[name]
            with refusals_named(path / name):
                if _state(path / name) == states[name]:
                    (path / name).unlink(missing_ok=True)
                    replaced += 1
        yield Packed(target, len(batch), replaced, target.stat().st_size)


def _number(name: str) -> int:
    match = _PACK_NAME.match(name)
    return int(match[1]) if match else 0


def _settled(path: Path, live: int, max_bytes: int) -> bool:
    """Whether a shard is a pack that need not be rewritten."""
    return (
        _number(path.name) > 0
        and path.stat().st_size >= max_bytes // 2
        and len(read_header(path).items) == live
    )


def _superseded(path: Path, live: list[str]) -> bool:
    return len(read_header(path).items) > len(live)


def _state(path: Path) -> tuple[int, int, int] | None:
    """What changes when a shard is replaced by another of its name."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _pieces(path: Path, live: set[str]) -> Iterator[_Piece]:
    header = verify_shard(path)
    start = 0
    for item in header.items:
        if item.id in live:
            yield _Piece(path, header, item, start)
        start += item.rows


def _batches(pieces: list[_Piece], max_bytes: int) -> Iterator[list[_Piece]]:
    """Consecutive pieces of one provenance that together stay below the size."""
    batch: list[_Piece] = []
    size = 0
    for piece in pieces:
        row = sum(info.nbytes // piece.header.rows for info in piece.header.arrays.values())
        nbytes = row * piece.item.rows
        other = batch and piece.header.provenance != batch[0].header.provenance
        if batch and (other or size + nbytes > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += nbytes
    if batch:
        yield batch


def _write_pack(target: Path, batch: list[_Piece], compress: bool) -> None:
    header = batch[0].header
    arrays = {name: (info.dtype, info.shape[1:]) for name, info in header.arrays.items()}
    with write_shard(
        target,
        kind=header.kind,
        stream=header.stream,
        key=header.key,
        items=[piece.item for piece in batch],
        arrays=arrays,
        provenance=header.provenance,
        compress=compress,
    ) as shard:
        for piece in batch:
            reader = ShardReader(piece.path)
            stop = piece.start + piece.item.rows
            for lower in range(piece.start, stop, _BLOCK_ROWS):
                upper = min(lower + _BLOCK_ROWS, stop)
                shard.append(**{name: reader.rows(name, lower, upper) for name in arrays})
