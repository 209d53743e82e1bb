"""The parts of an item's annotation, and what reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...cache.tables import read_table
from ...errors import LabelError, ScaleError, counted
from .reading import Reading
from .samples import Key, Samples, take_samples


@dataclass(frozen=True)
class Part:
    """A file, or its rows, that annotates an item.

    Attributes:
        target: what is annotated, where folder or name tell.
        annotator: by whom, likewise.
        owner: which rows, of a file of many items: those of this name; None for all.
    """

    path: Path
    target: str = ""
    annotator: str = ""
    owner: str | None = None


@dataclass(frozen=True)
class Annotation:
    """What annotates an item and which partition it belongs to, as far as known.

    Attributes:
        parts: its files; one for all targets, or several for targets or annotators.
        partition: "train", "validation" or "test".
        folder: the folder of annotations that the files are of, as an absolute path.
        split: the same of what named the partition: a folder of annotations, or a split file.
        problem: why the files cannot be used together; empty where they can.
    """

    parts: tuple[Part, ...] = ()
    partition: str | None = None
    folder: str = ""
    split: str = ""
    problem: str = ""


class Reader:
    """Reads parts of annotations; every file once.

    Attributes:
        reading: what the user says of the files.
        parts: of all items, where they are known; they show the scale before one is read.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.parts: Sequence[Part] = ()
        self._read: dict[tuple[Path, str], dict[str, Samples] | LabelError] = {}

    def items(self, path: Path, target: str = "") -> dict[str, Samples]:
        """What a file says, by the items that it names; "" for a file that names none.

        Raises:
            LabelError: it cannot be read.
        """
        key = path, target
        if key not in self._read:
            try:
                self._read[key] = take_samples(read_table(path), self.reading, target)
            except LabelError as error:
                self._read[key] = error
        found = self._read[key]
        if isinstance(found, LabelError):
            raise found
        return found

    def _doubt_scale(self) -> None:
        """Where most files are on another scale, doubt those, too, that could be on the usual."""
        parts, self.parts = self.parts, ()
        if self.reading.scale:
            return
        fine, strange = [], []
        for part in parts:
            try:
                self.items(part.path, part.target)
            except ScaleError as error:
                strange.append(error)
            except LabelError:
                continue
            else:
                fine.append((part.path, part.target))
        if len(strange) > len(fine):
            for path, target in fine:
                self._read[path, target] = ScaleError(
                    f"{path}: {len(strange)} of {counted(len(strange) + len(fine), 'annotation')} "
                    f"are on another scale than -1 to 1, and so may be this one. {strange[0]}"
                )

    def samples(self, part: Part) -> Samples:
        """What a part says.

        Raises:
            LabelError: it cannot be read, or its rows are of several items.
        """
        if self.parts:
            self._doubt_scale()
        found = self.items(part.path, part.target)
        if part.owner is not None:
            return found[part.owner]
        if len(found) > 1:
            raise LabelError(
                f"{part.path}: its rows are of {counted(len(found), 'item')} "
                f"({', '.join(list(found)[:3])}); call the file after none of them, or leave the "
                "column out: --columns -,..."
            )
        return next(iter(found.values()))

    def keys(self, part: Part) -> set[Key]:
        """Targets and annotators of a part, as far as file, name and folder tell."""
        return {(t, name or part.annotator) for t, name in self.samples(part).values}
