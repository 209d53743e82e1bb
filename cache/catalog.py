"""What lies in a cache, known from its headers alone: never the truth, always rebuildable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .errors import CacheError
from .header import Header, read_header
from .layout import shard_files


class Place(NamedTuple):
    """Rows [start, stop) of a shard, and the facts stored with them."""

    path: Path
    start: int
    stop: int
    facts: Mapping[str, Any]


@dataclass
class Catalog:
    """The places of every item, by kind.

    Attributes:
        timelines: video id -> place.
        labels: item id -> place.
        features: (stream, key) -> item or video id -> place.
        headers: shard path -> header.
        damaged: shard path -> why it cannot be used.
    """

    timelines: dict[str, Place] = field(default_factory=dict)
    labels: dict[str, Place] = field(default_factory=dict)
    features: dict[tuple[str, str], dict[str, Place]] = field(default_factory=dict)
    headers: dict[Path, Header] = field(default_factory=dict)
    damaged: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path, header: Header) -> None:
        """Enter a shard's items."""
        self.headers[path] = header
        if header.kind == "timeline":
            target = self.timelines
        elif header.kind == "labels":
            target = self.labels
        else:
            target = self.features.setdefault((header.stream, header.key), {})
        start = 0
        for item in header.items:
            target[item.id] = Place(path, start, start + item.rows, item.facts)
            start += item.rows

    def subjects(self) -> Iterator[tuple[str, str]]:
        """Every (item id, video id)."""
        for video, place in self.timelines.items():
            for item in place.facts["subjects"]:
                yield item, video


def scan(root: Path) -> Catalog:
    """Read the header of every shard below `root`; damaged ones are listed, the rest is usable."""
    catalog = Catalog()
    for path in shard_files(root):
        try:
            catalog.add(path, read_header(path))
        except CacheError as error:
            catalog.damaged[path] = getattr(error, "reason", str(error))
    return catalog
