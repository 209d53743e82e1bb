"""Checks of what a shard's header and the index may say: both can come from anywhere.

What passes here can be used without further checks: types, lengths, bounds, the facts that readers
need. Everything else is refused with a reason.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from .durable import canonical_json

PARTITIONS = ("train", "validation", "test")
TARGETS = ("valence", "arousal")  # of labels that name no others
_Allowed = dict[str, dict[str, tuple[tuple[str, ...], int]]]
# What the arrays of each kind may be: NumPy types, and number of dimensions.
ARRAYS: _Allowed = {
    "timeline": {"pts": (("<f8",), 1)},
    "labels": {"labels": (("<f4",), 2)},
    "features": {"features": (("<f2", "<f4"), 2), "valid": (("|u1",), 1)},
}
# What shards of features have besides where faces were followed, both or none.
FACES: _Allowed = {"features": {"box": (("<f4",), 2), "track": (("<u2",), 1)}}
_HEADER = {"kind", "stream", "key", "items", "arrays", "provenance", "hdf5_bytes", "hdf5_sha256"}
_ARRAY = {"dtype", "shape", "offset", "sha256"}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_DEEPEST = 32  # nesting of facts and provenance
_MOST = 1 << 53  # no count of rows or bytes is larger
_DEFLATED_MOST = 1100  # times smaller than its values is no gzip-compressed dataset


class RefusedError(ValueError):
    """What was checked cannot be what vapipe wrote; the text says why."""


def parse_json(text: bytes) -> Any:
    """JSON as `canonical_json` writes it: no other spelling, nesting, or number passes.

    Raises:
        RefusedError: anything else.
    """
    try:
        value = json.loads(text)
        _check_depth([value])
        same = canonical_json(value) == text
    except (ValueError, RecursionError, OverflowError) as error:
        raise RefusedError(f"no JSON that vapipe writes ({error})") from error
    if not same:
        raise RefusedError("JSON in another form than vapipe writes it")
    return value


def _check_depth(value: dict | list, left: int = _DEEPEST) -> None:
    for each in value.values() if isinstance(value, dict) else value:
        if isinstance(each, dict | list):
            if left == 0:
                raise RefusedError(f"nested deeper than {_DEEPEST} levels")
            _check_depth(each, left - 1)


def check_header(raw: Any, block: int) -> None:
    """Check the parsed header of a shard whose user block has that many bytes.

    Raises:
        RefusedError: it cannot be the header of a shard.
    """
    _expect(_named(raw, _HEADER), f"the fields are not {', '.join(sorted(_HEADER))}")
    kind = raw["kind"]
    _expect(isinstance(kind, str) and kind in ARRAYS, f"kind is {kind!r:.80}")
    for name in ("stream", "key"):
        _expect(isinstance(raw[name], str), f"`{name}` is no text")
        _expect(bool(raw[name]) == (kind == "features"), f"`{name}` of {kind} is {raw[name]!r:.80}")
    # A folder is called after half a key: a longer one would pass for that of its neighbours.
    _expect(kind != "features" or _is_sha256(raw["key"]), "key is no SHA-256")
    _expect(_count(raw["hdf5_bytes"]), f"hdf5_bytes is {raw['hdf5_bytes']!r:.80}")
    _expect(_is_sha256(raw["hdf5_sha256"]), "hdf5_sha256 is no SHA-256")
    arrays = raw["arrays"]
    more = isinstance(arrays, dict) and not arrays.keys().isdisjoint(FACES.get(kind, ()))
    allowed = {**ARRAYS[kind], **(FACES[kind] if more else {})}
    rows = _check_items(kind, raw["items"], set(allowed))
    _expect(_named(arrays, set(allowed)), f"the arrays are not those of a {kind} shard")
    for name, types in allowed.items():
        _check_array(name, arrays[name], types, rows, block, block + raw["hdf5_bytes"])
    _expect(not more or arrays["box"]["shape"][1] == 4, "a `box` is not four numbers")
    check_provenance(kind, raw["provenance"])
    if kind == "labels":
        widths = {len(item["facts"].get("targets", TARGETS)) for item in raw["items"]}
        shape = raw["arrays"]["labels"]["shape"]
        _expect(widths == {shape[1]}, f"`labels` is {shape!r:.80} for other targets")


def _check_items(kind: str, items: Any, arrays: set[str]) -> int:
    """The rows of all items."""
    _expect(isinstance(items, list) and bool(items), "`items` is no list of items")
    rows, seen = 0, set()
    for item in items:
        _expect(_named(item, {"id", "rows", "facts"}), "an item is not id, rows and facts")
        name = item["id"]
        _expect(isinstance(name, str) and name not in seen, f"item {name!r:.80} is no new id")
        seen.add(name)
        _expect(_count(item["rows"], 1), f"item {name!r:.80} has {item['rows']!r:.80} rows")
        rows += item["rows"]
        check_facts(kind, item["facts"])
        digests = item["facts"].get("digests")  # of the item's rows, in packs
        hexed = isinstance(digests, dict) and all(_is_sha256(each) for each in digests.values())
        _expect(digests is None or (hexed and set(digests) == arrays), "odd `digests`")
    return rows


def _check_array(
    name: str, info: Any, types: tuple[tuple[str, ...], int], rows: int, block: int, size: int
) -> None:
    _expect(_named(info, _ARRAY), f"`{name}` is not {', '.join(sorted(_ARRAY))}")
    dtype, shape, offset = info["dtype"], info["shape"], info["offset"]
    dtypes, ndim = types
    fits = (
        isinstance(dtype, str)
        and dtype in dtypes
        and isinstance(shape, list)
        and len(shape) == ndim
        and all(_count(length, 1) for length in shape)
        and shape[0] == rows
    )
    _expect(fits, f"`{name}` is {dtype!r:.40} {shape!r:.80} for {rows} rows")
    _expect(_is_sha256(info["sha256"]), f"the digest of `{name}` is no SHA-256")
    nbytes = math.prod(shape) * int(dtype[2:])
    if offset is None:
        _expect(nbytes <= _DEFLATED_MOST * size, f"`{name}` is larger than the file can hold")
        return
    _expect(_count(offset, block), f"`{name}` begins at {offset!r:.80}")
    _expect(offset + nbytes <= size, f"`{name}` ends beyond the end of the file")


def check_provenance(kind: str, provenance: Any) -> None:
    """Check what holds for all items of a shard.

    Raises:
        RefusedError: readers could not use it.
    """
    _expect(isinstance(provenance, dict), "`provenance` is no object")
    if kind == "features":
        _expect(provenance.get("modality") in ("visual", "audio"), "the modality is unknown")
        _expect(isinstance(provenance.get("config"), dict), "`config` is no object")


def check_facts(kind: str, facts: Any) -> None:
    """Check the facts of an item, as a header or the index has them.

    Raises:
        RefusedError: readers could not use them.
    """
    _expect(isinstance(facts, dict), "the facts of an item are no object")
    _check_depth(facts, 8)
    source = facts.get("source")
    _expect(isinstance(source, dict), "the source of an item is no object")
    if kind == "labels":
        partition = facts.get("partition")
        known = partition is None or (isinstance(partition, str) and partition in PARTITIONS)
        _expect(known, f"partition {partition!r:.80} is unknown")
        targets = facts.get("targets", list(TARGETS))
        named = isinstance(targets, list) and all(isinstance(t, str) and t for t in targets)
        _expect(named and 0 < len(set(targets)) == len(targets), "the targets are no names")
        return
    _expect(isinstance(source.get("sha256"), str), "the digest of the source is no text")
    if kind == "timeline":
        fps, subjects = facts.get("fps"), facts.get("subjects")
        _expect(
            isinstance(fps, float | int) and not isinstance(fps, bool) and 0 < fps < math.inf,
            f"fps is {fps!r:.80}",
        )
        named = isinstance(subjects, list) and all(isinstance(each, str) for each in subjects)
        _expect(named and len(set(subjects)) == len(subjects), "`subjects` are no item ids")
        _expect(isinstance(source.get("name"), str), "the source has no name")
        for name in ("bytes", "modified_ns"):
            _expect(type(source.get(name)) is int, f"`{name}` of the source is no number")
        sides = facts.get("sides", {})
        sided = isinstance(sides, dict) and all(isinstance(each, str) for each in sides.values())
        _expect(sided, "`sides` are no texts by item")
        _check_media(facts.get("media", {}))


def check_listing(folder: Any, names: set[str]) -> None:
    """Check one folder of an index, which is to have fields of these names.

    Raises:
        RefusedError: it cannot be the listing of a folder.
    """
    _expect(_named(folder, names), "the fields of a folder are others")
    kind = folder["kind"]
    _expect(isinstance(kind, str) and kind in ARRAYS, f"kind is {kind!r:.80}")
    for name in ("path", "stream", "key", "dtype", "files"):
        _expect(isinstance(folder[name], str), f"`{name}` is no text")
    features = kind == "features" and bool(folder["shards"])
    dtypes = ARRAYS["features"]["features"][0] if features else ("",)
    _expect(folder["dtype"] in dtypes, f"dtype is {folder['dtype']!r:.80}")
    _expect(_count(folder["dim"], int(features)), f"dim is {folder['dim']!r:.80}")
    _expect(type(folder["modified_ns"]) is int, "`modified_ns` is no number")
    if features:
        check_provenance(kind, folder["provenance"])
        _check_depth(folder["provenance"])
    damaged, shards = folder["damaged"], folder["shards"]
    _expect(isinstance(damaged, dict) and isinstance(shards, list), "the shards are no list")
    plain = [name for name in (*damaged, *shards) if isinstance(name, str) and "/" not in name]
    _expect(len(plain) == len(damaged) + len(shards), "a shard's name is none")
    _expect(all(isinstance(reason, str) for reason in damaged.values()), "a reason is no text")
    columns = [folder[name] for name in ("ids", "shard", "start", "rows", "facts")]
    _expect(all(isinstance(column, list) for column in columns), "a column is no list")
    _expect(len({len(column) for column in columns}) == 1, "columns of different lengths")
    ids, shard, start, rows, facts = columns
    _expect(all(type(each) is str for each in ids), "an id is no text")
    for column, most in ((shard, len(shards)), (start, _MOST), (rows, _MOST)):
        whole = all(type(each) is int for each in column)
        _expect(whole and (not column or 0 <= min(column) <= max(column) < most), "odd numbers")
    if kind == "features":
        _expect(all(type(each) is str for each in facts), "the digest of a source is no text")
    else:
        for each in facts:
            check_facts(kind, each)


def _check_media(media: Any) -> None:
    """Facts for people; those that code looks at must be what it expects."""
    _expect(isinstance(media, dict), "`media` is no object")
    _expect(isinstance(media.get("default", {}), dict), "`default` of the media is no object")
    for name in ("video", "audio", "default"):
        _expect(isinstance(media.get(name, {}), dict | None), f"`{name}` of the media is odd")
    _expect(media.get("default", {}) is not None, "`default` of the media is no object")
    rate = (media.get("video") or {}).get("nominal_fps")
    _expect(rate is None or type(rate) in (int, float), "the nominal rate is no number")
    damage = media.get("damage", [])
    listed = isinstance(damage, list) and all(isinstance(each, str) for each in damage)
    _expect(listed, "`damage` of the media is no list of texts")


def _expect(fulfilled: bool, reason: str) -> None:
    if not fulfilled:
        raise RefusedError(reason)


def _named(value: Any, names: set[str]) -> bool:
    """Whether a value is an object with just these names."""
    return isinstance(value, dict) and set(value) == names


def _count(value: Any, least: int = 0) -> bool:
    return type(value) is int and least <= value < _MOST


def _is_sha256(value: Any) -> bool:
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None
