"""`vapipe evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..cache.durable import safe_name, slug
from .console import (
    cache_option,
    device_option,
    ensemble_option,
    partition_option,
    show_row,
    show_shares,
    smooth_option,
)

if TYPE_CHECKING:
    from ..cache.store import FeatureStore
    from ..fusion.evaluation.scoring import Evaluation

_WIDTH = 80  # columns of text


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
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
    "noise-video (deviations). Repeat for more. The points are kept in the runs, for `vapipe "
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
@cache_option
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
    cache: Path,
    device: str,
) -> None:
    """Compare the predictions of run folders, frame by frame, with the annotation.

    Several runs are shown side by side. Intervals are 95 % intervals over videos.
    """
    from ..cache.store import FeatureStore
    from ..fusion.evaluation.evaluate import compare, name_runs
    from ..fusion.evaluation.gates import write_gates
    from ..fusion.runs.folder import load_run

    if damages and (out or per_video or gates):
        raise click.UsageError(
            "--corrupt shows curves only; leave out --out, --per-video and --gates"
        )
    store = FeatureStore.open(cache)
    loaded = {name: load_run(path, device) for name, path in name_runs(runs).items()}
    judge = partial(
        compare, loaded, store, partition=partition, ensemble=ensemble, smoothing=smooth
    )
    if damages:
        _show_curves(damages, seed, judge, {n: run.path for n, run in loaded.items()}, as_json)
        return
    results = judge()
    if out:
        _write(results, store, out)
    for name in loaded if gates else ():
        taken = results[name].gates
        if taken is not None:
            write_gates(loaded[name].path, partition, taken)
    if as_json:
        entries = {name: result.to_json() for name, result in results.items()}
        only = next(iter(entries.values())) if len(entries) == 1 else None
        click.echo(json.dumps(only or {"evaluations": entries}, indent=2))
        return
    show_evaluations(results)
    if per_video:
        for name, result in results.items():
            if len(results) > 1:
                click.echo(f"\n{name}")
            _show_videos(result)


def show_evaluation(evaluation: Evaluation) -> None:
    """Print the measures of one evaluation."""
    _show_head(evaluation)
    show_row("", ("valence", "arousal", "mean"))
    for name, cells in _measures(evaluation).items():
        show_row(name, cells)
    _show_conditions([evaluation])


def show_evaluations(results: Mapping[str, Evaluation]) -> None:
    """Print evaluations side by side, measure by measure; name -> evaluation of the same frames."""
    first, *others = results.values()
    if not others:
        show_evaluation(first)
        return
    _show_head(first)
    tables = {name: _measures(result) for name, result in results.items()}
    for measure in next(iter(tables.values())):
        show_row(measure, ("valence", "arousal", "mean"))
        for name, table in tables.items():
            show_row(f"  {name}", table[measure])
    for result in results.values():
        weights = result.conditions.get("ensemble", {}).get("weights", {})
        if weights:
            show_shares(weights)
    _show_conditions(list(results.values()))


def _show_curves(
    damages: Sequence[str],
    seed: int,
    judge: Callable[..., dict[str, Evaluation]],
    folders: Mapping[str, Path],
    as_json: bool,
) -> None:
    """Evaluate, print and record each kind of damage at each severity.

    `judge` is `compare` of the runs, which are in `folders`.
    """
    from ..fusion.evaluation.corruption import KINDS, parse_corruption
    from ..fusion.evaluation.robustness import record_points

    curves = [parse_corruption(text, seed) for text in damages]
    document = []
    for number, corruptions in enumerate(curves):
        kind = corruptions[0].kind
        points = [(c, judge(corruption=c)) for c in corruptions]
        for name, folder in folders.items():
            record_points(folder, [results[name] for _, results in points])
        if as_json:
            document += [
                {"run": name, **{k: v for k, v in result.to_json().items() if k != "per_video"}}
                for _, results in points
                for name, result in results.items()
            ]
            continue
        first = points[0][1]
        if number == 0:
            _show_head(next(iter(first.values())))
        click.echo(f"\n{kind}: {KINDS[kind][1]} (seed {seed}); CCC")
        for name in first:
            show_row(name, ("valence", "arousal", "mean"))
            for corruption, results in points:
                show_row(f"  {corruption.severity:g}", _measures(results[name])["CCC"])
        if number == len(curves) - 1:
            _show_conditions(list(first.values()))
    if as_json:
        click.echo(json.dumps({"curves": document}, indent=2))


def _measures(evaluation: Evaluation) -> dict[str, list[str]]:
    """Measure -> cells for valence, arousal and mean; intervals beside the CCC."""
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
    click.echo(
        f"{evaluation.partition}: {len(evaluation.predictions)} videos, {frames:,} annotated frames"
    )


def _show_conditions(results: Sequence[Evaluation]) -> None:
    """Say what the brackets are, what was done to the predictions, and what to bear in mind."""
    from ..fusion.evaluation.metrics import FEW_VIDEOS

    conditions = [result.conditions for result in results]
    if results[0].intervals:
        videos = len(results[0].moments)
        few = f"; {videos} are few (below {FEW_VIDEOS}): rough" if videos < FEW_VIDEOS else ""
        click.echo(f"[a, b]: 95 % interval over videos{few}")
    else:
        click.echo("no intervals: they need two videos or more")
    smoothing = conditions[0].get("smoothing")
    if smoothing:
        click.echo(f"smoothed: {smoothing['method']} over {smoothing['seconds']:g} s")
    for note in dict.fromkeys(note for entry in conditions for note in entry.get("notes", [])):
        click.echo(click.wrap_text(f"note: {note}", _WIDTH, subsequent_indent="  "))


def _show_videos(evaluation: Evaluation) -> None:
    for video, scores in sorted(
        evaluation.per_video.items(), key=lambda entry: sum(c or 0 for c in entry[1].values())
    ):
        words = (f"{t} {'not annotated' if c is None else f'{c:.3f}'}" for t, c in scores.items())
        click.echo(f"  {video}: {'  '.join(words)}")


def _write(results: Mapping[str, Evaluation], store: FeatureStore, out: Path) -> None:
    """Write each evaluation into a folder of its own, or into `out` where there is one only."""
    from ..fusion.evaluation.evaluate import write_result

    for name, result in results.items():
        folder = name if slug(name) == name else safe_name(name)
        write_result(out if len(results) == 1 else out / folder, result, store)
