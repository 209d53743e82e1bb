"""Takes the annotations of extracted videos into the cache; labels there follow the folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..cache.catalog import Catalog, RowRange
from ..cache.durable import canonical_json, digest_file
from ..cache.header_checks import TARGETS
from ..cache.layout import timeline_path, write_labels
from ..cache.reading import ShardReader
from ..cache.rows import RowReader
from ..cache.tables import check_regular
from ..cache.timeline import Timeline
from ..errors import LabelError, some
from .annotations.item import count_annotated, media_zero, read_labels
from .annotations.reader import Annotation, Reader
from .annotations.reading import Reading
from .dataset import Dataset, Video
from .task import ItemLabels, Outcome

_READER = 2  # of the rules that labels were read by; others are read again


@dataclass(frozen=True)
class _Intent:
    """What is to be in force for an item.

    Attributes:
        annotation: its files and partition, of the data set or as stored.
        labels_from, partition_from: where those came from that are kept; empty where not kept.
        gone: whether labels or partition that are stored go.
    """

    annotation: Annotation
    labels_from: str = ""
    partition_from: str = ""
    gone: bool = False


def _intend(annotation: Annotation, dataset: Dataset, stored: RowRange | None) -> _Intent:
    """Labels and partition of one place are in force: those of others go where one is read."""
    if stored is None:
        return _Intent(annotation)
    source, partition = stored.facts["source"], stored.facts["partition"]
    lost_labels = bool(source.get("sha256")) and not annotation.parts
    lost_partition = partition is not None and annotation.partition is None
    labels_from = partition_from = ""
    if lost_labels and dataset.labels is None:
        labels_from = _elsewhere(source.get("folder", ""), dataset)
    if lost_partition and not any(each.partition for each in dataset.annotations.values()):
        partition_from = _elsewhere(source.get("split", ""), dataset)
    if partition_from:
        annotation = replace(annotation, partition=partition, split=source.get("split", ""))
    gone = (lost_labels and not labels_from) or (lost_partition and not partition_from)
    return _Intent(annotation, labels_from, partition_from, gone)


def _elsewhere(origin: str, dataset: Dataset) -> str:
    """A place where the data set was not looked for; empty where it was."""
    path = Path(origin)
    if not origin or (path not in dataset.looked_at and dataset.root not in path.parents):
        return origin or "an earlier version of vapipe"
    return ""


def take_labels(
    outcome: Outcome, video: Video, dataset: Dataset, cache: Path, catalog: Catalog
) -> Outcome:
    """Store the annotations of a video's subjects where they are new, changed or gone."""
    if not outcome.rows:
        return outcome
    notes, problems, labels = list(outcome.notes), list(outcome.problems), list(outcome.labels)
    for subject in video.subjects:
        annotation = dataset.annotations.get(subject.id, Annotation())
        taking = _Taking(cache, catalog, dataset.reader, video.id, subject.id)
        intent = _intend(annotation, dataset, taking.stored)
        try:
            own, said = taking.take(intent, again=outcome.status == "extracted")
        except LabelError as error:
            problems.append(str(error))
            own, said = taking.refuse(intent, str(error)), []
        labels.append(own)
        notes += said
    return replace(outcome, notes=tuple(notes), problems=tuple(problems), labels=tuple(labels))


@dataclass(frozen=True)
class _Taking:
    """The labels of one item on their way into the cache."""

    cache: Path
    catalog: Catalog
    reader: Reader
    video: str
    item: str

    @property
    def stored(self) -> RowRange | None:
        """What is there."""
        return self.catalog.labels.get(self.item)

    def take(self, intent: _Intent, *, again: bool) -> tuple[ItemLabels, list[str]]:
        """Store what is intended unless it is there, and say what changed.

        Raises:
            LabelError: the annotation cannot be used.
        """
        annotation, stored = intent.annotation, self.stored
        kept = intent.labels_from or intent.partition_from
        if intent.labels_from and stored is not None:
            old = stored.facts["source"]
            source = {**old, "split": annotation.split}
            if source != old or stored.facts["partition"] != annotation.partition:
                self._write(self._stored_values(stored), annotation, source, _targets(stored))
            facts = _facts(source) or count_annotated(self._stored_values(stored))
            return ItemLabels(self.item, annotation.partition, facts, kept), []
        if not annotation.parts and annotation.partition is None and stored is None:
            return ItemLabels(self.item, None, {}), []
        source = _source(annotation, self.reader)
        timeline, zero = read_times(self.cache, self.catalog, self.video)
        if stored is not None and not again and stored.rows == len(timeline):
            old = stored.facts["source"]
            if _same(source, old) and stored.facts["partition"] == annotation.partition:
                return ItemLabels(self.item, annotation.partition, _facts(old), kept), []
        had = stored is not None and bool(stored.facts["source"].get("sha256"))
        if not annotation.parts:
            values = np.full((len(timeline), 2), np.nan, np.float32)
            self._write(values, annotation, source)
            said = ["its annotation is gone, and so are its labels in the cache"] if had else []
            change: Literal["", "removed"] = "removed" if had else ""
            return ItemLabels(self.item, annotation.partition, {}, kept, change), self._said(said)
        labels = read_labels(annotation, self.reader, timeline, zero)
        source["result"] = labels.facts
        self._write(labels.values, annotation, source, labels.targets)
        own = ItemLabels(self.item, annotation.partition, labels.facts, kept, "taken")
        return own, self._said(labels.notes)

    def refuse(self, intent: _Intent, reason: str) -> ItemLabels:
        """Take the labels out that an annotation had before it was refused."""
        stored, annotation = self.stored, intent.annotation
        had = stored is not None and bool(stored.facts["source"].get("sha256"))
        source = {"split": annotation.split, "refused": reason}
        wanted = {"partition": annotation.partition, "source": source}
        timeline, _ = read_times(self.cache, self.catalog, self.video)
        if stored is None or stored.facts != wanted or stored.rows != len(timeline):
            self._write(np.full((len(timeline), 2), np.nan, np.float32), annotation, source)
        change: Literal["removed", "refused"] = "removed" if had else "refused"
        return ItemLabels(self.item, annotation.partition, {}, intent.partition_from, change)

    def _said(self, notes: tuple[str, ...] | list[str]) -> list[str]:
        return [f"{self.item}: {note}" for note in notes]

    def _write(
        self,
        values: np.ndarray,
        annotation: Annotation,
        source: Mapping[str, Any],
        targets: tuple[str, ...] = TARGETS,
    ) -> None:
        partition = annotation.partition
        write_labels(
            self.cache, self.item, values, partition=partition, source=source, targets=targets
        )

    def _stored_values(self, stored: RowRange) -> np.ndarray:
        rows = RowReader(self.cache, self.catalog)
        return rows.read(lambda catalog: catalog.labels.get(self.item), self.item, "labels")


def _same(source: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """Whether labels would be made of what those that are stored were made of."""
    return {**source, "result": 0} == {**old, "result": 0}


def _targets(stored: RowRange) -> tuple[str, ...]:
    return tuple(stored.facts.get("targets", TARGETS))


def _facts(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """What came of an annotation; of one that an earlier vapipe stored nothing is known."""
    return source.get("result") or {}


def _source(annotation: Annotation, reader: Reader) -> dict[str, Any]:
    """What the labels of an item are made of, as far as it is known before they are read."""
    source: dict[str, Any] = {"split": annotation.split}
    if not annotation.parts:
        return source
    files = [
        {
            "name": part.path.name,
            "sha256": _digest(part.path),
            **{n: v for n, v in (("of", part.target), ("by", part.annotator)) if v},
            **({} if part.owner is None else {"rows": part.owner}),
        }
        for part in annotation.parts
    ]
    return source | {
        "name": files[0]["name"],
        "sha256": hashlib.sha256(canonical_json(files)).hexdigest(),
        "files": files,
        "folder": annotation.folder,
        "reading": reader.reading.to_json(),
        "reader": _READER,
    }


def _digest(file: Path) -> str:
    check_regular(file)
    try:
        facts = file.stat()
        return _digest_of(file, facts.st_size, facts.st_mtime_ns, facts.st_ino)
    except OSError as error:
        raise LabelError(f"{file}: cannot read the annotation: {error.strerror}") from error


@cache
def _digest_of(file: Path, size: int, modified_ns: int, inode: int) -> str:
    return digest_file(file)


def read_times(cache: Path, catalog: Catalog, video: str) -> tuple[Timeline, float]:
    """Times of a video's frames as they are stored by now, and what a player calls 0."""
    path = timeline_path(cache, video)
    if path.exists():  # written by this run, perhaps, and so newer than the catalog
        reader = ShardReader(path)
        facts, pts = reader.header.items[0].facts, reader.rows("pts", 0, reader.header.rows)
    else:
        facts = catalog.timelines[video].facts
        pts = RowReader(cache, catalog).read(lambda c: c.timelines.get(video), video, "pts")
    return Timeline(np.array(pts), facts["fps"]), media_zero(facts.get("media") or {})


def readings_before(catalog: Catalog) -> dict[str, Reading]:
    """Folder of annotations -> how its files were read, as the cache remembers it."""
    found = {}
    for place in catalog.labels.values():
        source = place.facts["source"]
        if source.get("reading") and source.get("folder"):
            found[source["folder"]] = Reading.from_json(source["reading"])
    return found


def foresee_labels(
    item: str, dataset: Dataset, catalog: Catalog, times: tuple[Timeline, float] | None
) -> tuple[ItemLabels, str]:
    """What a run would leave in force of an item's annotation, and why it would be refused.

    Args:
        dataset: what is looked at.
        times: of the video's frames, and what a player calls 0; None where nothing tells.
    """
    stored = catalog.labels.get(item)
    intent = _intend(dataset.annotations.get(item, Annotation()), dataset, stored)
    annotation, facts = intent.annotation, {}
    wanted = annotation, dataset.reader
    if intent.labels_from and stored is not None:
        facts = dict(_facts(stored.facts["source"]))
    elif annotation.parts and times is not None:
        try:
            old = stored.facts["source"] if stored else {}
            if stored and stored.rows == len(times[0]) and _same(_source(*wanted), old):
                facts = dict(_facts(old))
            else:
                facts = read_labels(annotation, dataset.reader, *times).facts
        except LabelError as error:
            return ItemLabels(item, annotation.partition, {}, change="refused"), str(error)
    kept = intent.labels_from or intent.partition_from
    return ItemLabels(item, annotation.partition, facts, kept), ""


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
                f"{some(self.videos)}: in the cache, but without a file; they stay until "
                "`vapipe cache remove` removes them"
            )
        if self.labels:
            lines.append(f"{some(self.labels)}: annotation or partition gone, also from the cache")
        if self.kept:
            places = ", ".join(sorted(set(self.kept.values())))
            lines.append(
                f"{some(tuple(self.kept))}: labels or partition kept that came from {places}; "
                "--labels and --split name where to look"
            )
        return lines


def find_disappeared(dataset: Dataset, catalog: Catalog) -> Disappeared:
    """Compare a whole folder of videos with what the cache has of it."""
    videos = {video.id for video in dataset.videos}
    gone, kept = [], {}
    for video in dataset.videos:
        for subject in video.subjects:
            annotation = dataset.annotations.get(subject.id, Annotation())
            intent = _intend(annotation, dataset, catalog.labels.get(subject.id))
            if origin := intent.labels_from or intent.partition_from:
                kept[subject.id] = origin
            elif intent.gone:
                gone.append(subject.id)
    missing = tuple(sorted(set(catalog.timelines) - videos))
    return Disappeared(missing, tuple(gone), kept)
