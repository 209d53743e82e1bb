"""Reads tables of text as people have them: any usual separator, coding, header, decimal sign.

Knows nothing of what the columns mean; `labels.py` and the annotations' reader do.
"""

from __future__ import annotations

import codecs
import csv
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import LabelError

SUFFIXES = frozenset({".csv", ".txt", ".tsv", ".dat", ".arff", ".json"})
AFEW_VA = "AFEW-VA"  # whose JSON files list frames by number
# Of tables that are not text.
OTHER_SUFFIXES = frozenset(
    {".xlsx", ".xls", ".ods", ".mat", ".npy", ".npz", ".pkl", ".parquet", ".h5", ".xml", ".gz"}
)
_QUOTES = " \t\"'"
_BLANK = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "--", "."})
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(e[+-]?\d+)?", re.I)
_PREAMBLE = 10  # lines that may stand before the names of the columns
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:[.,]\d+)?)")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of text.

    Attributes:
        names: of the columns as they stand, empty where the file has none.
        rows: their cells, all rows equally many.
        lines: of each row, its line in the file (from 1).
        blank: further rows of blank cells that end the file.
        origin: the data set that is known by the form of its files, or "".
    """

    path: Path
    names: tuple[str, ...]
    rows: list[list[str]]
    lines: list[int]
    blank: int = 0
    origin: str = ""

    @property
    def width(self) -> int:
        """Number of columns."""
        return len(self.names) or (len(self.rows[0]) if self.rows else 0)

    def cells(self, column: int) -> list[str]:
        """The cells of a column."""
        return [row[column] for row in self.rows]

    def numbers(self, column: int) -> np.ndarray:
        """A column as [R] float64, NaN where a cell is blank, NA or the like.

        Raises:
            LabelError: a cell is something else; names the line.
        """
        return np.array([self._number(row, column, i) for i, row in enumerate(self.rows)], float)

    def _number(self, row: list[str], column: int, index: int) -> float:
        value = number(row[column])
        if value is None or math.isinf(value):
            raise LabelError(
                f"{self.path}: line {self.lines[index]} is `{shown(row)}`; expected a number in "
                f"column {column + 1}{f' ({self.names[column]})' if self.names else ''}, or nothing"
            )
        return value

    def chosen(self, rows: np.ndarray) -> Table:
        """The table with some of its rows, [n] indices."""
        return replace(
            self, rows=[self.rows[i] for i in rows], lines=[self.lines[i] for i in rows], blank=0
        )


def number(cell: str) -> float | None:
    """A cell as a number: NaN where it says that there is none, None where it says otherwise."""
    try:
        return float(cell) if "_" not in cell else None
    except ValueError:
        pass
    text = cell.strip().lower().replace("\N{MINUS SIGN}", "-")
    if text in _BLANK:
        return math.nan
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    try:
        return float(text) if "_" not in text else None
    except ValueError:
        return None


def seconds(cell: str) -> float | None:
    """A cell such as 01:02:03.5 or 02:03.5 in seconds; None where it is no such time."""
    match = _CLOCK.fullmatch(cell.strip())
    if match is None:
        return None
    hours, minutes, rest = match.groups()
    return 3600 * int(hours or 0) + 60 * int(minutes) + float(rest.replace(",", "."))


def shown(cells: list[str]) -> str:
    """A row for a message."""
    text = ",".join(cells)
    return text if len(text) <= 80 else f"{text[:77]}..."


def check_regular(path: Path) -> None:
    """Refuse what is there but no file of data: reading a pipe would wait for ever.

    Raises:
        LabelError: it is a folder, a pipe, a socket or a device.
    """
    if path.exists() and not path.is_file():
        raise LabelError(f"{path}: no file of data but a folder, pipe, socket or device; remove it")


def read_table(path: Path, what: str = "annotation") -> Table:
    """Read a table of text, an ARFF file, or JSON that holds a table.

    Raises:
        LabelError: it cannot be read, or its rows are not equally long; names the line.
    """
    check_regular(path)
    try:
        text = _decode(path.read_bytes())
    except (OSError, UnicodeError) as error:
        raise LabelError(f"{path}: cannot read the {what}: {error}") from error
    if "\0" in text:
        raise LabelError(f"{path}: cannot read the {what}: no text; save it as CSV")
    if path.suffix.lower() == ".json":
        return _from_json(path, text)
    lines = list(enumerate(text.splitlines(), start=1))
    if any(line.lstrip().lower().startswith("@data") for _, line in lines):
        return _from_arff(path, lines)
    return _from_lines(path, lines)


def _decode(content: bytes) -> str:
    """Text of unknown coding: UTF-8, UTF-16 with or without mark, else the Western one."""
    for mark, coding in _BOMS:
        if content.startswith(mark):
            return (content[len(mark) :] if coding == "utf-8" else content).decode(coding)
    start = content[:400]
    if start.count(0) > len(start) // 4:
        return content.decode("utf-16-le" if not start[1] else "utf-16-be")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252")


def _from_lines(path: Path, lines: list[tuple[int, str]]) -> Table:
    separator, comment = "", ""
    while lines and (not lines[0][1].strip() or _aside(lines[0][1])):
        line = lines.pop(0)[1].strip()
        if line.lower().startswith("sep="):
            separator = line[4:]
        comment = line.lstrip("#%/ ")
    while lines and not lines[-1][1].strip():
        lines.pop()
    lines = [(number, line) for number, line in lines if not _aside(line)]
    if not lines:
        raise LabelError(f"{path}: line 1 is `empty`; there is no row in it")
    for first in range(min(len(lines), _PREAMBLE)):
        sign = separator or _separator(lines[first][1])
        rows = _split([line for _, line in lines[first:]], sign)
        if first and not (_is_header(rows[0]) and len(rows) > 1 and any(map(number, rows[1]))):
            continue  # what stands before names and numbers is no part of the table
        try:
            return _headed(path, lines[first:], rows, comment, sign)
        except LabelError:
            continue
    sign = separator or _separator(lines[0][1])
    return _headed(path, lines, _split([line for _, line in lines], sign), comment, sign)


def _headed(
    path: Path, lines: list[tuple[int, str]], rows: list[list[str]], comment: str, separator: str
) -> Table:
    """The table of rows of which the first may hold names, or a comment before them."""
    numbers = [number for number, _ in lines]
    names: list[str] = []
    if _is_header(rows[0]):
        names, rows, numbers = rows[0], rows[1:], numbers[1:]
    elif comment and len(_split([comment], separator)[0]) == len(rows[0]):
        names = _split([comment], separator)[0]
    return _even(path, names, rows, numbers)


def _aside(line: str) -> bool:
    """Whether a line is a comment, or says how the file is separated."""
    return line.lstrip().startswith(("#", "%", "//")) or line.strip().lower().startswith("sep=")


def _separator(line: str) -> str:
    """What divides the cells of a line: a sign, a space for any blank space, or nothing."""
    bare = re.sub(r'"[^"]*"', "", line)
    for sign in ";\t,|":
        if sign in bare:
            return sign
    return " " if len(bare.split()) > 1 else ""


def _split(lines: list[str], separator: str) -> list[list[str]]:
    if separator == " ":
        rows = [line.split() for line in lines]
    elif separator:
        rows = list(csv.reader(lines, delimiter=separator, skipinitialspace=True))
    else:
        rows = [[line] for line in lines]
    return [[cell.strip(_QUOTES) for cell in row] or [""] for row in rows]


def _is_header(cells: list[str]) -> bool:
    """Whether a first row holds names: more cells that are no numbers than cells that are."""
    filled = [cell for cell in cells if cell]
    words = [cell for cell in filled if number(cell) is None and seconds(cell) is None]
    return 2 * len(words) > len(filled)


def _even(path: Path, names: list[str], rows: list[list[str]], numbers: list[int]) -> Table:
    """All rows of one length; blank cells at the ends of rows are cut where there are too many."""
    blank = 0
    while rows and not any(rows[-1]):
        rows, numbers, blank = rows[:-1], numbers[:-1], blank + 1
    while names and not names[-1] and all(len(row) < len(names) or not row[-1] for row in rows):
        names = names[:-1]
    width = len(names) or (len(rows[0]) if rows else 0)
    if not names:
        while width > 1 and all(len(row) >= width and not row[width - 1] for row in rows):
            width -= 1
    for index, row in enumerate(rows):
        if len(row) > width and not any(row[width:]):
            rows[index] = row = row[:width]
        if len(row) == 1 and not row[0] and width > 1:
            raise LabelError(
                f"{path}: line {numbers[index]} is blank; remove it, or write NA into its cells "
                "where it stands for a frame without annotation"
            )
        if 1 < len(row) < width and not row[-1]:
            rows[index] = row = row + [""] * (width - len(row))
        if len(row) != width:
            hint = ""
            if len(row) > width:
                hint = "; with decimal commas, separate the columns by semicolons"
            expected = f"the cells {','.join(names)}" if names else "as many as in the first row"
            raise LabelError(
                f"{path}: line {numbers[index]} is `{shown(row)}`; expected {expected} "
                f"({width}), found {len(row)}{hint}"
            )
    return Table(path, tuple(names), rows, numbers, blank)


def _from_arff(path: Path, lines: list[tuple[int, str]]) -> Table:
    names: list[str] = []
    for index, (_, line) in enumerate(lines):
        word, _, rest = line.strip().partition(" ")
        if word.lower() == "@attribute":
            names.append(re.split(r"\s+", rest.strip())[0].strip("\"'"))
        if word.lower() == "@data":
            lines = [(n, text) for n, text in lines[index + 1 :] if text.strip()]
            break
    lines = [(number, line) for number, line in lines if not line.lstrip().startswith("%")]
    return _even(path, names, _split([line for _, line in lines], ","), [n for n, _ in lines])


def _from_json(path: Path, text: str) -> Table:
    """A table from a list of objects, an object of equally long lists, or `frames` by number."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LabelError(f"{path}: cannot read the annotation: {error}") from error
    records: list[dict[str, Any]] = []
    origin = ""
    if isinstance(content, dict) and isinstance(content.get("frames"), list):
        content = content["frames"]
    if isinstance(content, dict) and isinstance(content.get("frames"), dict):
        origin = AFEW_VA if "video_id" in content and "actor" in content else ""
        records = [
            {"frame": frame, **each}
            for frame, each in sorted(content["frames"].items())
            if isinstance(each, dict)
        ]
    elif isinstance(content, dict) and all(isinstance(each, list) for each in content.values()):
        if len({len(each) for each in content.values()}) == 1:
            records = [
                dict(zip(content, row, strict=True)) for row in zip(*content.values(), strict=True)
            ]
    elif isinstance(content, list) and all(isinstance(each, dict) for each in content):
        records = content
    names = [name for name, value in (records[0] if records else {}).items() if _plain(value)]
    if not names:
        raise LabelError(
            f"{path}: no table in it; a list of objects, an object of lists, or `frames` by number"
        )
    rows = [["" if each.get(n) is None else str(each[n]) for n in names] for each in records]
    return Table(path, tuple(names), rows, list(range(1, len(rows) + 1)), origin=origin)


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)
