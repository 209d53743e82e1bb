"""From a table to samples: which column is a time, a frame number, a target, an annotator."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from ...cache.header_checks import TARGETS
from ...cache.labels import INVALID, item_name
from ...cache.tables import AFEW_VA, Table, number, seconds, shown
from ...errors import LabelError, ScaleError, UnlabelledError, counted
from .names import (
    INDEX,
    STATISTICS,
    UNUSED,
    UTTERANCES,
    VALUES,
    VIDEOS,
    is_edge,
    is_frame,
    is_time,
    plain,
    target_of,
    unit_of,
)
from .reading import Reading

_AFEW_SCALE = ("", -10.0, 10.0)
_SLOWEST, _FASTEST = 5.0, 0.002  # seconds between samples of a continuous annotation

Clock: TypeAlias = Literal["rows", "rate", "seconds", "frames", "interval", "whole"]
Key: TypeAlias = tuple[str, str]  # target, annotator


@dataclass(frozen=True, eq=False)
class Samples:
    """What a file says of one item.

    Attributes:
        name: of the file, for messages.
        clock: what `times` are: nothing (`rows`: a row per frame; `rate`: rows per second; `whole`:
            one value), seconds [N], numbers of frames [N], or intervals [N, 2] in seconds.
        times: of the samples, rising.
        values: (target, annotator) -> [N] float64 in [-1, 1], NaN where not annotated.
        base: of frame numbers, 0 or 1; None where only the video tells.
        blank: further rows without annotation at the end.
        notes: what was not used, and what was done.
    """

    name: str
    clock: Clock
    times: np.ndarray
    values: dict[Key, np.ndarray]
    base: int | None = None
    blank: int = 0
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Number of samples N."""
        return len(next(iter(self.values.values())))


def take_samples(table: Table, reading: Reading, target: str = "") -> dict[str, Samples]:
    """Read a table.

    Args:
        table: the file's rows.
        reading: what the user says of it.
        target: what is annotated, where folder or file name tell.

    Returns:
        Item -> its samples; "" for all of a file that names no items.

    Raises:
        UnlabelledError: nothing in it can be an annotation.
        LabelError: it cannot be read as one; names the line and says what to type.
    """
    if not table.rows:
        raise LabelError(f"{table.path}: there is no row of numbers in it")
    columns = _Columns(table, reading, target)
    owners = columns.owners()
    if owners is None:
        return {"": columns.samples(table)}
    names = list(dict.fromkeys(owners))
    rows = {name: np.flatnonzero(np.array([each == name for each in owners])) for name in names}
    return {name: columns.samples(table.chosen(rows[name])) for name in names}


class _Columns:
    """What the columns of a table are."""

    def __init__(self, table: Table, reading: Reading, target: str) -> None:
        self.table, self.reading = table, reading
        self.names = self._named(target)
        self.frame = self._first(is_frame)
        self.start = self._first(lambda name: is_edge(name, ("start", "begin", "onset")))
        self.end = self._first(lambda name: is_edge(name, ("end", "stop", "offset")))
        self.length = self._first(lambda name: is_edge(name, ("duration", "length")))
        self.time = self._first(lambda name: is_time(name) and not is_frame(name))
        if self.end is None and self.length is None and self.time is None:
            self.time, self.start = self.start, None
        if self.start is not None and self.time in (self.start, self.end, self.length):
            self.time = None
        self.video = self._first(lambda name: name in VIDEOS)
        self.utterance = self._first(lambda name: name in UTTERANCES)
        self.notes: list[str] = []
        self.targets = self._targets(target)
        if table.origin == AFEW_VA and not reading.scale:
            self.reading = replace(reading, scale=(_AFEW_SCALE,))
            self.notes.append("read on the scale of AFEW-VA, -10 to 10")

    def _named(self, target: str) -> list[str]:
        """Lower-case names, from the file or the user."""
        table, given = self.table, self.reading.columns
        if given:
            if len(given) != table.width:
                first = shown(list(table.names or table.rows[0]))
                raise LabelError(
                    f"{table.path}: {counted(table.width, 'column')}, of which the first row is "
                    f"`{first}`, and --columns names {len(given)} ({','.join(given)})"
                )
            return list(given)
        if table.names:
            return [plain(name) for name in table.names]
        if table.width == 1 and target:
            return [target]
        example = {1: "valence", 2: "valence,arousal", 3: "time,valence,arousal"}
        if target:
            example = {2: "time,value"}
        raise UnlabelledError(
            f"{table.path}: line {table.lines[0]} is `{shown(table.rows[0])}`; an annotation "
            "file begins with the names of its columns, such as `valence,arousal`. Say what they "
            f"are: --columns {example.get(table.width, 'time,valence,arousal,-')}"
        )

    def _first(self, fits: Callable[[str], bool]) -> int | None:
        return next((i for i, name in enumerate(self.names) if fits(name)), None)

    def _targets(self, target: str) -> dict[int, Key]:
        """Column -> target and annotator."""
        taken = {self.time, self.frame, self.video, self.utterance}
        taken |= {self.start, self.end, self.length}
        free = {
            i: name
            for i, name in enumerate(self.names)
            if i not in taken and name not in (*INDEX, *UNUSED)
        }
        found: dict[int, Key] = {}
        for i, name in free.items():
            own = target_of(name, self.reading, short=True)
            if own:
                found[i] = own, ""
        plain = {own for own, _ in found.values()}
        for i, name in free.items():
            first, *others = words = re.split(r"[\s_.\-]+", name)
            own, rest = target_of(first, self.reading), "_".join(others)
            if own is None and rest:
                own, rest = target_of(words[-1], self.reading), "_".join(words[:-1])
            if i in found or own is None or not rest:
                continue
            if rest in STATISTICS or own in plain:
                self.notes.append(f"column `{name}` not used")
            else:
                found[i] = own, rest
        if not found and target:
            values = {i: n for i, n in free.items() if n in VALUES}
            chosen = values if len(values) == 1 else self._numeric(free)
            found = {i: (target, "" if len(chosen) == 1 else name) for i, name in chosen.items()}
        others = [self.names[i] for i in self._numeric(free) if i not in found]
        if not found:
            raise UnlabelledError(
                f"{self.table.path}: line 1 is `{shown(list(self.names))}`; no column is called "
                f"{', '.join(TARGETS)} or like another target. Name what is annotated: --targets "
                f"{','.join(others) or 'NAME'}, or the columns: --columns time,valence,arousal"
            )
        self.notes += [f"column `{n}` not used" for n in others if not self._noted(n)]
        wanted = self.reading.targets
        found = {i: key for i, key in found.items() if not wanted or key[0] in wanted}
        twice = [key for key in found.values() if list(found.values()).count(key) > 1]
        if twice:
            raise LabelError(f"{self.table.path}: two columns are called {twice[0][0]}; name one -")
        return found

    def _noted(self, name: str) -> bool:
        return any(f"`{name}`" in note for note in self.notes)

    def _numeric(self, free: dict[int, str]) -> dict[int, str]:
        first = self.table.rows[0]
        return {i: name for i, name in free.items() if number(first[i]) is not None}

    def owners(self) -> list[str] | None:
        """Of each row, the item that it is of; None where no column says."""
        table = self.table
        if self.video is None and self.frame is not None:
            cells = table.cells(self.frame)
            if not any("/" in cell for cell in cells):
                return None
            return [item_name(cell.rpartition("/")[0]) for cell in cells]
        if self.video is None:
            return None
        names = [item_name(cell) for cell in table.cells(self.video)]
        if self.utterance is None:
            return names
        parts = [item_name(cell) for cell in table.cells(self.utterance)]
        return [f"{name}/{part}" for name, part in zip(names, parts, strict=True)]

    def samples(self, table: Table) -> Samples:
        """The rows of a table with these columns, of one item."""
        values = self._values(table)
        taken = partial(Samples, name=str(table.path), values=values, notes=tuple(self.notes))
        if self.time is not None:
            return taken(clock="seconds", times=self._seconds(table))
        if self.frame is not None:
            times, base = self._frames(table, self.frame)
            return taken(clock="frames", times=times, base=base)
        if self.utterance is not None and len(table.rows) == 1:
            return taken(clock="whole", times=np.empty(0))
        if self.start is not None:
            starts = self._times(table, self.start)
            column = self.length if self.end is None else self.end
            assert column is not None
            stops = self._times(table, column) + (starts if self.end is None else 0)
            return taken(clock="interval", times=np.stack([starts, stops], axis=1))
        self._check_counts(table)
        clock: Clock = "rows" if self.reading.rate is None else "rate"
        return taken(clock=clock, times=np.empty(0), blank=table.blank)

    def _values(self, table: Table) -> dict[Key, np.ndarray]:
        read = {key: table.numbers(column) for column, key in self.targets.items()}
        for values in read.values():
            values[np.isin(values, self.reading.missing)] = np.nan
        marked = np.zeros(len(table.rows), bool)
        for (target, _), values in read.items():
            if target in TARGETS and self.reading.range_of(target) == (-1.0, 1.0):
                marked |= values == INVALID
        scaled = {}
        for (target, annotator), values in read.items():
            masked = np.where(marked, np.nan, values) if target in TARGETS else values
            scaled[target, annotator] = self._scaled(table, target, masked)
        return scaled

    def _scaled(self, table: Table, target: str, values: np.ndarray) -> np.ndarray:
        low, high = self.reading.range_of(target)
        with np.errstate(invalid="ignore"):
            outside = np.flatnonzero((values < low) | (values > high))
        if len(outside):
            row = int(outside[0])
            least, most = float(np.nanmin(values)), float(np.nanmax(values))
            where = "valence and arousal lie in [-1, 1], or are -5 where not annotated"
            if (low, high) != (-1.0, 1.0) or target not in TARGETS:
                where = f"{target} lies in [{low:g}, {high:g}]"
            advice = f"are on another scale: --scale {_likely_scale(least, most)}"
            marks = np.unique(values[outside])
            if len(marks) == 1 and len(outside) < np.isfinite(values).sum():
                advice = f"may be not annotated: --missing {marks[0]:g}; or {advice}"
            raise ScaleError(
                f"{table.path}: line {table.lines[row]} is {shown(table.rows[row])}; {where} "
                f"({counted(len(outside), 'such row')}). Values from {least:g} to {most:g} {advice}"
            )
        return (values - low) / (high - low) * 2 - 1 if (low, high) != (-1.0, 1.0) else values

    def _times(self, table: Table, column: int) -> np.ndarray:
        """A column of times as [N] seconds."""
        cells = table.cells(column)
        read = [seconds(cell) for cell in cells]
        if all(each is not None for each in read):
            return np.array(read, float)
        times = table.numbers(column)
        if not np.isfinite(times).all():
            row = int(np.flatnonzero(~np.isfinite(times))[0])
            raise LabelError(f"{table.path}: line {table.lines[row]} has no time")
        return times * (unit_of(self.names[column]) or 1.0)

    def _seconds(self, table: Table) -> np.ndarray:
        assert self.time is not None
        times, unit = self._times(table, self.time), unit_of(self.names[self.time])
        back = np.flatnonzero(np.diff(times) <= 0)
        if len(back):
            line = table.lines[int(back[0]) + 1]
            raise LabelError(
                f"{table.path}: line {line} does not come after the line before in time "
                f"({times[back[0]]:g}, then {times[back[0] + 1]:g}); sort the rows, or give each "
                "video and annotator a file of its own"
            )
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        if unit is None and step >= _SLOWEST:
            times, step = times / 1000, step / 1000
        if not _FASTEST <= step < _SLOWEST * (20 if unit else 1):
            raise LabelError(
                f"{table.path}: a row every {step:g} s in column `{self.names[self.time]}`; no "
                "annotation is so. Name the unit of the times: --columns time_ms,... or "
                "time_s,..., or leave them out (-) and give --rate"
            )
        return times

    def _frames(self, table: Table, column: int) -> tuple[np.ndarray, int | None]:
        """Frame numbers as they stand, rising, and whether the first frame is 0 or 1."""
        read = []
        for line, cell in zip(table.lines, table.cells(column), strict=True):
            match = re.search(r"(\d+)(?:\.\d*|\.[A-Za-z]\w*)?$", cell)
            if match is None:
                raise LabelError(f"{table.path}: line {line} has no frame number but `{cell}`")
            read.append(int(match[1]))
        numbers = np.array(read)
        back = np.flatnonzero(np.diff(numbers) <= 0)
        if len(back):
            line = table.lines[int(back[0]) + 1]
            raise LabelError(
                f"{table.path}: line {line} is frame {numbers[back[0] + 1]} after frame "
                f"{numbers[back[0]]}; frame numbers rise: sort the rows, or give each video a "
                "file of its own"
            )
        name = self.names[column]
        stated = {"frame0": 0, "frame1": 1}.get(name)
        # The crops of Aff-Wild2 are numbered from 1.
        return numbers, 1 if name == "image_location" else stated

    def _check_counts(self, table: Table) -> None:
        """Refuse a column that counts the rows, under whatever name, where some were taken out."""
        for column, name in enumerate(self.names):
            if column in self.targets or not table.names or name == "-":
                continue
            counted = np.array([number(cell) or 0.0 for cell in table.cells(column)])
            steps = np.diff(counted)
            jumps = np.flatnonzero(steps != 1)
            if not len(jumps) or not (steps > 0).all() or np.median(steps) != 1:
                continue
            line = table.lines[int(jumps[0]) + 1]
            others = ["frame0" if i == column else n for i, n in enumerate(self.names)]
            raise LabelError(
                f"{table.path}: line {line} counts {counted[jumps[0] + 1]:g} after "
                f"{counted[jumps[0]]:g} in column `{name}`; rows are missing. Where it numbers the "
                f"frames from 0: --columns {','.join(others)}"
            )


def _likely_scale(least: float, most: float) -> str:
    scales: Sequence[tuple[float, float]] = (
        (0, 1), (1, 5), (1, 7), (1, 9), (-5, 5), (-10, 10), (0, 10), (-100, 100), (0, 100),
        (-1000, 1000), (0, 1000),
    )  # fmt: skip
    fitting = [(high - low, low, high) for low, high in scales if low <= least and most <= high]
    _, low, high = min(fitting, default=(0, least, most))
    return f"{low:g}..{high:g}"
