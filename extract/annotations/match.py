"""Whose a file is: one rule from its name and folders to item, target, annotator and partition."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...cache.labels import partition_of
from .names import target_of
from .reading import Reading

SIDES = ("left", "right")
_NEUTRAL = frozenset((
    "label", "labels", "annotation", "annotations", "annotated", "annot", "va", "set", "gold",
    "standard", "goldstandard", "gs", "rating", "ratings", "continuous", "segments", "data",
    "affect", "emotion", "emotions", "estimation", "challenge", "frames",
))  # fmt: skip


@dataclass(frozen=True)
class Match:
    """What a file's name and folders say.

    Attributes:
        item: id of the item, "" where they name none.
        target: what is annotated, "" where they do not say.
        annotator: by whom, "" likewise.
        partition: None likewise.
        unknown: words of its name that say nothing; only with --annotators they are an annotator.
        folder: a folder of its path that says nothing.
    """

    item: str
    target: str = ""
    annotator: str = ""
    partition: str | None = None
    unknown: str = ""
    folder: str = ""


class Matcher:
    """Matches files to the items of known videos.

    A file is of the item that it is called (`<item>.csv`, `<folder>/<item>.csv` where ids are
    paths), in whatever case; or else of that whose id begins or ends its name, before or after a
    sign; or that is one of its folders. `_left` and `_right` behind a video's id are its subjects.
    Other words of the name, and folders, say target, partition, or else the annotator.
    """

    def __init__(self, videos: Collection[str], reading: Reading) -> None:
        self._reading = reading
        self._ids = {video: video for video in videos}
        for side in SIDES:
            for video in videos:
                self._ids.setdefault(f"{video}_{side}", f"{video}_{side}")
        folded: dict[str, set[str]] = {}
        for item in self._ids:
            folded.setdefault(item.casefold(), set()).add(item)
        self._folded = {name: next(iter(own)) for name, own in folded.items() if len(own) == 1}
        last: dict[str, set[str]] = {}  # of ids that are paths, the file's own name
        for item in self._ids:
            if "/" in item:
                last.setdefault(item.rpartition("/")[2].casefold(), set()).add(item)
        self.ambiguous = {name: sorted(own) for name, own in last.items() if len(own) > 1}
        for name, own in last.items():
            if len(own) == 1:
                self._folded.setdefault(name, next(iter(own)))
        self._longest = sorted(self._folded, key=len, reverse=True)

    def item(self, name: str) -> str:
        """The item that is called so, in whatever case; "" for none."""
        return self._ids.get(name) or self._folded.get(name.casefold(), "")

    def match(self, root: str, folders: Sequence[str], stem: str) -> Match:
        """Match `root/folders.../stem.csv`; the root's own name may tell target and partition."""
        item, words, rest = self._find([*folders, stem])
        target, partition, annotators, unnamed = "", None, [], ""
        for folder in [root, *rest]:
            named_target, named_partition = self._target(folder), partition_of(folder)
            target, partition = named_target or target, named_partition or partition
            said = named_target or named_partition or _words(folder) <= _NEUTRAL
            if folder != root and not said and not _is_batch(folder):
                unnamed = folder
        for word in words:
            if target_of(word, self._reading):
                target = target_of(word, self._reading) or ""
            elif partition_of(word):
                partition = partition or partition_of(word)
            elif word.casefold() not in _NEUTRAL:
                annotators.append(word)
        by_name = "_".join(annotators)
        return Match(item, target, by_name or unnamed, partition, by_name, unnamed)

    def _find(self, parts: Sequence[str]) -> tuple[str, list[str], list[str]]:
        """The item, what else the name says in words, and the folders that are not its id."""
        for start in range(len(parts)):
            item = self.item("/".join(parts[start:]))
            if item:
                return item, [], list(parts[:start])
        *folders, stem = parts
        name = stem.casefold()
        for known in self._longest:
            if known in name:
                at = re.search(rf"(?<![^\W_]){re.escape(known)}(?![^\W_])", name)
                if at and (at.start() == 0 or at.end() == len(name)):
                    rest = f"{stem[: at.start()]} {stem[at.end() :]}"
                    return self._folded[known], _split(rest), folders
        for place in reversed(range(len(folders))):
            item = self.item(folders[place])
            if item:
                return item, _split(stem), [*folders[:place], *folders[place + 1 :]]
        return "", _split(stem), folders

    def _target(self, folder: str) -> str:
        """The target that a folder names, alone or among other words."""
        found = [target_of(word, self._reading) for word in _split(folder)]
        named = [target for target in found if target]
        return named[0] if len(named) == 1 else ""


def _split(text: str) -> list[str]:
    return [word for word in re.split(r"[\s_.\-]+", text) if word]


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _split(text)}


def _is_batch(folder: str) -> bool:
    return re.fullmatch(r"batch[\s_-]*\d+", folder, re.I) is not None
