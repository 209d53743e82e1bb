"""`vapipe evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import counted
from .completion import RunFolder
from .console import (
    device_option,
    ensemble_option,
    fold,
    partition_option,
    run_cache_option,
    say,
    show_row,
    show_shares,
    smooth_option,
)

if TYPE_CHECKING:
    from ..fusion.evaluation.robustness import Curve
    from ..fusion.evaluation.scoring import Evaluation


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=RunFolder())
@partition_option
@ensemble_option(default=None)
@smooth_option
@click.option(
    "--corrupt",
    "damages",
    multiple=True,
    metavar="KIND=SEVERITY,...",
    help="Damage what the runs are fed and show the CCC by severity, e.g. drop-audio=0,0.5,1. "
    "Kinds: drop-audio, drop-video, occlude-video (shares), shift-audio (frames), noise-audio, "
    "noise-video (in std). Repeat for more. The points are kept in the runs, for `vapipe "
    "report`.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of --corrupt.")
@click.option("--per-video", is_flag=True, help="Print the CCCs of each video too, worst first.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--gates",
    is_flag=True,
    help="Write the heads' gates, frame by frame, into the runs; `vapipe report` shows them.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write the per-frame predictions and the result into; for several runs, a "
    "folder each below it.",
)
@run_cache_option()
@device_option
def evaluate(
    runs: tuple[Path, ...],
    partition: str,
    ensemble: str | None,
    smooth: float,
    damages: tuple[str, ...],
    seed: int,
    per_video: bool,
    as_json: bool,
    gates: bool,
    out: Path | None,
    cache: Path | None,
    device: str,
) -> None:
    """Compare the predictions of run folders, frame by frame, with the annotation.

    Several runs are shown side by side. Intervals are 95 % intervals over videos.
    """
    from ..fusion.runs.recorded import shared_cache

    if damages and (out or per_video or gates):
        raise click.UsageError(
            "--corrupt shows curves only; leave out --out, --per-video and --gates"
        )
    options: dict[str, Any] = {
        "ensemble": ensemble,
        "partition": partition,
        "smoothing": smooth,
        "device": device,
    }
    cache = shared_cache(runs, cache)
    from .. import api

    if damages:
        _show_curves(api.robustness(runs, damages, cache, seed=seed, **options), cache, as_json)
        return
    results = api.evaluate(runs, cache, out=out, gates=gates, **options)
    assert isinstance(results, dict)  # as several runs are
    if as_json:
        entries = {name: result.to_json() for name, result in results.items()}
        only = next(iter(entries.values())) if len(entries) == 1 else None
        document = {"cache": str(cache), **(only or {"evaluations": entries})}
        click.echo(json.dumps(document, indent=2))
        return
    show_evaluations(results)
    if per_video:
        for name, result in results.items():
            if len(results) > 1:
                say(f"\n{name}")
            _show_videos(result)
    say(f"cache: {cache}")


def show_evaluations(results: Mapping[str, Evaluation]) -> None:
    """Print evaluations side by side, measure by measure; name -> evaluation of the same frames."""
    first, *others = results.values()
    _show_head(first)
    if not others:
        show_row("", list(first.ccc))
        for name, cells in _measures(first).items():
            show_row(name, cells)
        _show_conditions([first])
        return
    tables = {name: _measures(result) for name, result in results.items()}
    for measure in next(iter(tables.values())):
        show_row(measure, list(first.ccc))
        for name, table in tables.items():
            show_row(f"  {name}", table[measure])
    for result in results.values():
        weights = result.conditions.get("ensemble", {}).get("weights", {})
        if weights:
            show_shares(weights)
    _show_conditions(list(results.values()))


def _show_curves(curves: Iterable[Curve], cache: Path, as_json: bool) -> None:
    """Print each kind of damage at each severity."""
    from ..fusion.evaluation.corruption import KINDS

    document: list[dict[str, Any]] = []
    first: dict[str, Evaluation] = {}
    for curve in curves:
        if as_json:
            document += [
                {"run": name, **{k: v for k, v in result.to_json().items() if k != "per_video"}}
                for _, results in curve
                for name, result in results.items()
            ]
            continue
        if not first:
            _show_head(next(iter(curve[0][1].values())))
        kind, first = curve[0][0].kind, curve[0][1]
        say(f"\n{kind}: {KINDS[kind][1]} (seed {curve[0][0].seed}); CCC")
        for name in first:
            show_row(name, list(first[name].ccc))
            for corruption, results in curve:
                show_row(f"  {corruption.severity:g}", _measures(results[name])["CCC"])
    if as_json:
        click.echo(json.dumps({"cache": str(cache), "curves": document}, indent=2))
    else:
        _show_conditions(list(first.values()))
        say(f"cache: {cache}")


def _measures(evaluation: Evaluation) -> dict[str, list[str]]:
    """Measure -> cells for the targets and their mean; intervals beside the CCC."""
    bounds = evaluation.intervals
    return {
        "CCC": [
            f"{value:.3f}"
            + (f" [{bounds[target][0]:.2f}, {bounds[target][1]:.2f}]" if bounds else "")
            for target, value in evaluation.ccc.items()
        ],
        "MSE": [f"{value:.4f}" for value in evaluation.mse.values()],
        "PCC": [f"{value:.3f}" for value in evaluation.pcc.values()],
    }


def _show_head(evaluation: Evaluation) -> None:
    frames = max(evaluation.frames.values())
    say(
        f"{evaluation.partition}: {counted(len(evaluation.predictions), 'video')}, "
        f"{counted(frames, 'annotated frame')}"
    )


def _show_conditions(results: Sequence[Evaluation]) -> None:
    """Say what the brackets are, what was done to the predictions, and what to bear in mind."""
    from ..fusion.evaluation.metrics import FEW_VIDEOS

    conditions = [result.conditions for result in results]
    if results[0].intervals:
        videos = len(results[0].moments)
        few = f"; {videos} are few (below {FEW_VIDEOS}): rough" if videos < FEW_VIDEOS else ""
        say(f"[a, b]: 95 % interval over videos{few}")
    else:
        say("no intervals: they need two videos or more")
    smoothing = conditions[0].get("smoothing")
    if smoothing:
        say(f"smoothed: {smoothing['method']} over {smoothing['seconds']:g} s")
    for note in dict.fromkeys(note for entry in conditions for note in entry.get("notes", [])):
        say(fold(f"note: {note}", hang="  "))


def _show_videos(evaluation: Evaluation) -> None:
    for video, scores in sorted(
        evaluation.per_video.items(), key=lambda entry: sum(c or 0 for c in entry[1].values())
    ):
        words = (f"{t} {'not annotated' if c is None else f'{c:.3f}'}" for t, c in scores.items())
        say(f"  {video}: {'  '.join(words)}")
