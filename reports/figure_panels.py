"""The drawings of a figure, each onto a subfigure of matplotlib's.

Colours are those of Okabe and Ito, which differ also for colour-blind readers and in grey.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..fusion.evaluation.corruption import KINDS
from .records import RunRecord, frame_gates
from .series import describe_gates
from .truth import VideoTruth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_TRUTH = "#000000"
_WIDE = 5.0  # inches, from which a legend and a title stand in one line
# What a severity counts, by the first word of the damage.
_SEVERITY = {
    "drop": "share of frames",
    "occlude": "share of frames",
    "shift": "frames",
    "noise": "std",
}


@dataclass(frozen=True)
class Stretch:
    """Rows of a video that are drawn."""

    item: VideoTruth
    rows: slice


@dataclass(frozen=True)
class GatePanel:
    """One gate of one network.

    Attributes:
        network: valence, arousal or joint.
        gate: its name.
        names: what its columns weigh.
        columns: where they are among a run's gates.
    """

    network: str
    gate: str
    names: list[str]
    columns: slice


def trajectories(records: Sequence[RunRecord], shown: Stretch, figure: SubFigure) -> None:
    """Predictions against the annotation, a target above the other; gaps stay gaps."""
    targets = records[0].targets
    axes = figure.subplots(len(targets), 1, sharex=True, squeeze=False)[:, 0]
    times = shown.item.pts[shown.rows]
    for column, (target, panel) in enumerate(zip(targets, axes, strict=True)):
        truth = shown.item.labels[shown.rows, column]
        panel.plot(times, truth, color=_TRUTH, linewidth=1.3, label="annotation")
        for index, record in enumerate(records):
            values = record.predictions[shown.item.video][shown.rows, column]
            panel.plot(times, values, color=COLOURS[index % 6], label=record.name)
        panel.axhline(0, color="0.8", linewidth=0.5, zorder=0)
        panel.set_ylim(-1, 1)
        panel.set_yticks([-1, 0, 1])
        panel.set_ylabel(target)
        panel.margins(x=0)
    axes[-1].set_xlabel("time (s)")
    _legend(figure, axes[0])


def gate_grid(record: RunRecord) -> list[list[GatePanel]]:
    """The gates of a run's head: a row for each gate, in it a panel for each network."""
    if record.gates is None:
        return []
    config, roles = record.config, list(record.cache["streams"])
    described = describe_gates(record.gates, config["head"], config.get("variant", ""), roles)
    rows: dict[str, list[GatePanel]] = {}
    first = 0
    for entry in described:
        columns = slice(first, first + len(entry["columns"]))
        first = columns.stop
        panel = GatePanel(entry["network"], entry["gate"], entry["columns"], columns)
        rows.setdefault(panel.gate, []).append(panel)
    return list(rows.values())


def gates(
    record: RunRecord, grid: Sequence[Sequence[GatePanel]], shown: Stretch, figure: SubFigure
) -> None:
    """The weights of every gate over time."""
    values = frame_gates(record, shown.item.video)
    axes = _gate_axes(grid, figure)
    for panels, row in zip(grid, axes, strict=True):
        for panel, ax in zip(panels, row, strict=True):
            for index, name in enumerate(panel.names):
                ax.plot(
                    shown.item.pts[shown.rows],
                    values[shown.rows, panel.columns][:, index],
                    color=COLOURS[index % 7],
                    label=name,
                )
            ax.margins(x=0)
    for ax in axes[-1]:
        ax.set_xlabel("time (s)")
    _gate_legend(figure, grid, axes)


def gate_histograms(
    record: RunRecord, grid: Sequence[Sequence[GatePanel]], figure: SubFigure
) -> None:
    """How often each weight occurs, over all frames of the partition."""
    values = np.concatenate([frame_gates(record, video) for video in record.predictions])
    values = values.astype(np.float64)
    axes = _gate_axes(grid, figure, sharex=False)
    for panels, row in zip(grid, axes, strict=True):
        for panel, ax in zip(panels, row, strict=True):
            own = values[:, panel.columns]
            edges = np.linspace(own.min(), max(own.max(), own.min() + 1e-3), 41)
            for index, name in enumerate(panel.names):
                ax.hist(
                    own[:, index],
                    bins=edges,
                    histtype="stepfilled",
                    facecolor=(*_rgb(COLOURS[index % 7]), 0.25),
                    edgecolor=COLOURS[index % 7],
                    linewidth=0.8,
                    label=name,
                )
            ax.set_yticks([])
            ax.spines["left"].set_visible(False)
    for ax in axes[-1]:
        ax.set_xlabel("weight")
    _gate_legend(figure, grid, axes)


def plane(found: Sequence[tuple[str, np.ndarray]], across: int, figure: SubFigure) -> None:
    """Densities in the plane, with one scale of colours."""
    from matplotlib.colors import LogNorm

    down = -(-len(found) // across)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    edges = np.linspace(-1, 1, len(found[0][1]) + 1)
    norm = LogNorm(0.4, max(counts.max() for _, counts in found))  # one frame is no white
    for index, ax in enumerate(axes.flat):
        if index >= len(found):
            ax.set_visible(False)
            continue
        name, counts = found[index]
        mesh = ax.pcolormesh(
            edges,
            edges,
            np.ma.masked_equal(counts, 0),
            norm=norm,
            cmap="Blues",
            edgecolors="face",  # else viewers show hairs between the cells
            linewidth=0.1,
        )
        ax.set_title(name)
        ax.set_aspect("equal")
        ax.set_xticks([-1, 0, 1])
        ax.set_yticks([-1, 0, 1])
        ax.axhline(0, color="0.7", linewidth=0.5, zorder=0)
        ax.axvline(0, color="0.7", linewidth=0.5, zorder=0)
        if index % across == 0:
            ax.set_ylabel("arousal")
        if index + across >= len(found):
            ax.set_xlabel("valence")
            ax.tick_params(labelbottom=True)
    last = axes.flat[min(len(found), across) - 1]
    bar = figure.colorbar(mesh, cax=last.inset_axes((1.06, 0, 0.05, 1)), label="frames")
    bar.ax.set_ylim(1, norm.vmax)
    for part in bar.ax.collections:
        part.set(rasterized=False, edgecolor="face")


def kinds(records: Sequence[RunRecord]) -> list[str]:
    """The damages that any of the runs was measured under, in the order of `KINDS`."""
    measured = {point["corruption"]["kind"] for record in records for point in record.points}
    return [kind for kind in KINDS if kind in measured]


def robustness(
    records: Sequence[RunRecord], measured: Sequence[str], across: int, figure: SubFigure
) -> None:
    """CCC by severity with its interval: a column for each damage, a row for each target."""
    blocks = -(-len(measured) // across)
    targets = records[0].targets
    axes = figure.subplots(len(targets) * blocks, across, sharey="row", squeeze=False)
    for ax in axes.flat:
        ax.set_visible(False)
    for number, kind in enumerate(measured):
        for row, target in enumerate(targets):
            ax = axes[len(targets) * (number // across) + row, number % across]
            ax.set_visible(True)
            for index, record in enumerate(records):
                _curve(ax, record, kind, target, index)
            if row == 0:
                ax.set_title(kind)
            if row < len(targets) - 1:
                ax.tick_params(labelbottom=False)
            else:
                ax.set_xlabel(severity_unit(kind))
            if number % across == 0:
                ax.set_ylabel(f"CCC, {target}")
    _legend(figure, axes[0, 0])


def severity_unit(kind: str) -> str:
    """What the severity of a damage counts."""
    return _SEVERITY[kind.partition("-")[0]]


def _curve(ax: Axes, record: RunRecord, kind: str, target: str, index: int) -> None:
    found: dict[float, list[Mapping[str, Any]]] = {}
    for point in record.points:
        if point["corruption"]["kind"] == kind and not point.get("smoothing"):
            found.setdefault(point["corruption"]["severity"], []).append(point)
    severity = sorted(found)
    values = [np.mean([p["ccc"][target] for p in found[s]]) for s in severity]  # over seeds
    colour = COLOURS[index % 7]
    ax.plot(
        severity,
        values,
        color=colour,
        linestyle=_DASHES[index % 4],
        marker=_MARKERS[index % 7],
        markersize=3,
        label=record.name,
    )
    bounds = [found[s][0].get("ccc_interval") for s in severity if len(found[s]) == 1]
    if severity and len(bounds) == len(severity) and all(bounds):
        low, high = zip(*(pair[target] for pair in bounds if pair), strict=True)
        ax.fill_between(severity, low, high, color=colour, alpha=0.12, linewidth=0)


def _gate_axes(grid: Sequence[Sequence[GatePanel]], figure: SubFigure, sharex: bool = True) -> Any:
    """Axes [gates, networks]; networks are named above, gates at the left."""
    axes = figure.subplots(
        len(grid), len(grid[0]), sharex=sharex, sharey="row" if sharex else False, squeeze=False
    )
    for panel, ax in zip(grid[0], axes[0], strict=True):
        ax.set_title("both targets" if panel.network == "joint" else panel.network)
    for panels, row in zip(grid, axes, strict=True):
        row[0].set_ylabel(panels[0].gate.replace(" ", "\n"))
    return axes


def _gate_legend(figure: SubFigure, grid: Sequence[Sequence[GatePanel]], axes: Any) -> None:
    """One legend: of the gate with the most columns, whose names begin as those of the others."""
    widest = max(range(len(grid)), key=lambda row: len(grid[row][0].names))
    _legend(figure, axes[widest, 0])


def _legend(figure: SubFigure, ax: Axes) -> None:
    """Above at the right, or in a single column, where the title needs that room, below."""
    handles, names = ax.get_legend_handles_labels()
    if len(names) < 2:
        return
    wide = figure.bbox_relative.width * figure.get_figure(root=True).get_figwidth() > _WIDE
    if wide:
        figure.legend(handles, names, loc="outside upper right", ncols=min(len(names), 6))
    else:
        figure.legend(handles, names, loc="outside lower center", ncols=min(len(names), 3))


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
