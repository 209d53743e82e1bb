"""`vapipe sweep`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .console import PARTLY, cache_option, progress_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..fusion.papers.sweep import Result
    from ..fusion.papers.table import Row


@click.command()
@click.option("--heads", required=True, metavar="NAME[:VARIANT],...", help="Heads to compare.")
@click.option("--folds", metavar="0-2 or 0,3", help="Folds of the split [default: one].")
@click.option("--seeds", default=1, show_default=True, help="Fits per fold: seeds 0, 1, ...")
@click.option("--split", help="As for fit [default: aff-wild2 where --folds is given].")
@click.option(
    "--grid",
    multiple=True,
    metavar="OPTION=V1,V2",
    help="Vary an option, e.g. learning_rate=1e-4,3e-4; repeat for more.",
)
@click.option("--set", "changes", multiple=True, metavar="OPTION=VALUE", help="As for fit.")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML or JSON file with what all fits share.",
)
@click.option("--baseline", help="Row to compare with [default: the first].")
@click.option("--devices", default="auto", show_default=True, metavar="cuda:0,cuda:1")
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    help="Fits at once [default: one per device, or per two cores].",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="vapipe-sweep",
    show_default=True,
    help="Folder of the runs and tables; the same command goes on where it stopped.",
)
@cache_option
def sweep(
    heads: str,
    folds: str | None,
    seeds: int,
    split: str | None,
    grid: tuple[str, ...],
    changes: tuple[str, ...],
    file: Path | None,
    baseline: str | None,
    devices: str,
    jobs: int | None,
    out: Path,
    cache: Path,
) -> None:
    """Fit heads x options x folds x seeds and compare them in one table.

    Finished fits are kept, interrupted ones go on, failed ones are listed (exit code 3).
    """
    from ..cache.store import FeatureStore
    from ..fusion.config import FitConfig
    from ..fusion.papers.sweep import plan_sweep, run_sweep, write_results
    from ..fusion.papers.table import tabulate
    from ..fusion.typed import read_value

    chosen = _numbers(folds) if folds else []
    varied = {
        option: [read_value(each) for each in values.split(",")]
        for option, values in _pairs("--grid", grid)
    }
    base = (FitConfig.load(file) if file else FitConfig()).changed(
        {option: read_value(value) for option, value in _pairs("--set", changes)}
    )
    if split or folds:
        base = base.changed({"split": split or "aff-wild2"})
    where = devices.split(",")
    cores = os.cpu_count() or 1
    jobs = jobs or (len(where) if where != ["auto"] else max(1, cores // 2))
    tasks = plan_sweep(
        FeatureStore.open(cache),
        base,
        out=out,
        heads=heads.split(","),
        grid=varied,
        folds=chosen,
        seeds=range(seeds),
        devices=where,
        threads=max(1, cores // jobs),
    )
    click.echo(f"{len(tasks)} fits in {out}, {jobs} at once")
    results: list[Result] = []
    try:
        with progress_lines(len(tasks), "fits") as step:

            def show(result: Result) -> None:
                results.append(result)
                step(1, _line(result), f"{len(results)}/{len(tasks)} fits")

            ordered = run_sweep(tasks, jobs=jobs, report=show)
    except KeyboardInterrupt:
        click.echo(
            f"stopped: {len(results)} of {len(tasks)} fits are done and stay in {out}; the same "
            "command goes on",
            err=True,
        )
        sys.exit(PARTLY)
    write_results(out, ordered)
    rows = tabulate(ordered, baseline or tasks[0].label)
    _write_tables(out, rows)
    _show_table(rows)
    click.echo(f"tables: {out}/table.csv, table.md, table.tex; every run is a folder in {out}")
    failed = [result for result in ordered if result.ccc is None]
    for result in failed:
        click.echo(f"  {result.task.folder.name}: {result.problem}", err=True)
        if result.trace:
            click.echo(result.trace, err=True)
    if failed:
        sys.exit(PARTLY)


def _pairs(option: str, given: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"{option} {each}: expected OPTION=VALUE")
        pairs.append((name, value))
    return pairs


def _numbers(text: str) -> list[int]:
    """`0-2` or `0,3` as numbers."""
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
    except ValueError:
        raise click.UsageError(f"--folds {text}: expected numbers such as 0-2 or 0,3") from None
    return numbers


def _line(result: Result) -> str:
    task = result.task
    name = f"  {task.label}, fold {task.fold}, seed {task.seed}"
    if result.ccc is None:
        return f"{name}: failed"
    scores = "  ".join(f"{target} {value:.3f}" for target, value in result.ccc.items())
    return f"{name}: CCC {scores}{' (finished before)' if result.earlier else ''}"


def _write_tables(out: Path, rows: Sequence[Row]) -> None:
    from ..cache.durable import write_bytes
    from ..fusion.papers.table import to_csv, to_latex, to_markdown

    for suffix, text in (("csv", to_csv), ("md", to_markdown), ("tex", to_latex)):
        write_bytes(out / f"table.{suffix}", text(rows).encode())


def _show_table(rows: Sequence[Row]) -> None:
    from ..fusion.papers.published import NOTE
    from ..fusion.papers.table import HEADINGS, STATISTICS, cells

    columns = list(zip(HEADINGS, *map(cells, rows), strict=True))
    known = [column for column in columns[1:] if any(column[1:])]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for lines in lay_out([columns[0], *known], room):
        click.echo("\n".join(lines) + "\n")
    click.echo(click.wrap_text(STATISTICS, 79))
    if any(row.published for row in rows):
        click.echo(click.wrap_text(NOTE, 79))


def lay_out(columns: Sequence[Sequence[str]], room: int | None) -> list[list[str]]:
    """Lay columns of text side by side, each right-aligned but the first.

    Args:
        columns: heading and cells, top to bottom.
        room: characters in a line; columns beyond it go into a further table, which repeats the
            first column. None for any.

    Returns:
        The lines of each table.
    """
    widths = [max(map(len, column)) for column in columns]
    tables: list[list[int]] = []
    used = 0
    for i in range(1, len(columns)):
        used += 2 + widths[i]
        if not tables or (room is not None and used > room):
            tables.append([0])
            used = widths[0] + 2 + widths[i]
        tables[-1].append(i)
    return [
        [
            "  ".join(
                columns[i][row].rjust(widths[i]) if i else columns[i][row].ljust(widths[i])
                for i in table
            ).rstrip()
            for row in range(len(columns[0]))
        ]
        for table in tables
    ]
