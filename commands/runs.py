"""`vapipe runs`: what was fitted, and how runs differ."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..fusion.runs.listing import RunSummary


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def runs(paths: tuple[Path, ...], as_json: bool) -> None:
    """List the runs in the folder PATHS, or compare the runs PATHS.

    \b
    vapipe runs                   all runs in vapipe-runs
    vapipe runs DIR               all runs in and below DIR
    vapipe runs RUN RUN ...       their scores, and the options that differ
    """
    from ..fusion.runs.listing import differences, find_runs, summarise_run
    from ..fusion.runs.recorded import RUNS

    found = list(paths) if len(paths) > 1 else find_runs(paths[0] if paths else RUNS)
    options = differences(found) if len(paths) > 1 else {}
    summaries = [summarise_run(path) for path in found]
    if as_json:
        answer = {"runs": [asdict(summary) for summary in summaries]}
        click.echo(json.dumps(answer | ({"differences": options} if options else {}), indent=2))
        return
    _show(summaries)
    if len(paths) > 1:
        _show_differences([path.name for path in found], options)


def _show(summaries: Sequence[RunSummary]) -> None:
    """A line of scores and a line of what it is, per run."""
    for run in summaries:
        if run.streams is None:
            say(f"{run.path}: {run.state}")
            continue
        scores = "  ".join(f"{target} {value:.3f}" for target, value in (run.ccc or {}).items())
        score = f"CCC {scores}" if scores and run.state == "finished" else run.state
        streams = ", ".join(f"{role}={name}" for role, name in run.streams.items())
        say(f"{run.path}: {score}")
        say(
            f"  {run.head} ({run.variant}, {run.targets}) on {streams}; "
            f"split {run.split}; seed {run.seed}; {run.started}"
        )


def _show_differences(names: Sequence[str], options: dict) -> None:
    if not options:
        say("no option differs")
        return
    rows = [["option", *names]]
    rows += [[name, *(_word(value) for value in values)] for name, values in options.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip())


def _word(value: object) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)
