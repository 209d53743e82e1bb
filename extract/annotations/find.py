"""Which annotation files, and which partition, belong to each item of a data set."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ...cache.labels import composed, item_name, partition_of, read_split_file
from ...cache.tables import OTHER_SUFFIXES, SUFFIXES
from ...errors import ConfigError, LabelError, UnlabelledError, counted
from .match import SIDES, Match, Matcher
from .places import files_beside, table_files
from .reader import Annotation, Part, Reader
from .samples import Key

_LOOKED_AT = 200  # entries beside the videos that are looked at for tables


@dataclass
class Found:
    """What was found.

    Attributes:
        annotations: item -> annotation.
        problems: (path or item, reason) of annotations that cannot be used.
        unused: (path, reason) of files that are no annotations of these videos.
        layout: in words, where the annotations came from.
    """

    annotations: dict[str, Annotation]
    problems: list[tuple[str, str]]
    unused: list[tuple[str, str]]
    layout: str


@dataclass
class _Item:
    parts: list[Part] = field(default_factory=list)
    partitions: dict[str, str] = field(default_factory=dict)  # partition -> who says so


def find_annotations(
    base: Path,
    folder: Path | None,
    split: Path | None,
    videos: Mapping[str, Path],
    reader: Reader,
    *,
    alone: bool = False,
    chosen: bool = False,
) -> Found:
    """Find what annotates the items of videos.

    Args:
        base: the folder of videos.
        folder: the folder of annotations, or one file of them; None for none.
        split: a split file that the user names, before which folders do not count.
        videos: id -> path.
        alone: whether annotations of other videos are expected beside these.
        chosen: whether the user names the folder, so that all of it is looked at.

    Raises:
        ConfigError: no such folder.
        LabelError: the split file is wrong.
    """
    search = _Search(folder, videos, reader)
    if folder is not None:
        search.run(beside=folder == base and not chosen, strangers=not alone)
    own_split = _own_split(base, folder)
    split_file = split or own_split
    named: dict[str, str] = {}
    layout = search.layout
    for file in _split_files(own_split, split):
        read = read_split_file(file)
        named |= {search.matcher.item(name) or name: part for name, part in read.items()}
        layout += f", partitions from {file}"
    if not alone:
        search.name_tables(base, [folder, *_split_files(own_split, split)], split=bool(named))
    annotations = {}
    for item in sorted({*search.items, *named}):
        own = search.items.get(item, _Item())
        annotations[item] = _settle(item, own, folder, search, named.get(item), split_file, split)
    known = {*videos, *(f"{video}_{side}" for video in videos for side in SIDES)}
    strangers = [item for item in named if item not in known]
    if strangers:
        shown = ", ".join(strangers[:3])
        search.unused.append(
            (str(split_file), f"{counted(len(strangers), 'item')} without a video here ({shown})")
        )
    return Found(
        {item: each for item, each in annotations.items() if item in known},
        [] if alone else search.problems,
        [] if alone else search.unused,
        layout,
    )


def _own_split(base: Path, folder: Path | None) -> Path:
    """The first split file beside the videos, in the folder of annotations or beside that."""
    places = [base, *([folder, folder.parent] if folder is not None and folder.is_dir() else [])]
    named = [place / f"split{end}" for place in places for end in (".csv", ".tsv", ".txt")]
    return next((path for path in named if path.exists()), base / "split.csv")


def _split_files(own: Path, split: Path | None) -> list[Path]:
    """The user's split file, or one's own; both where the former is but a list of test items."""
    if split is None:
        return [own] if own.exists() else []
    if split.is_dir():  # train.txt, val.txt ...: names alone
        lists = [path for path in table_files(split) if partition_of(path.stem)]
        if not lists:
            raise ConfigError(f"--split {split}: no file in it is called after a partition")
        return lists
    more = own.exists() and set(read_split_file(split).values()) == {"test"}
    return [own, split] if more else [split]


class _Search:
    """Looks through a folder of annotations."""

    def __init__(self, folder: Path | None, videos: Mapping[str, Path], reader: Reader) -> None:
        self.folder, self.videos, self.reader = folder, videos, reader
        self.matcher = Matcher(videos, reader.reading)
        self.items: dict[str, _Item] = defaultdict(_Item)
        self.problems: list[tuple[str, str]] = []
        self.unused: list[tuple[str, str]] = []
        self.layout = "no annotations found"

    @cached_property
    def prefixed(self) -> bool:
        """Whether all videos are called after their partition, as those of AVEC: `train_1`."""
        pattern = re.compile(r"([A-Za-z]+)_(?:[A-Za-z]{2}_)?\d+")
        found = [pattern.fullmatch(video) for video in self.videos]
        return all(match and partition_of(match[1]) for match in found)

    def run(self, *, beside: bool, strangers: bool) -> None:
        """Match every file.

        Args:
            beside: only those called like the video that they lie beside.
            strangers: also those that are called like no item.
        """
        assert self.folder is not None
        root = self.folder.parent if self.folder.is_file() else self.folder
        files: Iterable[Path] = [self.folder]
        if beside:
            files = files_beside(self.videos.values())
        elif self.folder.is_dir():
            files = table_files(self.folder)
            self._name_others()
        others: list[tuple[Path, Match]] = []
        outside: set[str] = set()
        for path in files:
            relative = path.relative_to(root)
            folders = [composed(part) for part in relative.parts[:-1]]
            if path.stem.lower() == "split" and not folders:
                continue
            match = self.matcher.match(root.name, folders, item_name(path.stem))
            if match.item and (not match.unknown or self.reader.reading.annotators):
                if match.folder and not match.partition:
                    outside.add(str(root / match.folder))
                self._add(match.item, match, Part(path, match.target, match.annotator))
            else:
                others.append((path, match))
        for path, match in others if strangers else ():
            self._divide(path, match)
        if any(each.partitions for each in self.items.values()):
            why = "names no partition (train, validation, test)"
            self.unused += [(name, why) for name in sorted(outside)]
        aff = any(each.partitions for each in self.items.values()) or root.name.lower() in (
            "va_set",
            "va_estimation_challenge",
        )
        if self.items or others:
            self.layout = f"{'Aff-Wild2 ' if aff else ''}annotations in {self.folder}"

    def name_tables(self, base: Path, taken: Sequence[Path | None], *, split: bool) -> None:
        """Name tables beside the videos that could be meant and are not taken."""
        for path in sorted(base.iterdir())[:_LOOKED_AT] if base.is_dir() else ():
            if path in taken or path.suffix.lower() not in SUFFIXES or not path.is_file():
                continue
            with suppress(LabelError):
                if not split and any(self.matcher.item(name) for name in read_split_file(path)):
                    where = base if partition_of(path.stem) else path
                    self.unused.append((str(path), f"partitions? --split {where} takes them"))
                    continue
            with suppress(LabelError):
                if not self.items and any(self._owner(owner) for owner in self.reader.items(path)):
                    self.unused.append((str(path), f"annotations? --labels {path} takes them"))

    def _name_others(self) -> None:
        """Name the files that are called like an item and are no text."""
        assert self.folder is not None
        for path in table_files(self.folder, OTHER_SUFFIXES):
            if self.matcher.item(item_name(path.stem)):
                self.unused.append((str(path), "no table of text; save it as CSV"))

    def _add(self, item: str, match: Match, part: Part) -> None:
        own = self.items[item]
        own.parts.append(part)
        if match.partition:
            own.partitions.setdefault(match.partition, str(part.path))

    def _divide(self, path: Path, match: Match) -> None:
        """A file that is called like no item may name items in its rows."""
        name = str(path)
        alike = self.matcher.ambiguous.get(composed(path.stem).casefold())
        if alike:
            where = f"{self.folder}/{alike[0]}{path.suffix}"
            self.problems.append(
                (name, f"it can be of {' or '.join(alike)}; tell by a folder: {where}")
            )
            return
        try:
            items = self.reader.items(path, match.target)
        except UnlabelledError as error:
            self.unused.append((name, _why(error, path)))
            return
        except LabelError as error:
            why = f"it is called like no video; {_why(error, path)}"
            self.unused.append((name, why))
            return
        owned = {owner: self._owner(owner) for owner in items if owner}
        if any(owned.values()):
            for owner, item in owned.items():
                if item:
                    self._add(item, match, Part(path, match.target, "", owner))
            lacking = [owner for owner, item in owned.items() if not item]
            if lacking:
                shown = ", ".join(lacking[:3])
                self.unused.append(
                    (name, f"rows of {counted(len(lacking), 'other video')} ({shown})")
                )
            return
        if match.item:
            why = (
                f"annotation of {match.item}, but what is `{match.unknown}`? Where it is an "
                "annotator: --annotators mean"
            )
            self.problems.append((name, why))
            return
        self.problems.append((composed(path.stem), f"annotation {path} has no video"))

    def _owner(self, name: str) -> str:
        """The item of rows: called so, or like the end of their path, or its beginning."""
        parts = name.split("/")
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        ends += ["_".join(parts), parts[0]]
        return next((item for item in map(self.matcher.item, ends) if item), "")


def _settle(
    item: str,
    own: _Item,
    folder: Path | None,
    search: _Search,
    named: str | None,
    split_file: Path,
    split: Path | None,
) -> Annotation:
    """The annotation of an item from what was found of it."""
    parts, problem = _alternatives(own.parts, search)
    where = str(folder.resolve()) if parts and folder else ""
    if named is None and len(own.partitions) == 0 and search.prefixed and parts:
        own.partitions[partition_of(item.partition("_")[0]) or ""] = item
    if named is not None and split is None and own.partitions and named not in own.partitions:
        own.partitions[named] = str(split_file)
    partition = named or next(iter(own.partitions), None)
    if len(own.partitions) > 1 and (named is None or split is None):
        said = " and ".join(f"{part} ({who})" for part, who in own.partitions.items())
        problem = f"it is in two partitions, {said}; remove one"
        partition = None
    origin = split_file if named else folder
    return Annotation(
        parts, partition, where, str(origin.resolve()) if partition and origin else "", problem
    )


def _alternatives(parts: list[Part], search: _Search) -> tuple[tuple[Part, ...], str]:
    """The parts that annotate an item together, and why they cannot."""
    if len(parts) < 2:
        return tuple(parts), ""
    readable: dict[Part, set[Key]] = {}
    broken: list[tuple[Part, LabelError]] = []
    for part in parts:
        try:
            readable[part] = search.reader.keys(part)
        except UnlabelledError as error:
            search.unused.append((str(part.path), _why(error, part.path)))
        except LabelError as error:
            if part.target:
                return tuple(parts), str(error)
            broken.append((part, error))
    for part, fault in broken if readable else ():  # a transcript, say
        search.unused.append((str(part.path), _why(fault, part.path)))
    if broken and not readable:
        return tuple(parts), str(broken[0][1])
    if not readable:  # then the first says what is wrong with it
        search.unused = [each for each in search.unused if each[0] != str(parts[0].path)]
        return tuple(parts[:1]), ""
    own = list(readable)
    if search.reader.reading.annotators:
        return tuple(own), ""
    for i, part in enumerate(own):
        for other in own[:i]:
            alike = {target for target, _ in readable[part]} & {t for t, _ in readable[other]}
            if alike:
                return tuple(own), (
                    f"two files annotate {', '.join(sorted(alike))}: {other.path} and {part.path}. "
                    "Remove one; or if they are of two annotators: --annotators mean (or ewe)"
                )
    return tuple(own), ""


def _why(error: LabelError, path: Path) -> str:
    """What an error says, where its file is named already."""
    return str(error).removeprefix(f"{path}: ")


def require_folder(folder: Path) -> None:
    """Check a folder (or file) of annotations that the user names.

    Raises:
        ConfigError: there is none.
    """
    if not folder.exists():
        raise ConfigError(f"--labels {folder}: no such folder or file")
