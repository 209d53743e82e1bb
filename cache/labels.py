"""Annotation and split files: reading, checking, and fitting to a timeline.

Row i of an annotation belongs to frame i. Rows are masked, never removed: the index of a row stays
the number of its frame.
"""

from __future__ import annotations

import csv
import difflib
from pathlib import Path

import numpy as np

from ..errors import LabelError
from .judge import PARTITIONS

INVALID = -5.0  # Aff-Wild2's mark of a frame without annotation, in either column
SURPLUS_ALLOWED = 5  # label rows beyond the last frame that are dropped with a note, not refused
_HEADER = ["valence", "arousal"]


def check_regular(path: Path) -> None:
    """Refuse what is there but no file of data: reading a pipe would wait for ever.

    Raises:
        LabelError: it is a folder, a pipe, a socket or a device.
    """
    if path.exists() and not path.is_file():
        raise LabelError(f"{path}: no file of data but a folder, pipe, socket or device; remove it")


def read_label_file(path: Path) -> np.ndarray:
    """Read `valence,arousal` rows; [R, 2] float32, both columns NaN where either is -5 or nan.

    Raises:
        LabelError: unreadable, wrong header or columns, not a number, or outside [-1, 1].
    """
    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig") as handle:
            rows = list(csv.reader(handle, skipinitialspace=True))
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path}: cannot read the annotation: {error}") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if header != _HEADER:
        raise LabelError(
            f"{path}: line 1 is `{','.join(header) or 'empty'}`; an annotation file begins with "
            "`valence,arousal` and has one such row per frame"
        )
    while rows[-1] == []:
        rows.pop()
    values = np.empty((len(rows) - 1, 2), np.float32)
    for number, cells in enumerate(rows[1:], start=2):
        try:
            valence, arousal = cells
            values[number - 2] = float(valence), float(arousal)
        except ValueError:
            raise LabelError(
                f"{path}: line {number} is `{','.join(cells)}`; "
                "expected two numbers, valence,arousal"
            ) from None
    values[(values == INVALID).any(axis=1)] = np.nan
    values[np.isnan(values).any(axis=1)] = np.nan
    outside = np.flatnonzero((np.abs(values) > 1).any(axis=1))
    if len(outside):
        row = int(outside[0])
        raise LabelError(
            f"{path}: line {row + 2} is {values[row, 0]:g},{values[row, 1]:g}; valence and arousal "
            f"lie in [-1, 1], or are -5 where not annotated ({len(outside)} such rows)"
        )
    return values


def fit_labels(values: np.ndarray, rows: int, name: str) -> tuple[np.ndarray, str | None]:
    """Give an annotation exactly one row per frame.

    Args:
        values: [R, 2] annotation rows.
        rows: T, frames of the video.
        name: what to call the annotation in messages.

    Returns:
        The labels [T, 2] (NaN beyond the annotation's end) and a note when R != T.

    Raises:
        LabelError: so many surplus rows that the annotation must be of another video.
    """
    surplus = len(values) - rows
    if surplus > SURPLUS_ALLOWED:
        raise LabelError(
            f"{name}: {len(values)} annotated rows for a video of {rows} frames; more than "
            f"{SURPLUS_ALLOWED} surplus rows mean another video or frame rate. "
            "Check that annotation and video belong together"
        )
    labels = np.full((rows, 2), np.nan, np.float32)
    labels[: min(rows, len(values))] = values[:rows]
    if surplus > 0:
        return labels, f"{surplus} label row(s) beyond the last of {rows} frames dropped"
    if surplus < 0:
        return labels, f"labels end {-surplus} row(s) before the last of {rows} frames"
    return labels, None


def read_split_file(path: Path) -> dict[str, str]:
    """Read `video,partition` rows; item id -> "train", "validation" or "test".

    Raises:
        LabelError: unreadable, wrong header, unknown partition, or an item named twice.
    """
    check_regular(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            rows = list(csv.reader(handle, skipinitialspace=True))
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path}: cannot read the split: {error}") from error
    if not rows or [cell.strip().lower() for cell in rows[0]] != ["video", "partition"]:
        raise LabelError(f"{path}: a split file begins with the line `video,partition`")
    split: dict[str, str] = {}
    for number, row in enumerate(rows[1:], start=2):
        if not row:
            continue
        if len(row) != 2 or row[1].strip() not in PARTITIONS:
            near = difflib.get_close_matches(row[-1].strip(), PARTITIONS, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise LabelError(
                f"{path}: line {number} is `{','.join(row)}`; expected an item id and one of "
                f"{', '.join(PARTITIONS)}{hint}"
            )
        item, partition = row[0].strip(), row[1].strip()
        if split.setdefault(item, partition) != partition:
            raise LabelError(
                f"{path}: line {number} puts `{item}` into {partition}, an earlier line into "
                f"{split[item]}; an item belongs to one partition"
            )
    return split
