"""Rows of items wherever they lie by now: shards are packed, and so removed, while others read."""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..errors import CacheError, FileGoneError
from .catalog import Catalog, RowRange, item_facts, list_folder
from .reading import ShardReader

KEPT = 4096  # mapped shards held at once; a process may map 65,530 regions
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_TRIES = 5  # as often as a shard may vanish between looking it up and opening it

Find = Callable[[Catalog], RowRange | None]


class RowReader:
    """Reads rows of a cache, of which many other processes read and write.

    Attributes:
        catalog: what lies where, listed again where that was out of date.
    """

    def __init__(
        self, root: Path, catalog: Catalog, give_up: Callable[[], None] = lambda: None
    ) -> None:
        """Open nothing yet; `give_up` is called to let go of rows that were read and kept."""
        self._give_up = give_up
        self.catalog = catalog
        self._root = root
        self._readers: OrderedDict[Path, ShardReader] = OrderedDict()

    def read(self, find: Find, item: str, name: str) -> np.ndarray:
        """An array's rows of an item, read-only.

        Args:
            find: where a catalog says that they lie.
            item: the id under which the shard holds them.

        Raises:
            DamagedShardError: the shard is damaged.
            CacheError: the rows are gone, or others than they were.
        """
        first = place = find(self.catalog)
        for _ in range(_TRIES):
            if first is None or place is None:
                raise CacheError(
                    f"{item}: its rows in {self._root} are gone; `vapipe extract` makes them again"
                )
            if (place.rows, place.facts) != (first.rows, first.facts):
                break
            try:
                return self._read(place, item, name)
            except FileGoneError:
                self._relist(place.path.parent)
                place = find(self.catalog)
        raise CacheError(
            f"{item}: its rows in {self._root} changed while they were read; an extraction is at "
            "work there: start again when it is done"
        )

    def _read(self, place: RowRange, item: str, name: str) -> np.ndarray:
        """The rows; FileGoneError where the shard does not hold them any more."""
        reader = self._readers.get(place.path)
        if reader is None:
            reader = self._readers[place.path] = self._open(place.path)
            if len(self._readers) > KEPT:
                self._readers.popitem(last=False)
        start, stored = reader.items.get(item, (0, None))
        expected = place.rows, place.facts
        if stored is None or (stored.rows, item_facts(reader.header, stored)) != expected:
            raise FileGoneError(f"{place.path} does not hold {item} any more")
        return reader.rows(name, start, start + place.rows)

    def _open(self, path: Path) -> ShardReader:
        """Map a shard; where the system has no more files or regions, those kept are given up."""
        try:
            return ShardReader(path)
        except CacheError as error:
            if getattr(error.__cause__, "errno", None) not in _EXHAUSTED:
                raise
        self._readers.clear()
        self._give_up()
        return ShardReader(path)

    def _relist(self, path: Path) -> None:
        """Look again at what lies in one folder."""
        for each in [each for each in self._readers if each.parent == path]:
            del self._readers[each]
        folders = []
        for folder in self.catalog.folders:
            if self._root / folder.path != path:
                folders.append(folder)
            elif path.is_dir():
                folders.append(list_folder(self._root, path, folder.kind))
        self.catalog = Catalog(self._root, folders)
