"""From a table to samples: which column is a time, a frame number, a target, an annotator."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, TypeAlias

import numpy as np

from ...cache.judge import TARGETS
from ...cache.labels import INVALID, item_name
from ...cache.tables import Table, number, seconds, shown
from ...errors import LabelError, ScaleError, UnlabelledError
from .reading import Reading

# Dimensions that are annotated over time; others are taken where --targets names them.
KNOWN_TARGETS = (
    *TARGETS,
    "dominance",
    "power",
    "control",
    "expectancy",
    "anticipation",
    "intensity",
    "trustworthiness",
    "liking",
    "likability",
    "agreement",
    "engagement",
    "interest",
    "novelty",
    "stress",
)
_SHORT = {"v": "valence", "val": "valence", "a": "arousal", "aro": "arousal", "d": "dominance"}
_VALUE = ("value", "values", "label", "goldstandard", "rating", "score", "annotation", "y")
_STATISTICS = ("std", "sd", "stdev", "var", "variance", "confidence", "conf", "min", "max", "n")
_VIDEO = (
    "video",
    "video_id",
    "videoid",
    "name",
    "file",
    "filename",
    "clip",
    "item",
    "instance_name",
)
_UTTERANCE = ("utterance", "segment_name")
_INDEX = ("", "index", "row", "#", "unnamed: 0")
_UNUSED = ("-", "segment_id", "segment", "link", "emotionmaxvote", "id", "subject", "actor")
_TIME_UNITS = {
    **dict.fromkeys(("time", "timestamp", "timestamps", "t", "pts", "timecode", "frametime"), ""),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds", "millis"), "ms"),
}
_FRAME = ("frame", "frames", "frame_number", "frame_id", "frameid", "frame_idx", "frame_index")
_FRAMES = (*_FRAME, "frameno", "frame_no", "image", "image_location", "frame0", "frame1")
_AFEW_VA = ("", -10.0, 10.0)  # whose JSON files list frames by number
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


def target_of(word: str, reading: Reading) -> str | None:
    """The target that a word names, if any."""
    bare = re.sub(r"[\s\"']+", "_", word.strip().lower()).strip("_")
    return bare if bare in (*KNOWN_TARGETS, *reading.targets) else None


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
        self.time = self._first(_is_time)
        self.frame = self._first(lambda name: name in _FRAMES)
        self.start = self._first(lambda name: _bare(name)[0] in ("start", "begin", "onset"))
        self.end = self._first(lambda name: _bare(name)[0] in ("end", "stop", "offset"))
        self.video = self._first(lambda name: name in _VIDEO)
        self.utterance = self._first(lambda name: name in _UTTERANCE)
        self.notes: list[str] = []
        self.targets = self._targets(target)
        if table.path.suffix.lower() == ".json" and "frame" in self.names and not reading.scale:
            self.reading = replace(reading, scale=(_AFEW_VA,))
            self.notes.append("read on the scale of AFEW-VA, -10 to 10")

    def _named(self, target: str) -> list[str]:
        """Lower-case names, from the file or the user."""
        table, given = self.table, self.reading.columns
        if given:
            if len(given) != table.width:
                first = shown(list(table.names or table.rows[0]))
                raise LabelError(
                    f"{table.path}: {table.width} column(s), of which the first row is `{first}`, "
                    f"and --columns names {len(given)} ({','.join(given)})"
                )
            return list(given)
        if table.names:
            return [re.sub(r"\s+", " ", name.strip().lower()) for name in table.names]
        if table.width == 1 and target:
            return [target]
        example = {1: "valence", 2: "valence,arousal", 3: "time,valence,arousal"}
        raise UnlabelledError(
            f"{table.path}: line {table.lines[0]} is `{shown(table.rows[0])}`; an annotation "
            "file begins with the names of its columns, such as `valence,arousal`. Say what they "
            f"are: --columns {example.get(table.width, 'time,valence,arousal,-')}"
        )

    def _first(self, fits: Callable[[str], bool]) -> int | None:
        return next((i for i, name in enumerate(self.names) if fits(name)), None)

    def _targets(self, target: str) -> dict[int, Key]:
        """Column -> target and annotator."""
        taken = {self.time, self.frame, self.start, self.end, self.video, self.utterance}
        free = {
            i: name
            for i, name in enumerate(self.names)
            if i not in taken and name not in (*_INDEX, *_UNUSED)
        }
        found: dict[int, Key] = {}
        for i, name in free.items():
            own = target_of(_SHORT.get(name, name), self.reading)
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
            if rest in _STATISTICS or own in plain:
                self.notes.append(f"column `{name}` not used")
            else:
                found[i] = own, rest
        if not found and target:
            values = {i: n for i, n in free.items() if n.replace(" ", "") in _VALUE}
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
        if self.start is not None and self.end is not None:
            both = [self._times(table, column) for column in (self.start, self.end)]
            return taken(clock="interval", times=np.stack(both, axis=1))
        self._check_index(table)
        clock: Clock = "rows" if self.reading.rate is None else "rate"
        return taken(clock=clock, times=np.empty(0), blank=table.blank)

    def _values(self, table: Table) -> dict[Key, np.ndarray]:
        read = {key: table.numbers(column) for column, key in self.targets.items()}
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
            raise ScaleError(
                f"{table.path}: line {table.lines[row]} is {shown(table.rows[row])}; {where} "
                f"({len(outside)} such rows). Values from {least:g} to {most:g} are on another "
                f"scale: --scale {_likely_scale(least, most)}"
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
        return times / 1000 if _bare(self.names[column])[1] == "ms" else times

    def _seconds(self, table: Table) -> np.ndarray:
        assert self.time is not None
        times, unit = self._times(table, self.time), _bare(self.names[self.time])[1]
        back = np.flatnonzero(np.diff(times) <= 0)
        if len(back):
            line = table.lines[int(back[0]) + 1]
            raise LabelError(
                f"{table.path}: line {line} does not come after the line before in time "
                f"({times[back[0]]:g}, then {times[back[0] + 1]:g}); sort the rows, or give each "
                "video and annotator a file of its own"
            )
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        if unit == "" and step >= _SLOWEST:
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

    def _check_index(self, table: Table) -> None:
        """Refuse a column that counts the rows and shows that some were taken out."""
        index = self._first(lambda name: name in _INDEX)
        if index is None or not table.names:
            return
        counted = table.numbers(index)
        jumps = np.flatnonzero(np.diff(counted) != 1)
        if np.isfinite(counted).all() and len(jumps):
            line = table.lines[int(jumps[0]) + 1]
            raise LabelError(
                f"{table.path}: line {line} counts {counted[jumps[0] + 1]:g} after "
                f"{counted[jumps[0]]:g}; rows are missing. Where the first column numbers the "
                f"frames from 0: --columns frame0,{','.join(self.names[1:])}"
            )


def _bare(name: str) -> tuple[str, str]:
    """A name without its unit, and the unit: `time (ms)` and `timestamp_ms` are in ms."""
    words = [word for word in re.split(r"[\s_\-()\[\]/.]+", name) if word]
    units = [_TIME_UNITS[word] for word in words if _TIME_UNITS.get(word)]
    return (words[0] if words else ""), units[-1] if units else ""


def _is_time(name: str) -> bool:
    words = [word for word in re.split(r"[\s_\-()\[\]/.]+", name) if word]
    timely = any(word in _TIME_UNITS for word in words)
    return timely and all(word in (*_TIME_UNITS, "stamp", "video", "in") for word in words)


def _likely_scale(least: float, most: float) -> str:
    scales: Sequence[tuple[float, float]] = (
        (0, 1), (1, 5), (1, 7), (1, 9), (-5, 5), (-10, 10), (0, 10), (-100, 100), (0, 100),
        (-1000, 1000), (0, 1000),
    )  # fmt: skip
    fitting = [(high - low, low, high) for low, high in scales if low <= least and most <= high]
    _, low, high = min(fitting, default=(0, least, most))
    return f"{low:g}..{high:g}"
