"""The page about a cache: facts and pictures put into the form that `cache_report.js` draws."""

from __future__ import annotations

import base64
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import __version__
from ..cache.report import STATES, CacheReport, Cell, ItemFacts, VideoFacts, scan
from ..cache.store import FeatureStore
from ..cache.timeline import Valid
from ..errors import counted
from ..executor import Limits
from ..extract.failures import read_failures
from .contact_sheets import (
    FACES,
    Sheet,
    choose_items,
    choose_stream,
    make_sheets,
    not_extracted,
)
from .page import Asset, Page, pack_array, write_page

LISTED = 100_000  # items in the table at most; each takes some 60 to 100 bytes of the page
_SECONDS = 300.0  # that a video may take for its sheets
_SHEETS_A_PROCESS = 12  # worth the start of a process
_PROBLEMS = 200  # lines in the list of problems at most
_RATES = 8  # frame rates counted one by one
_BINS = 10  # of histograms
_STEPS_S = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_DAMAGED_FILE = "damaged file"  # a kind of oddity beside those of the times


class _Texts:
    """Texts that repeat, each kept once; numbers from 1, 0 for none."""

    def __init__(self) -> None:
        self._number: dict[str, int] = {"": 0}

    def __call__(self, text: str) -> int:
        return self._number.setdefault(text, len(self._number))

    def all(self) -> list[str]:
        return list(self._number)


class WrittenCacheReport(NamedTuple):
    """What went into a page.

    Attributes:
        items, streams, sheets: how many.
        faces: whether there are faces on the sheets.
        nbytes: size of the page.
    """

    items: int
    streams: int
    sheets: int
    faces: bool
    nbytes: int


def write_cache_report(
    cache: Path,
    out: Path,
    *,
    videos: Path | None = None,
    sheets: int = 24,
    progress: Callable[[float, str, str], None] = lambda share, line, state: None,
) -> WrittenCacheReport:
    """Write the page about a cache.

    Args:
        videos: folder of the videos, for faces on the contact sheets.
        sheets: how many contact sheets at most.
        progress: called after each part with its share of the work, a line to tell or "", and what
            is done.

    Raises:
        CacheError: the folder is no cache, or the page cannot be written.
    """
    read = 0.2  # of the work
    report = scan(cache, lambda total: progress(read / total, "", "reading the cache"))
    failures = {video: failure.reason for video, failure in read_failures(cache).items()}
    unknown = not_extracted(videos, report) if videos else []
    stream = choose_stream(report)
    items = choose_items(report, stream, sheets)
    made: list[Sheet] = []
    n_jobs = max(1, min(len(os.sched_getaffinity(0)), len(items) // _SHEETS_A_PROCESS))
    limits = Limits(lambda task: _SECONDS)
    cut = make_sheets(
        FeatureStore.open(cache), report, items, stream, videos, n_jobs=n_jobs, limits=limits
    )
    for sheet in cut:
        told = {each.note for each in made}
        made.append(sheet)
        new = videos and sheet.note and sheet.note not in told
        note = f"{sheet.item}: {sheet.note}" if new else ""
        progress((1 - read) / len(items), note, sheet.item)
    faces = any(sheet.faces for sheet in made)
    page = make_page(
        report,
        made,
        faces_of=stream.name if stream and faces else "",
        failures=failures,
        unknown=unknown,
    )
    nbytes = write_page(out, page)
    return WrittenCacheReport(len(report.items), len(report.streams), len(made), faces, nbytes)


def make_page(
    report: CacheReport,
    sheets: Sequence[Sheet],
    *,
    faces_of: str,
    failures: Mapping[str, str],
    unknown: Sequence[str],
) -> Page:
    """The page, ready to be written.

    Args:
        sheets: in the order shown.
        faces_of: name of the stream whose faces are shown, "" where there is none.
        failures: video -> why it could not be extracted.
        unknown: names of video files that the cache does not know.
    """
    items = _listed(report.items)
    by_id = {item.id: item for item in report.items}
    texts = _Texts()
    data = {
        "cache": report.status.path,
        "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "version": __version__,
        "totals": _totals(report),
        "listed": len(items),
        "codes": {str(code.value): _name(code) for code in Valid},
        "streams": _streams(report),
        "problems": _problems(report, failures, unknown),
        "durations": _histogram([video.seconds for video in report.videos.values()]),
        "rates": _rates(report.videos.values()),
        "odd": dict(Counter(k for v in report.videos.values() for k, _ in _odd(v)).most_common()),
        "partitions": _partitions(report.items),
        "sheets": [_sheet(sheet, by_id[sheet.item], report) for sheet in sheets],
        "faces": {"of": faces_of, "each": FACES},
        "states": STATES,
    }
    blocks, columns = _table(report, items, texts)
    data["items"] = {**columns, "texts": texts.all()}
    return Page(
        title=f"Cache {report.status.path}",
        body=Asset(__package__, "cache_report.html"),
        data=data,
        blocks=blocks,
        scripts=[Asset(__package__, "cache_report.js"), Asset(__package__, "cache_items.js")],
        plotly=False,
    )


def _listed(items: Sequence[ItemFacts]) -> Sequence[ItemFacts]:
    """All items, or of too many those with the most cells that are not complete."""
    if len(items) <= LISTED:
        return items
    lacking = sorted(items, key=lambda i: sum(cell.state == "complete" for cell in i.cells))
    return sorted(lacking[:LISTED], key=lambda item: item.id)


def _totals(report: CacheReport) -> dict[str, Any]:
    status = report.status
    states = Counter(cell.state for item in report.items for cell in item.cells)
    return {
        "videos": status.videos,
        "items": status.items,
        "frames": status.frames,
        "seconds": status.seconds,
        "nbytes": status.nbytes,
        "quarantine": len(status.quarantine),
        "older": report.older,
        "states": {state: states[state] for state in STATES},
    }


def _streams(report: CacheReport) -> list[dict[str, Any]]:
    counted = {(stream.stream, stream.key): stream for stream in report.status.streams}
    result = []
    for number, stream in enumerate(report.streams):
        cells = [item.cells[number] for item in report.items]
        codes: Counter[int] = Counter()
        for cell in cells:
            codes.update(cell.codes)
        stored = counted.get((stream.name, stream.key))
        states = Counter(cell.state for cell in cells)
        result.append(
            {
                "name": stream.label,
                "key": stream.key[:16],
                "modality": stream.modality,
                "dim": stored.dim if stored else 0,
                "dtype": stored.dtype if stored else "",
                "nbytes": stored.nbytes if stored else 0,
                "shards": stored.shards if stored else 0,
                "states": {state: states[state] for state in STATES},
                "codes": {str(code): rows for code, rows in sorted(codes.items())},
                "found": _found([cell for cell in cells if cell.codes]),
            }
        )
    return result


def _found(cells: Sequence[Cell]) -> list[int]:
    """Items by tenths of usable rows; the last tenth holds those that are usable throughout."""
    shares = [cell.usable / sum(cell.codes.values()) for cell in cells]
    return np.histogram(shares, _BINS, (0, 1))[0].tolist()


def _problems(
    report: CacheReport, failures: Mapping[str, str], unknown: Sequence[str]
) -> dict[str, Any]:
    """Lists of (where, what), cut, with their full lengths."""
    unusable = {
        item.id: "; ".join(
            f"{stream.label}: "
            + ", ".join(f"{n:,} {_name(code)}" for code, n in cell.codes.items())
            for stream, cell in zip(report.streams, item.cells, strict=True)
            if cell.state == "complete" and not cell.usable
        )
        for item in report.items
    }
    unreadable = [
        (item.id, item.video.problem or item.label_problem)
        for item in report.items
        if item.video.problem or item.label_problem
    ]
    lists: dict[str, list[tuple[str, str]]] = {
        "damaged": list(report.damaged.items()),
        "failures": list(failures.items()),
        "unusable": [(item, streams) for item, streams in unusable.items() if streams],
        "unreadable": unreadable,
        "unknown": [(name, "") for name in unknown],
    }
    return {
        kind: {"count": len(lines), "lines": [list(line) for line in lines[:_PROBLEMS]]}
        for kind, lines in lists.items()
    }


def _name(code: int) -> str:
    """A validity code in words."""
    known = code in Valid.__members__.values()
    return Valid(code).name.lower().replace("_", " ") if known else f"code {code}"


def _histogram(seconds: Sequence[float]) -> dict[str, Any]:
    """Counts of durations between round bounds."""
    if not seconds:
        return {"bounds": [], "counts": [], "least": 0, "median": 0, "most": 0}
    most = max(seconds)
    step = next(each for each in _STEPS_S if most / each < _BINS or each == _STEPS_S[-1])
    bounds = np.arange(int(most // step) + 2) * step
    return {
        "bounds": bounds.tolist(),
        "counts": np.histogram(seconds, bounds)[0].tolist(),
        "least": min(seconds),
        "median": float(np.median(seconds)),
        "most": most,
    }


def _rates(videos: Iterable[VideoFacts]) -> list[list[Any]]:
    """[frames per second, videos], the commonest first; the rest under null."""
    counts = Counter(round(video.fps, 2) for video in videos).most_common()
    shown: list[list[Any]] = [[rate, count] for rate, count in counts[:_RATES]]
    rest = sum(count for _, count in counts[_RATES:])
    return [*shown, [None, rest]] if rest else shown


def _odd(video: VideoFacts) -> list[tuple[str, str]]:
    found = [(odd.kind, odd.text) for odd in video.odd]
    return found + [(_DAMAGED_FILE, note) for note in video.media.get("damage", [])]


def _partitions(items: Sequence[ItemFacts]) -> list[dict[str, Any]]:
    groups: dict[str, list[ItemFacts]] = {}
    for item in items:
        groups.setdefault(item.partition or "none", []).append(item)
    return [
        {
            "name": name,
            "items": len(group),
            "rows": sum(item.video.rows for item in group),
            "with": sum(bool(item.labelled) for item in group),
            "labelled": sum(item.labelled or 0 for item in group),
            "problems": sum(bool(item.label_problem) for item in group),
        }
        for name, group in sorted(groups.items())
    ]


def _table(
    report: CacheReport, items: Sequence[ItemFacts], texts: _Texts
) -> tuple[dict[str, str], dict[str, Any]]:
    """Blocks of numbers, and columns of text, an entry per item."""
    shape = len(report.streams), len(items)
    seen = sorted({code for item in items for cell in item.cells for code in cell.codes})
    place = {code: number for number, code in enumerate(seen)}
    states, reasons = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    counts = np.zeros((shape[0], len(seen), shape[1]), np.int32)
    nbytes = np.zeros(len(items))
    odd: dict[int, list[tuple[str, str]]] = {}
    for column, item in enumerate(items):
        if found := _odd(item.video):
            odd[column] = found
        for row, cell in enumerate(item.cells):
            states[row, column] = STATES.index(cell.state)
            reasons[row, column] = texts(cell.reason)
            nbytes[column] += cell.nbytes
            for code, number in cell.codes.items():
                counts[row, place[code], column] = number
    labelled = [-1 if item.labelled is None else item.labelled for item in items]
    blocks: dict[str, np.ndarray] = {
        "states": states,
        "reasons": reasons,
        "counts": counts,
        "nbytes": nbytes,
        "frames": np.array([item.video.rows for item in items], np.int32),
        "fps": np.array([item.video.fps for item in items], np.float64),
        "labelled": np.array(labelled, np.int32),
        "media": np.array([texts(_media(item.video)) for item in items], np.int32),
        "partition": np.array([texts(item.partition or "none") for item in items], np.int32),
        "trouble": np.array(
            [texts(item.video.problem or item.label_problem) for item in items], np.int32
        ),
    }
    columns = {
        "ids": [item.id for item in items],
        "videos": {i: x.video.id for i, x in enumerate(items) if x.video.id != x.id},
        "files": {
            i: x.video.source["name"]
            for i, x in enumerate(items)
            if not x.video.source["name"].startswith(f"{x.video.id}.")
        },
        "odd": odd,
        "codes": seen,
    }
    return {name: pack_array(values) for name, values in blocks.items()}, columns


def _media(video: VideoFacts) -> str:
    """Codec, size and sound in words."""
    picture, sound = video.media.get("video"), video.media.get("audio")
    if not picture:
        return ""
    heard = (
        f"{sound.get('codec')} sound of {sound.get('rate')} Hz, "
        f"{counted(sound.get('channels') or 0, 'channel')}"
        if sound
        else "no sound"
    )
    return f"{picture.get('codec')} {picture.get('width')} x {picture.get('height')}, {heard}"


def _sheet(sheet: Sheet, item: ItemFacts, report: CacheReport) -> dict[str, Any]:
    counts = {
        stream.label: cell.codes for stream, cell in zip(report.streams, item.cells, strict=True)
    }
    return {
        "item": sheet.item,
        "rows": sheet.rows,
        "seconds": sheet.seconds,
        "note": sheet.note,
        "codes": dict(sheet.codes),
        "counts": {label: counts[label] for label in sheet.codes},
        "sound": _embedded(sheet.sound),
        "faces": [
            [face.row, face.time, face.code, face.track, _embedded(face.jpeg)]
            for face in sheet.faces
        ],
    }


def _embedded(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" if jpeg else ""
