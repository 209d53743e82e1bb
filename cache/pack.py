"""Packs many small shards into few large ones.

Safe to kill at any moment: a pack appears complete before the shards that it replaces are removed,
and a shard beside a pack that holds the same item counts. Values and digests stay the same.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import CacheError
from .catalog import Catalog, Folder, Group, list_folder, shard_folders, shard_names
from .durable import canonical_json, safe_name, wrap_io_errors
from .header import Header, Item, read_header
from .index import write_index
from .layout import PACK_PREFIX
from .locks import upkeep
from .reading import ShardReader, verify_shard
from .shard import write_shard

DEFAULT_BYTES = 2 << 30
LOOSE = 64  # shards of one item that a finished extraction leaves in a folder at most
_BLOCK_ROWS = 16_384
_PACK_NAME = re.compile(rf"^{PACK_PREFIX}(\d+)")


@dataclass(frozen=True)
class Packed:
    """One pack that was written.

    Attributes:
        items: how many items it holds.
        replaced: how many shards it replaced.
    """

    path: Path
    items: int
    replaced: int
    nbytes: int


@dataclass(frozen=True)
class Piece:
    """Rows of a shard, from `start` on, to be copied into a pack."""

    path: Path
    header: Header
    item: Item
    start: int


def pack_cache(
    root: Path, *, max_bytes: int = DEFAULT_BYTES, compress: bool = False, loose: int = 0
) -> Iterator[Packed]:
    """Pack every folder's shards; yields each pack as it is written.

    Packs that are at least half full and wholly in use are left alone. Every shard is verified
    before it is copied. Files that changed meanwhile are kept.

    Args:
        max_bytes: size that a pack does not exceed unless one item alone does.
        compress: write compressed packs, for archiving.
        loose: leave folders alone that hold no more shards of one item than this.

    Raises:
        CacheBusyError: another process packs, repairs or removes.
        CacheError: a shard is damaged (verify names and mends it), or the disk refuses.
    """
    with upkeep(root, "vapipe cache pack"):
        for path, kind in shard_folders(root):
            if sum(_number(name) == 0 for name in shard_names(path)) > loose:
                yield from _pack_folder(root, list_folder(root, path, kind), max_bytes, compress)
        write_index(root)


def remove_videos(root: Path, videos: Collection[str]) -> None:
    """Remove videos with their subjects' labels and features; their files stay where they are.

    Raises:
        CacheBusyError: somebody extracts, imports, packs or repairs.
        CacheError: no such video, a damaged shard, or the disk refuses.
    """
    with upkeep(root, "vapipe cache remove", removes=True):
        folders = [list_folder(root, path, kind) for path, kind in shard_folders(root)]
        timelines = Catalog(root, folders).timelines
        strangers = sorted(set(videos) - timelines.keys())
        if strangers:
            raise CacheError(
                f"no video {', '.join(strangers[:5])} in {root}; `vapipe cache status` counts "
                "those that are there, `FeatureStore.sources()` names them"
            )
        items = {each for video in videos for each in timelines[video].facts["subjects"]}
        for folder in reversed(folders):  # timelines last: what is left of a killed run is missing
            gone = frozenset(videos if folder.kind == "timeline" else {*items, *videos})
            for _ in _pack_folder(root, folder, DEFAULT_BYTES, False, gone):
                pass
        write_index(root)


def _pack_folder(
    root: Path, folder: Folder, max_bytes: int, compress: bool, gone: frozenset[str] = frozenset()
) -> Iterator[Packed]:
    """Pack one folder; or, where items are to be gone, rewrite just the shards that hold them."""
    path = root / folder.path
    live: dict[str, list[str]] = {name: [] for name in folder.shards}
    for item, place in Group(root, folder).items():
        if item not in gone:
            live[place.path.name].append(item)
    if gone:
        held = zip(folder.shard, folder.ids, strict=True)
        sources = sorted({folder.shards[number] for number, item in held if item in gone})
        damaged = [f"{safe_name(item)}.h5" for item in gone]
        sources += [name for name in damaged if name in folder.damaged]
    else:
        sources = [
            name for name in folder.shards if not _settled(path / name, len(live[name]), max_bytes)
        ]
        if len(sources) < 2 and not any(_superseded(path / name, live[name]) for name in sources):
            return
    states = {name: _state(path / name) for name in sources}
    pieces = sorted(
        (piece for name in sources if live.get(name) for piece in _pieces(path / name, live[name])),
        key=lambda piece: (*_kind(piece), piece.item.id),
    )
    remaining = dict.fromkeys(sources, 0)
    for piece in pieces:
        remaining[piece.path.name] += 1
    written = {}
    for batch in _batches(pieces, max_bytes):
        target = write_pack(path, batch, compress)
        state = written[target] = _state(target)
        for piece in batch:
            remaining[piece.path.name] -= 1
        replaced = _remove_replaced(path, remaining, states, written)
        yield Packed(target, len(batch), replaced, state[1] if state else 0)
    _remove_replaced(path, remaining, states, written)


_State = tuple[int, int, int] | None


def _remove_replaced(
    path: Path,
    remaining: dict[str, int],
    states: Mapping[str, _State],
    written: Mapping[Path, _State],
) -> int:
    """Remove the shards of which no rows remain to be copied, and forget them; their number."""
    for target, state in written.items():
        if state is None or _state(target) != state:
            raise CacheError(
                f"{target} was changed or removed while others were packed; what it was to replace "
                "stays. Nothing but vapipe should write there: run the command again"
            )
    replaced = 0
    for name in [name for name, left in remaining.items() if left == 0]:
        del remaining[name]
        with wrap_io_errors(path / name):
            if _state(path / name) == states[name]:
                (path / name).unlink(missing_ok=True)
                replaced += 1
    return replaced


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


def _state(path: Path) -> _State:
    """What changes when a shard is replaced by another of its name."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _pieces(path: Path, live: Collection[str]) -> Iterator[Piece]:
    """The rows of a shard that are in use; each knows its own digests from here on."""
    header = verify_shard(path)
    reader = ShardReader(path)
    for name, (start, item) in reader.items.items():
        if name not in live:
            continue
        digests = item.facts.get("digests") or {
            array: reader.digest(array, start, start + item.rows) for array in header.arrays
        }
        facts = {**item.facts, "digests": digests}
        yield Piece(path, header, replace(item, facts=facts), start)


def _kind(piece: Piece) -> tuple[bytes, list[str]]:
    """What is the same for all items of a pack."""
    return canonical_json(piece.header.provenance), sorted(piece.header.arrays)


def _batches(pieces: list[Piece], max_bytes: int) -> Iterator[list[Piece]]:
    """Consecutive pieces of one kind that together stay below the size."""
    batch: list[Piece] = []
    size = 0
    for piece in pieces:
        row = sum(info.nbytes // piece.header.rows for info in piece.header.arrays.values())
        nbytes = row * piece.item.rows
        other = batch and _kind(piece) != _kind(batch[0])
        if batch and (other or size + nbytes > max_bytes):
            yield batch
            batch, size = [], 0
        batch.append(piece)
        size += nbytes
    if batch:
        yield batch


def write_pack(path: Path, pieces: Sequence[Piece], compress: bool = False) -> Path:
    """Copy pieces of one kind into a new pack, which counts before all others of the folder.

    Its name is its own, whoever else packs at the same time.
    """
    number = 1 + max((_number(name) for name in shard_names(path)), default=0)
    target = path / f"{PACK_PREFIX}{number:06d}-{secrets.token_hex(4)}.h5"
    header = pieces[0].header
    arrays = {name: (info.dtype, info.shape[1:]) for name, info in header.arrays.items()}
    with write_shard(
        target,
        kind=header.kind,
        stream=header.stream,
        key=header.key,
        items=[piece.item for piece in pieces],
        arrays=arrays,
        provenance=header.provenance,
        compress=compress,
    ) as shard:
        reader: ShardReader | None = None
        for piece in pieces:
            if reader is None or reader.path != piece.path:
                reader = ShardReader(piece.path)
            stop = piece.start + piece.item.rows
            for lower in range(piece.start, stop, _BLOCK_ROWS):
                upper = min(lower + _BLOCK_ROWS, stop)
                shard.append(**{name: reader.rows(name, lower, upper) for name in arrays})
    return target
