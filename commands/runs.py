"""`vapipe runs`: what was fitted, and how runs differ."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from .completion import RunFolder
from .console import say, show_table

_SHOWN = ("head", "variant", "streams", "split", "targets", "seed", "started")


class _Runs(click.Group):
    """`list`, unless another command is named."""

    def in_full(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Words behind `runs` with the command that they leave out."""
        named = bool(args) and args[0] in {*self.commands, *ctx.help_option_names}
        return args if named else ["list", *args]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, self.in_full(ctx, args))


@click.group(cls=_Runs)
def runs() -> None:
    """List runs as a table, or compare some.

    \b
    vapipe runs                      those in vapipe-runs, as `vapipe runs list`
    vapipe runs DIR --sort mean      those in and below DIR, the best first
    vapipe runs compare RUN RUN      in what they differ, and what it did
    """


@runs.command("list")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--where",
    "conditions",
    multiple=True,
    metavar="COLUMN=PATTERN",
    help="Only such runs, e.g. head=*jca, mean>0.5 or batch<12; repeat for more. Columns are those "
    "of the table and all options of `fit`.",
)
@click.option("--sort", metavar="COLUMN", help="In which order; numbers from the highest down.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV with a column for every option.")
def list_(
    paths: tuple[Path, ...],
    conditions: tuple[str, ...],
    sort: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """List the runs in and below the folders PATHS [default: vapipe-runs]."""
    from ..fusion.runs.listing import choose_runs, columns, find_runs, summarise_run
    from ..fusion.runs.recorded import RUNS

    if as_json and as_csv:
        raise click.UsageError("--json and --csv: choose one")
    found = dict.fromkeys(run for path in paths or (RUNS,) for run in find_runs(path))
    chosen = choose_runs([summarise_run(path) for path in found], conditions, sort)
    if as_json:
        click.echo(json.dumps({"runs": [asdict(run) for run in chosen]}, indent=2))
        return
    rows = [columns(run) for run in chosen]
    if as_csv:
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _csv(cell) for name, cell in row.items()} for row in rows)
        return
    if not rows:
        say(f"none of the runs meets {', '.join(conditions)}")
        return
    _show(rows, list(dict.fromkeys(target for run in chosen for target in run.ccc or {})))


@runs.command()
@click.argument("paths", nargs=-1, required=True, metavar="RUN RUN ...", type=RunFolder())
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def compare(paths: tuple[Path, ...], as_json: bool) -> None:
    """Compare runs with the first of them: what differs in them, and what it did to the scores."""
    from ..fusion.runs.compare import compare_runs

    if len(paths) < 2:
        raise click.UsageError("name two runs or more; `vapipe runs` lists them")
    found = compare_runs(paths)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
        return
    rows = [["", *(path.name for path in paths)]]
    for target, scores in found.scores.items():
        rows.append([f"CCC {target}", *(_gain(score, scores[0]) for score in scores)])
    rows.append(
        [
            "videos better",
            "-",
            *(
                "-" if better is None else f"{better} of {videos}"
                for better, videos in list(zip(found.better, found.videos, strict=True))[1:]
            ),
        ]
    )
    for name, values in {**found.options, **found.made}.items():
        rows.append([name, *(_word(value) for value in values)])
    show_table(rows)
    if not found.options:
        say("no option differs")
    if "validation videos" in found.made or "data" in found.made:
        say("these scores are of different data: other videos, annotations or features")


def _show(rows: Sequence[dict[str, Any]], targets: Sequence[str]) -> None:
    """A table of what differs, and a line of what all have in common."""
    same = {
        name: rows[0][name] for name in _SHOWN if all(row[name] == rows[0][name] for row in rows)
    }
    others = [name for name in _SHOWN if name not in same]
    table = [["run", *targets, *others]]
    for row in rows:
        if row["state"] == "finished":
            scores = [f"{row[t]:.3f}" if t in row else "-" for t in targets]
        else:
            state = row["state"].partition(" (")[0]
            scores = [state, *[""] * (len(targets) - 1)]
        table.append([row["run"], *scores, *(_word(row[name]) for name in others)])
    if not targets:
        table[0].insert(1, "state")
    show_table(table)
    for row in rows:
        if " (" in row["state"]:
            say(f"{row['run']}: {row['state']}")
    if same:
        facts = "; ".join(f"{name} {_word(value)}" for name, value in same.items())
        say(f"all: {facts}" if len(rows) > 1 else facts)
    say("scores are validation CCC; `vapipe runs compare RUN RUN` shows what differs")


def _gain(score: float | None, first: float | None) -> str:
    if score is None:
        return "-"
    if first is None or score == first:
        return f"{score:.3f}"
    return f"{score:.3f} ({score - first:+.3f})"


def _word(value: object) -> str:
    if isinstance(value, list) and len(value) > 3:
        return f"{len(value)} of them"
    if isinstance(value, str):
        return value[:8] if len(value) == 64 and value.isalnum() else value or "-"
    return "-" if value is None else json.dumps(value)


def _csv(cell: object) -> object:
    return json.dumps(cell) if isinstance(cell, (list, tuple)) else cell
