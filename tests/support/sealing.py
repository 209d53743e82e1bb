"""Changes the header of a shard, or the index, and seals it again: well-formed, and wrong."""

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vapipe.cache.header import PREAMBLE_BYTES
from vapipe.cache.index import FORMAT, INDEX

DEEP = "\0deep\0"  # stands for lists in lists in lists
ODD = (None, True, -1, 0, 1, 2**70, 0.5, float("nan"), float("inf"), "", "x", "\ud800", "../../x",
       [], [[]], {}, {"x": 1}, DEEP)  # fmt: skip


def encode(value: Any) -> bytes:
    """JSON as vapipe writes it, also of what vapipe never writes."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    deep = "[" * 5000 + "]" * 5000
    text = text.replace(json.dumps(DEEP), deep).replace("\ud800", "\\ud800")
    return text.encode()


def read_header_json(path: Path) -> dict:
    """The header of a shard."""
    data = path.read_bytes()
    return json.loads(data[PREAMBLE_BYTES:][: int(data[28:37])])


def reseal_shard(path: Path, header: Any) -> None:
    """Give a shard another header, with the digest that fits it."""
    data = path.read_bytes()
    block = int(data[18:27])
    body = header if isinstance(header, bytes) else encode(header)
    wide = block
    while PREAMBLE_BYTES + len(body) > wide:
        wide *= 2
    digest = hashlib.sha256(body).hexdigest()
    preamble = data[:18] + f"{wide:09d} {len(body):09d} {digest}\n".encode()
    path.write_bytes((preamble + body).ljust(wide, b"\0") + data[block:])


def read_index_json(root: Path) -> list:
    """The folders of an index."""
    return json.loads((root / INDEX).read_bytes().partition(b"\n")[2])


def reseal_index(root: Path, folders: Any) -> None:
    """Write another index, with the digest that fits it."""
    body = encode(folders)
    digest = hashlib.sha256(body).hexdigest()
    (root / INDEX).write_bytes(f"vapipe-index {FORMAT} {digest}\n".encode() + body)


def variants(value: Any) -> Iterator[tuple[str, Any]]:
    """Every way in which one place of a JSON value is odd: what was done, and the whole value."""
    for path in _places(value):
        for odd in ODD:
            done = _changed(value, path, lambda at, key, odd=odd: at.__setitem__(key, odd))
            yield f"{path} = {odd!r}"[:100], done
        yield f"without {path}", _changed(value, path, lambda at, key: at.__delitem__(key))
    for path in [[], *_places(value)]:
        if isinstance(_at(value, path), dict):
            other = copy.deepcopy(value)
            _at(other, path)["unknown"] = 1
            yield f"unknown field in {path}", other


def _places(value: Any, path: tuple = ()) -> Iterator[list]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in pairs if isinstance(value, dict | list) else ():
        yield [*path, key]
        if isinstance(inner, dict | list):
            yield from _places(inner, (*path, key))


def _at(value: Any, path: list) -> Any:
    for key in path:
        value = value[key]
    return value


def _changed(value: Any, path: list, change: Callable[[Any, Any], None]) -> Any:
    other = copy.deepcopy(value)
    change(_at(other, path[:-1]), path[-1])
    return other
