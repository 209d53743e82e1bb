"""The labels of one item: all that its files say, at the frames of its video."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...cache.header_checks import TARGETS
from ...cache.timeline import Timeline
from ...errors import LabelError
from .agreement import merge, pairwise
from .clock import at_frames
from .reader import Annotation, Part, Reader


@dataclass(frozen=True, eq=False)
class Labels:
    """What annotates the frames of an item.

    Attributes:
        targets: what the columns are: valence and arousal, then others by name.
        values: [T, targets] float32 in [-1, 1], NaN where not annotated.
        facts: JSON-able: how the files were read, and what came of it.
        notes: what the user should know.
    """

    targets: tuple[str, ...]
    values: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def media_zero(media: Mapping[str, Any]) -> float:
    """What a player calls 0, on the container's clock: where the first of picture and sound starts.

    Args:
        media: facts of the file, as a timeline has them.
    """
    starts = [(media.get(kind) or {}).get("start", 0.0) for kind in ("video", "audio")]
    return max(0.0, min(starts)) if media.get("audio") else max(0.0, starts[0])


def read_labels(annotation: Annotation, reader: Reader, timeline: Timeline, zero: float) -> Labels:
    """Read an item's files and bring them to the frames.

    Raises:
        LabelError: they cannot be read, do not fit the video, or not each other.
    """
    if annotation.problem:
        raise LabelError(annotation.problem)
    series: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    notes: list[str] = []
    clocks: list[str] = []
    for part in annotation.parts:
        samples = reader.samples(part)
        found, said = at_frames(samples, timeline, zero, reader.reading)
        notes += [*samples.notes, *said]
        clocks.append(samples.clock)
        for (target, name), values in found.items():
            _enter(series[target], name, part, values)
    how = reader.reading.annotators
    agreement, weights, merged = {}, {}, {}
    for target, annotators in series.items():
        if len(annotators) > 1 and not how:
            raise LabelError(
                f"{annotation.parts[0].path}: {target} by {len(annotators)} annotators "
                f"({', '.join(sorted(annotators))}); say how they become one: --annotators mean, "
                "or ewe (weighted by agreement)"
            )
        merged[target], shares = merge(annotators, how)
        if len(annotators) > 1:
            agreement[target], weights[target] = pairwise(annotators), shares
    targets = (*TARGETS, *sorted(set(merged) - set(TARGETS)))
    if not set(merged) & set(TARGETS):
        targets = tuple(sorted(merged))
    missing = np.full(len(timeline), np.nan)
    values = np.stack([merged.get(each, missing) for each in targets], axis=1).astype(np.float32)
    ranges = {
        target: [round(float(np.nanmin(own)), 4), round(float(np.nanmax(own)), 4)]
        for target, own in zip(targets, values.T, strict=True)
        if np.isfinite(own).any()
    }
    facts = {"clock": sorted(set(clocks)), "range": ranges, **count_annotated(values)}
    if agreement:
        facts |= {"agreement": agreement, "weights": weights}
    return Labels(targets, values, facts, tuple(dict.fromkeys(notes)))


def count_annotated(values: np.ndarray) -> dict[str, int]:
    """How many frames there are, and how many of them have a value."""
    return {"annotated": int(np.isfinite(values).any(axis=1).sum()), "rows": len(values)}


def _enter(own: dict[str, np.ndarray], name: str, part: Part, values: np.ndarray) -> None:
    """Enter the series of an annotator under a name of its own."""
    names = [name or part.annotator, part.path.stem, str(part.path)]
    free = next((each for each in names if each not in own and (each or not own)), None)
    own[free if free is not None else f"{names[-1]} {len(own)}"] = values
