"""Takes the annotations of extracted videos into the cache; labels there follow the folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cache.catalog import Catalog, RowRange
from ..cache.durable import digest_file
from ..cache.labels import check_regular, fit_labels, read_label_file
from ..cache.layout import write_labels
from ..errors import LabelError
from .dataset import Annotation, Dataset, Video
from .task import Outcome


def take_labels(
    outcome: Outcome, video: Video, dataset: Dataset, cache: Path, catalog: Catalog
) -> Outcome:
    """Store the annotations of a video's subjects where they are new, changed or gone."""
    if not outcome.rows:
        return outcome
    notes, problems = list(outcome.notes), list(outcome.problems)
    for subject in video.subjects:
        annotation = dataset.annotations.get(subject.id, Annotation())
        stored = catalog.labels.get(subject.id)
        if stored and _elsewhere(_lost(stored.facts, annotation), dataset):
            continue
        try:
            note = _store_labels(cache, subject.id, annotation, outcome.rows, stored)
        except LabelError as error:
            problems.append(str(error))
        else:
            notes += [note] if note else []
    return replace(outcome, notes=tuple(notes), problems=tuple(problems))


def _store_labels(
    cache: Path, item: str, annotation: Annotation, rows: int, stored: RowRange | None
) -> str | None:
    """Write an item's labels unless they are there already; what the user should know of it."""
    if annotation == Annotation() and stored is None:
        return None
    source = {"split": annotation.split}
    if annotation.file is not None:
        source |= {
            "name": annotation.file.name,
            "sha256": _digest(annotation.file),
            "folder": annotation.folder,
        }
    wanted = {"partition": annotation.partition, "source": source}
    if stored and stored.facts == wanted and stored.rows == rows:
        return None
    note = None
    if annotation.file is None:
        values = np.full((rows, 2), np.nan, np.float32)
        if stored and stored.facts["source"].get("sha256"):
            note = "its annotation is gone, and so are its labels in the cache"
    else:
        values, note = fit_labels(read_label_file(annotation.file), rows, str(annotation.file))
    write_labels(cache, item, values, partition=annotation.partition, source=source)
    return f"{item}: {note}" if note else None


def _digest(file: Path) -> str:
    check_regular(file)
    try:
        return digest_file(file)
    except OSError as error:
        raise LabelError(f"{file}: cannot read the annotation: {error.strerror}") from error


def _lost(facts: Mapping[str, Any], annotation: Annotation) -> list[str]:
    """Where labels and partition of the cache came from, of those that the data set lacks."""
    source, lost = facts["source"], []
    if source.get("sha256") and annotation.file is None:
        lost.append(source.get("folder", ""))
    if facts["partition"] and annotation.partition is None:
        lost.append(source.get("split", ""))
    return lost


def _elsewhere(lost: list[str], dataset: Dataset) -> str:
    """The first of these places where the data set was not looked for; empty where it was."""
    for origin in lost:
        path = Path(origin)
        if not origin or (path not in dataset.looked_at and dataset.root not in path.parents):
            return origin or "an earlier version of vapipe"
    return ""


@dataclass(frozen=True)
class Disappeared:
    """What a cache holds of a data set that is not there any more.

    Attributes:
        videos: ids of videos without a file; they stay until they are removed by name.
        labels: items whose annotation or partition is gone; the next run removes it.
        kept: item -> where its labels or partition came from, which was not looked at; they stay.
    """

    videos: tuple[str, ...]
    labels: tuple[str, ...]
    kept: dict[str, str]

    def lines(self) -> list[str]:
        """For people; nothing where nothing has disappeared."""
        lines = []
        if self.videos:
            lines.append(
                f"{_some(self.videos)}: in the cache, but without a file; they stay until "
                "`vapipe cache remove` removes them"
            )
        if self.labels:
            lines.append(f"{_some(self.labels)}: annotation or partition gone, also from the cache")
        if self.kept:
            places = ", ".join(sorted(set(self.kept.values())))
            lines.append(
                f"{_some(tuple(self.kept))}: labels or partition kept that came from {places}; "
                "--labels and --split name where to look"
            )
        return lines


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{', '.join(names[:5])}{more}"


def find_disappeared(dataset: Dataset, catalog: Catalog) -> Disappeared:
    """Compare a whole folder of videos with what the cache has of it."""
    videos = {video.id for video in dataset.videos}
    gone, kept = [], {}
    for video in dataset.videos:
        for subject in video.subjects:
            stored = catalog.labels.get(subject.id)
            annotation = dataset.annotations.get(subject.id, Annotation())
            lost = _lost(stored.facts, annotation) if stored else []
            if origin := _elsewhere(lost, dataset):
                kept[subject.id] = origin
            elif lost:
                gone.append(subject.id)
    missing = tuple(sorted(set(catalog.timelines) - videos))
    return Disappeared(missing, tuple(gone), kept)
