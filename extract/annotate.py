"""Takes the annotations of extracted videos into the cache."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..cache.catalog import Catalog, Place
from ..cache.durable import digest_file
from ..cache.labels import fit_labels, read_label_file
from ..cache.layout import write_labels
from ..errors import LabelError
from .dataset import Annotation, Dataset, Video
from .video import Outcome


def take_labels(
    outcome: Outcome, video: Video, dataset: Dataset, cache: Path, catalog: Catalog
) -> Outcome:
    """Store the annotations of a video's subjects where they are new or changed."""
    if not outcome.rows:
        return outcome
    notes, problems = list(outcome.notes), list(outcome.problems)
    for subject in video.subjects:
        annotation = dataset.annotations.get(subject.id)
        if annotation is None:
            continue
        try:
            note = _store_labels(
                cache, subject.id, annotation, outcome.rows, catalog.labels.get(subject.id)
            )
        except LabelError as error:
            problems.append(str(error))
        else:
            notes += [note] if note else []
    return replace(outcome, notes=tuple(notes), problems=tuple(problems))


def _store_labels(
    cache: Path, item: str, annotation: Annotation, rows: int, stored: Place | None
) -> str | None:
    """Write an item's labels unless they are there already; a note on surplus or lacking rows."""
    source = {}
    if annotation.file is not None:
        source = {"name": annotation.file.name, "sha256": digest_file(annotation.file)}
    wanted = {"partition": annotation.partition, "source": source}
    if stored and stored.facts == wanted and stored.rows == rows:
        return None
    if annotation.file is None:
        values, note = fit_labels(np.empty((0, 2), np.float32), rows, item)[0], None
    else:
        values, note = fit_labels(read_label_file(annotation.file), rows, str(annotation.file))
    write_labels(cache, item, values, partition=annotation.partition, source=source)
    return f"{item}: {note}" if note else None
