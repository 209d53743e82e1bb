"""Figures for papers: what runs predicted, weighed and withstood, as PDF, SVG or PNG.

Here is what goes into a figure, and its file; `figure_panels` draws.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import math
import string
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..cache.durable import write_bytes
from ..errors import ConfigError, MissingPackageError, counted
from . import figure_panels as panels
from . import measures
from .measures import density
from .records import RunRecord, gates_command, video_ccc
from .truth import VideoTruth, read_runs

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

DRAWINGS = {
    "trajectories": "predictions against the annotation over time",
    "gates": "the weights of the head's gates over time",
    "gate-histograms": "how often each weight occurs over all frames",
    "plane": "where frames lie in the plane of valence and arousal",
    "robustness": "CCC under the damages that `vapipe evaluate --corrupt` measured",
}
WIDTHS = {"single": 3.5, "double": 7.16}  # inches: one and both columns of IEEE's pages
FORMATS = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}, ".png": {}}
_DPI = 300
_PAGE = 9.5  # inches of text on a page
STYLE = {
    "font.size": 7,
    "axes.titlesize": 7,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "lines.linewidth": 0.9,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,  # TrueType, embedded: journals refuse Type 3
    "svg.fonttype": "path",  # outlines: looks the same without the font
    "svg.hashsalt": "vapipe",
}


@dataclass(frozen=True)
class Section:
    """A part of a figure.

    Attributes:
        title: above it, where there are several.
        height: inches, without the title.
        draw: puts it on a subfigure.
    """

    title: str
    height: float
    draw: Callable[[SubFigure], None]


@dataclass(frozen=True)
class Drawn:
    """A figure that was written.

    Attributes:
        path: the file.
        inches: width and height.
        drawings: what is in it, names of `DRAWINGS`.
        videos: whose trajectories and gates are shown.
        notes: what is missing from it, and what makes it.
    """

    path: Path
    inches: tuple[float, float]
    drawings: list[str]
    videos: list[str]
    notes: list[str] = field(default_factory=list)


def write_figure(
    runs: Sequence[Path],
    out: Path,
    *,
    drawings: Sequence[str] = (),
    partition: str = "validation",
    videos: Sequence[str] = (),
    span: tuple[float, float] | None = None,
    width: str = "double",
    labels: Sequence[str] = (),
    cache: Path | None = None,
) -> Drawn:
    """Draw runs for a paper, at the size of print.

    Args:
        out: the file; its suffix says the format.
        drawings: names of `DRAWINGS`, from top to bottom; empty means all that the runs have.
        videos: whose trajectories and gates are drawn; empty takes the one whose CCC, the mean
            over runs and targets, is the median.
        span: seconds of the file's clock that are drawn of these, from and to; None is all.
        width: `single` or `double` column.
        labels: what the figure calls the runs; empty means the names of their folders.
        cache: where the cache lies; None takes the path that each run recorded.

    Raises:
        ConfigError: matplotlib is missing, options that cannot be, runs that cannot be read or
            compared, or runs without what was asked for.
    """
    matplotlib = _import_matplotlib()
    _check(out, drawings, width, span)
    records, truth = read_runs(runs, partition, cache)
    records = _rename(records, labels)
    shown = [_within(item, span) for item in _choose(records, truth, videos)]
    sections: list[Section] = []
    notes: list[str] = []
    contents = []
    for name in drawings or DRAWINGS:
        own, lacking = _sections(name, records, truth, shown, width)
        if not own and drawings:
            raise ConfigError(f"there is nothing to draw as {name}: {'; '.join(lacking)}")
        sections += own
        notes += [note for note in lacking if note not in notes]
        contents += [name] if own else []
    if len(sections) > 1:
        sections = [
            dataclasses.replace(section, title=f"({letter}) {section.title}")
            for letter, section in zip(_letters(), sections, strict=False)
        ]
    if sum(section.height for section in sections) > _PAGE:
        notes.append(f"the figure is higher than a page ({_PAGE} inches); --draw chooses parts")
    size = WIDTHS[width], sum(section.height for section in sections)
    with matplotlib.rc_context(STYLE):
        page = compose(sections, size)
        target = io.BytesIO()
        suffix = out.suffix.lower()
        page.savefig(target, format=suffix[1:], dpi=_DPI, metadata=FORMATS[suffix])
    write_bytes(out, target.getvalue())
    return Drawn(out, size, contents, [row.item.video for row in shown], notes)


def _import_matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError as error:
        raise MissingPackageError("`vapipe figure`", error, "figures") from error
    return matplotlib


def _check(
    out: Path, drawings: Sequence[str], width: str, span: tuple[float, float] | None
) -> None:
    if out.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"{out}: the suffix says the format of a figure and may be {', '.join(FORMATS)}"
        )
    unknown = [name for name in drawings if name not in DRAWINGS]
    if unknown:
        raise ConfigError(f"nothing is drawn as {unknown[0]}; there are: {', '.join(DRAWINGS)}")
    if width not in WIDTHS:
        raise ConfigError(f"a figure is as wide as a {' or '.join(WIDTHS)} column, not `{width}`")
    if span is not None and not span[0] < span[1]:
        raise ConfigError(f"seconds run from less to more; got {span[0]:g} to {span[1]:g}")


def _rename(records: Sequence[RunRecord], labels: Sequence[str]) -> list[RunRecord]:
    if labels and len(labels) != len(records):
        raise ConfigError(
            f"{counted(len(labels), 'label')} for {counted(len(records), 'run')}; give one for "
            "each, in their order"
        )
    return [
        dataclasses.replace(record, name=label)
        for record, label in zip(records, labels or [r.name for r in records], strict=True)
    ]


def _choose(
    records: Sequence[RunRecord], truth: Sequence[VideoTruth], videos: Sequence[str]
) -> list[VideoTruth]:
    """The items of the videos, in their order."""
    known = {item.video: item for item in truth}
    unknown = [video for video in videos if video not in known]
    if unknown:
        raise ConfigError(
            f"{unknown[0]} is none of the {counted(len(known), 'video')} that the runs were "
            f"evaluated on: {', '.join(list(known)[:5])}{', ...' if len(known) > 5 else ''}"
        )
    if videos:
        return [known[video] for video in videos]
    judged = [item for item in truth if math.isfinite(video_ccc(records, item.video))]
    ranked = sorted(judged, key=lambda item: (video_ccc(records, item.video), item.video))
    return [ranked[len(ranked) // 2]]


def _within(item: VideoTruth, span: tuple[float, float] | None) -> panels.Stretch:
    if span is None:
        return panels.Stretch(item, slice(None))
    rows = np.flatnonzero((item.pts >= span[0]) & (item.pts <= span[1]))
    if not len(rows):
        raise ConfigError(
            f"no frame of {item.video} lies between {span[0]:g} and {span[1]:g} s; it runs from "
            f"{item.pts[0]:.2f} to {item.pts[-1]:.2f} s"
        )
    return panels.Stretch(item, slice(rows[0], rows[-1] + 1))


def _sections(
    name: str,
    records: Sequence[RunRecord],
    truth: Sequence[VideoTruth],
    shown: Sequence[panels.Stretch],
    width: str,
) -> tuple[list[Section], list[str]]:
    """The parts of the figure that a drawing consists of, and what runs lack for it."""
    if name == "trajectories":
        return [
            Section(row.item.video, 2.1, partial(panels.trajectories, records, row))
            for row in shown
        ], []
    if name == "plane" and not {"valence", "arousal"} <= {*records[0].targets}:
        return [], [f"the runs predict {', '.join(records[0].targets)}, and no plane of them"]
    if name == "plane":
        planes = [
            (n, np.array(density(own, records[0].targets)))
            for n, own in measures.planes(records, truth)
        ]
        across = 4 if width == "double" else 2
        lines = math.ceil(len(planes) / across)
        height = 0.35 + lines * WIDTHS[width] / (across + 0.4)  # with room for the scale
        return [
            Section(
                "valence and arousal of all frames", height, partial(panels.plane, planes, across)
            )
        ], []
    if name == "robustness":
        having = [record for record in records if record.points]
        kinds = panels.kinds(having)
        across = min(len(kinds), 4 if width == "double" else 2)
        lines = len(records[0].targets) * math.ceil(len(kinds) / max(across, 1))
        height = 0.4 + 1.25 * lines
        draw = partial(panels.robustness, having, kinds, across)
        return [Section("robustness", height, draw)] if having else [], [
            f"{record.name} has no robustness curve; `vapipe evaluate {record.path} --partition "
            f"{record.evaluation['partition']} --corrupt drop-audio=0,0.5,1` measures one"
            for record in records
            if not record.points
        ]
    return _gate_sections(name, records, shown)


def _gate_sections(
    name: str, records: Sequence[RunRecord], shown: Sequence[panels.Stretch]
) -> tuple[list[Section], list[str]]:
    sections, notes = [], []
    for record in records:
        grid = panels.gate_grid(record)
        if record.gates is None:
            notes.append(f"{record.name} has no gates stored; `{gates_command(record)}`")
        elif not grid:
            notes.append(f"{record.name} has a head without gates ({record.config['head']})")
        elif name == "gate-histograms":
            height = 0.5 + 0.8 * len(grid)
            draw = partial(panels.gate_histograms, record, grid)
            sections.append(Section(f"{record.name}: gates, all frames", height, draw))
        else:
            height = 0.5 + 0.7 * len(grid)
            sections += [
                Section(
                    f"{record.name}: gates, {row.item.video}",
                    height,
                    partial(panels.gates, record, grid, row),
                )
                for row in shown
            ]
    return sections, notes


def _letters() -> Iterator[str]:
    """a, b, ..., z, aa, ab, ..."""
    for length in itertools.count(1):
        yield from map("".join, itertools.product(string.ascii_lowercase, repeat=length))


def compose(sections: Sequence[Section], size: tuple[float, float]) -> Figure:
    """Draw the sections one below the other; `size` is width and height in inches."""
    from matplotlib.figure import Figure

    page = Figure(figsize=size, layout="constrained")
    heights = [section.height for section in sections]
    parts = page.subfigures(len(sections), 1, height_ratios=heights, squeeze=False)[:, 0]
    for section, part in zip(sections, parts, strict=True):
        if len(sections) > 1:
            part.suptitle(section.title, fontsize=7, fontweight="bold", x=0.01, ha="left")
        section.draw(part)
    return page
