"""What annotations, splits and lists of subjects have in common; the readers of the latter two.

Row i of stored labels belongs to frame i. Rows are masked, never removed: the index of a row stays
the number of its frame.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import LabelError
from .header_checks import PARTITIONS
from .tables import Table, read_table, shown

INVALID = -5.0  # Aff-Wild2's mark of a frame without annotation, in either column
SURPLUS_ALLOWED = 5  # label rows beyond the last frame that are dropped with a note, not refused

_PARTITION_WORDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "devel", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
}
_VIDEO_COLUMNS = ("video", "id", "name", "file", "filename", "item", "clip", "image_location")
_PARTITION_COLUMNS = ("partition", "split", "set", "subset", "fold", "proposal")
_SUBJECT_COLUMNS = ("subject", "person", "speaker", "session", "group", "actor")
_MEDIA = re.compile(r"\.(mp4|m4v|mov|3gp|avi|mkv|webm|mpe?g|wmv|flv|m?ts|ogv)$", re.I)


def partition_of(word: str) -> str | None:
    """The partition that a name such as `Train_Set`, `set_devel` or `TestVideos` tells, if any."""
    words = re.findall(r"[A-Z]?[^\W\dA-Z_]+|[A-Z]+|\d+", word)
    bare = [re.sub(r"(set|split|partition|videos?|data|labels?)$", "", w.lower()) for w in words]
    named = [each for each in bare if each]
    return _PARTITION_WORDS.get(named[0]) if len(named) == 1 else None


def composed(name: str) -> str:
    """A name with its accents composed (NFC), however a file system writes them."""
    return unicodedata.normalize("NFC", name)


def item_name(cell: str) -> str:
    """An item's id as files name it: without a video's suffix, accents composed."""
    return composed(_MEDIA.sub("", cell.strip()))


def read_split_file(path: Path) -> dict[str, str]:
    """Read which partition each item is in; item id -> "train", "validation" or "test".

    Rows of an item and a partition (`train`, `devel`, `Validation_Set` ...), in this order or under
    names; or items alone, of the partition that the file's name tells; or a challenge's sample
    file, whose items are the test set.

    Raises:
        LabelError: unreadable, no such columns, unknown partition, or an item named twice.
    """
    table = read_table(path, "split")
    if (table.names or ("",))[0].lower() == "image_location":
        return dict.fromkeys(
            (item_name(cell.rpartition("/")[0]) for cell in table.cells(0)), "test"
        )
    if table.width == 1:
        words = [partition_of(word) for word in re.split(r"[_\W]+", path.stem)]
        own = next((word for word in words if word), None)
        if own is None:
            raise LabelError(
                f"{path}: items without a partition; a split file begins with the line "
                "`video,partition`, or is called after its partition, such as test.txt"
            )
        cells = [*table.names, *table.cells(0)]
        return dict.fromkeys(
            (item_name(cell) for cell in cells if cell.lower() not in _VIDEO_COLUMNS), own
        )
    rows, lines = two_columns(table, _PARTITION_COLUMNS, "a split file", "video,partition")
    split: dict[str, str] = {}
    for (cell, word), line in zip(rows, lines, strict=True):
        item, partition = item_name(cell), partition_of(word)
        if not item or partition is None:
            near = difflib.get_close_matches(word.lower(), PARTITIONS, 1)
            hint = f"; did you mean `{near[0]}`?" if near else ""
            raise LabelError(
                f"{path}: line {line} is `{shown([cell, word])}`; expected an item id and one of "
                f"{', '.join(PARTITIONS)}{hint}"
            )
        if split.setdefault(item, partition) != partition:
            raise LabelError(
                f"{path}: line {line} puts `{item}` into {partition}, an earlier line into "
                f"{split[item]}; an item belongs to one partition"
            )
    return split


def read_subject_file(path: Path) -> dict[str, str]:
    """Read who is seen in each item; item id -> subject (or session, speaker ...).

    Raises:
        LabelError: unreadable, or no such columns.
    """
    table = read_table(path, "list of subjects")
    rows, _ = two_columns(table, _SUBJECT_COLUMNS, "a subject file", "video,subject")
    return {item_name(cell): subject for cell, subject in rows}


def two_columns(
    table: Table, columns: Sequence[str], what: str, header: str
) -> tuple[list[tuple[str, str]], list[int]]:
    """The item and one more column of a table, as rows, and the lines they stand in.

    Raises:
        LabelError: there are no such columns.
    """
    names, rows, lines = [name.lower() for name in table.names], table.rows, table.lines
    item = next((i for i, name in enumerate(names) if name in _VIDEO_COLUMNS), None)
    other = next((names.index(column) for column in columns if column in names), None)
    if columns is _PARTITION_COLUMNS and table.width == 2 and item is None and other is None:
        if names and partition_of(names[1]):  # no header but a first row
            rows, lines = [list(table.names), *rows], [lines[0] - 1 if lines else 1, *lines]
        if rows and partition_of(rows[0][1]):
            item, other = 0, 1
    if item is None or other is None:
        first = shown(list(table.names or (table.rows[0] if table.rows else ())))
        raise LabelError(
            f"{table.path}: line 1 is `{first}`; {what} begins with the line `{header}` and has "
            "such rows"
        )
    return [(row[item], row[other]) for row in rows], lines


def interpolate(
    x: np.ndarray, y: np.ndarray, at: np.ndarray, *, gap: float, reach: float, nearest: bool = False
) -> np.ndarray:
    """Samples y [N] (NaN: none) at rising x [N], taken at other places.

    On the line between two samples that are not further apart than the gap; else the value of the
    nearest sample within reach, if that is one.

    Args:
        x: where the samples are.
        y: their values.
        at: [T] where values are wanted.
        gap: neighbours further apart than this are not joined by a line.
        reach: how far the value of the nearest sample is taken where no line leads.
        nearest: whether there are no lines at all.
    """
    above = np.searchsorted(x, at)
    high, low = np.minimum(above, len(x) - 1), np.maximum(above - 1, 0)
    low = np.where(x[high] == at, high, low)
    near = np.where(np.abs(at - x[low]) <= np.abs(x[high] - at), low, high)
    slack = 1e-9 * max(1.0, abs(float(x[-1])))
    found = np.where(np.abs(at - x[near]) <= reach + slack, y[near], np.nan)
    if nearest:
        return found
    apart = x[high] - x[low]
    joined = (apart > 0) & (apart <= gap + slack) & (x[low] <= at) & (at <= x[high])
    joined &= np.isfinite(y[low]) & np.isfinite(y[high])
    share = np.divide(at - x[low], apart, out=np.zeros(len(at)), where=joined)
    return np.where(joined, y[low] * (1 - share) + y[high] * share, found)


def earlier(values: np.ndarray, pts: np.ndarray, delay: float) -> np.ndarray:
    """Labels [T, K] moved to the moments [T] that they are about, `delay` seconds before.

    The end has none: what was seen there was not annotated before the end.
    """
    at = pts + delay
    step = float(np.median(np.diff(pts))) if len(pts) > 1 else 0.0
    columns = [interpolate(pts, column, at, gap=1.5 * step, reach=step / 2) for column in values.T]
    return np.stack(columns, axis=1).astype(np.float32)


def later(values: np.ndarray, pts: np.ndarray, delay: float) -> np.ndarray:
    """Predictions [T, K] moved to when they would be annotated; the first are held before."""
    at = np.maximum(pts - delay, pts[0])
    return np.stack([np.interp(at, pts, column) for column in values.T], axis=1)
