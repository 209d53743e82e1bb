"""`vapipe sweep`."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import PARTLY, cache_option, progress_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..fusion.papers.sweep import Result
    from ..fusion.papers.table import Summary


@click.command()
@click.option(
    "--heads",
    metavar="NAME[:VARIANT-OR-PRESET],...",
    help="Heads to compare, e.g. grjca,grjca:paper,transformer:ctyunai.",
)
@click.option("--folds", metavar="0-2 or 0,3", help="Folds of the split [default: one].")
@click.option(
    "--seeds", type=click.IntRange(min=1), help="Fits per fold: seeds 0, 1, ... [default: one]."
)
@click.option("--split", help="As for fit [default: aff-wild2 where --folds is given].")
@click.option(
    "--grid",
    multiple=True,
    metavar="OPTION=V1,V2",
    help="Vary an option, e.g. learning_rate=1e-4,3e-4 or tcn_kernels=[5],[3,5,7]; repeat for "
    "more. fold, seed and head act as --folds, --seeds and --heads.",
)
@click.option("--per-fold", is_flag=True, help="A row of the table for every fold.")
@click.option("--set", "changes", multiple=True, metavar="OPTION=VALUE", help="As for fit.")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML or JSON file with what all fits share.",
)
@click.option("--baseline", help="Row to compare with [default: the first].")
@click.option("--devices", metavar="cuda:0,cuda:1", help="Where fits run, in turn [default: auto].")
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
    heads: str | None,
    folds: str | None,
    seeds: int | None,
    split: str | None,
    grid: tuple[str, ...],
    per_fold: bool,
    changes: tuple[str, ...],
    file: Path | None,
    baseline: str | None,
    devices: str | None,
    jobs: int | None,
    out: Path,
    cache: Path,
) -> None:
    """Fit heads x options x folds x seeds and compare them in one table.

    Finished fits are kept, interrupted ones go on, failed ones are listed (exit code 3).
    """
    from ..cache.store import FeatureStore
    from ..fusion.acting import own_options
    from ..fusion.config import FitConfig, typed_option
    from ..fusion.papers.sweep import cross, plan_sweep, run_sweep, write_results
    from ..fusion.papers.table import by_fold, by_row, tabulate
    from ..fusion.typed import read_value, read_values

    varied = {option: read_values(values) for option, values in _pairs("--grid", grid)}
    shared = {option: read_value(value) for option, value in _pairs("--set", changes)}
    base = FitConfig.load(file) if file else FitConfig()
    if "device" in varied:
        raise click.UsageError("--grid device: where fits run is said by --devices")
    for option in varied.keys() & shared.keys():
        raise click.UsageError(f"{option} is both set and varied: drop --set or --grid")
    chosen = {"split"} & {*varied, *shared, *own_options(base)}
    if split or (not chosen and (folds or "fold" in varied)):
        if "split" in varied or "split" in shared:
            raise click.UsageError("split is given twice: by --split, and --grid or --set")
        shared["split"] = split or "aff-wild2"
    axes: dict[str, list[Any]] = {
        "head": heads.split(",") if heads else [],
        "fold": _numbers(folds) if folds else [],
        "seed": list(range(seeds or 0)),
    }
    for option, given in axes.items():
        if given and (option in varied or option in shared):
            raise click.UsageError(f"{option} is given twice: by --{option}s, and --grid or --set")
        for value in varied.pop(option, []):
            given.append(typed_option(base.head, option, value))
    own_head = shared.pop("head", base.head)
    where = devices.split(",") if devices else []
    cores = os.cpu_count() or 1
    jobs = jobs or (len(where) if where and where != ["auto"] else max(1, cores // 2))
    tasks = plan_sweep(
        FeatureStore.open(cache),
        base,
        cross(axes["head"] or [typed_option(base.head, "head", own_head)], varied),
        out=out,
        shared=shared,
        folds=axes["fold"],
        seeds=axes["seed"],
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
    rows = tabulate(ordered, baseline or tasks[0].label, by_fold if per_fold else by_row)
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


def _pairs(option: str, given: Sequence[str]) -> Iterator[tuple[str, str]]:
    names = set()
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals and value):
            raise click.UsageError(f"{option} {each}: expected OPTION=VALUE")
        if name in names:
            raise click.UsageError(f"{option} {name} is given more than once")
        names.add(name)
        yield name, value


def _numbers(text: str) -> list[int]:
    """`0-2` or `0,3` as numbers."""
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            span = range(int(first), int(last or first) + 1)
            if not span:
                raise ValueError
            numbers += span
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


def _write_tables(out: Path, rows: Sequence[Summary]) -> None:
    from ..cache.durable import write_bytes
    from ..fusion.papers.table import to_csv, to_latex, to_markdown

    for suffix, text in (("csv", to_csv), ("md", to_markdown), ("tex", to_latex)):
        write_bytes(out / f"table.{suffix}", text(rows).encode())


def _show_table(rows: Sequence[Summary]) -> None:
    from ..fusion.papers.table import HEADINGS, cells, notes

    columns = list(zip(HEADINGS, *map(cells, rows), strict=True))
    known = [column for column in columns[1:] if any(column[1:])]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for lines in lay_out([columns[0], *known], room):
        click.echo("\n".join(lines) + "\n")
    for note in notes(rows):
        click.echo(click.wrap_text(note, min(79, shutil.get_terminal_size().columns)))


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
