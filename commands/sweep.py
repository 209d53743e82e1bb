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

    from ..cache.store import FeatureStore
    from ..fusion.papers.paper import Table
    from ..fusion.papers.sweep import FitTask, Result
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
    "--paper",
    metavar="NAME",
    help="All tables of a paper instead: grjca, tagf, sage or mstcn. --set changes every row.",
)
@click.option("--dry-run", is_flag=True, help="Only say how many fits, and how long they take.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the runs and tables; the same command goes on where it stopped "
    "[default: vapipe-sweep, or vapipe-papers/NAME].",
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
    paper: str | None,
    dry_run: bool,
    out: Path | None,
    cache: Path,
) -> None:
    """Fit heads x options x folds x seeds and compare them in one table, or in those of a paper.

    Finished fits are kept, interrupted ones go on, failed ones are listed (exit code 3).
    """
    from ..cache.store import FeatureStore
    from ..fusion.acting import own_options
    from ..fusion.config import FitConfig, typed_option
    from ..fusion.papers.paper import Table, of_table, plan_paper, read_paper
    from ..fusion.papers.rows import cross
    from ..fusion.papers.sweep import plan_sweep, write_results
    from ..fusion.papers.table import by_fold, by_row, tabulate
    from ..fusion.typed import read_value, read_values

    if paper:
        fixed = {
            "--heads": heads,
            "--folds": folds,
            "--split": split,
            "--grid": grid,
            "--per-fold": per_fold,
            "--config": file,
            "--baseline": baseline,
        }
        for option in (name for name, value in fixed.items() if value):
            raise click.UsageError(f"--paper says what is compared; leave out {option}")
    varied = {option: read_values(values) for option, values in _pairs("--grid", grid)}
    shared = {option: read_value(value) for option, value in _pairs("--set", changes)}
    if paper and "head" in shared:
        raise click.UsageError("--paper says what is compared; leave out --set head")
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
    threads = max(1, cores // jobs)
    store = FeatureStore.open(cache)
    if paper:
        out = out or Path("vapipe-papers") / paper
        tables, tasks = plan_paper(
            store,
            read_paper(paper),
            out=out,
            changes=shared,
            seeds=axes["seed"],
            devices=where,
            threads=threads,
        )
    else:
        out = out or Path("vapipe-sweep")
        tasks = plan_sweep(
            store,
            base,
            cross(axes["head"] or [typed_option(base.head, "head", own_head)], varied),
            out=out,
            shared=shared,
            folds=axes["fold"],
            seeds=axes["seed"],
            devices=where,
            threads=threads,
        )
        tables = [Table("table", "", tasks, baseline or tasks[0].label, per_fold=per_fold)]
    if dry_run:
        _show_plan(store, tables, tasks, jobs)
        return
    set_by_hand = f"All rows with {', '.join(changes)}." if changes else ""
    click.echo(f"{len(tasks)} fits in {out}, {jobs} at once")
    if set_by_hand and paper:
        click.echo(set_by_hand)
    done: list[Result] = []
    told: set[str] = set()
    try:
        ordered = _fit_all(tasks, jobs, done)
        write_results(out, ordered)
        for table in tables:
            results, base_row = of_table(table, ordered, store, click.echo)
            rows = tabulate(results, base_row, by_fold if table.per_fold else by_row)
            remarks = [f"{table.title}. {set_by_hand}".strip()] if paper else []
            _write_tables(out, table.name, rows, remarks)
            _show_table(table.title, rows, told)
    except KeyboardInterrupt:
        click.echo(
            f"stopped: {len(done)} of {len(tasks)} fits are done and stay in {out}; the same "
            "command goes on",
            err=True,
        )
        sys.exit(PARTLY)
    names = ", ".join(table.name for table in tables)
    runs = out / "runs" if paper else out
    click.echo(f"tables: {names} (.csv, .md, .tex) in {out}; every run is a folder in {runs}")
    failed = [result for result in ordered if result.ccc is None]
    for result in failed:
        click.echo(f"  {result.task.folder.name}: {result.problem}", err=True)
        if result.trace:
            click.echo(result.trace, err=True)
    if failed:
        sys.exit(PARTLY)


def _fit_all(tasks: Sequence[FitTask], jobs: int, done: list[Result]) -> list[Result]:
    """Run the fits; those that are done also go into `done` as they come."""
    from ..fusion.papers.sweep import run_sweep

    with progress_lines(len(tasks), "fits") as step:

        def show(result: Result) -> None:
            done.append(result)
            step(1, _line(result), f"{len(done)}/{len(tasks)} fits")

        return run_sweep(tasks, jobs=jobs, report=show)


def _show_plan(
    store: FeatureStore, tables: Sequence[Table], tasks: Sequence[FitTask], jobs: int
) -> None:
    """Say what would be fitted, and how long it may take."""
    from ..fusion.papers.estimate import estimate

    for table in tables:
        rows = list(dict.fromkeys(task.label for task in table.tasks))
        damages = f" under {len(table.damages)} damages" if table.damages else ""
        click.echo(f"{table.name}: {len(rows)} rows of {len(table.tasks)} fits{damages}")
    shared = len({task.folder for table in tables for task in table.tasks})
    together = sum(len(table.tasks) for table in tables if not table.damages)
    click.echo(
        f"{shared} fits ({together - shared} more stand in several tables and are trained once)"
        if together > shared
        else f"{shared} fits"
    )
    click.echo("timing a training step of each kind of fit that no finished run tells of ...")
    left = estimate(store, tasks)
    if not left.fits:
        click.echo("all are finished")
        return
    how = []
    if left.measured:
        how.append(f"{left.measured} as long as finished runs of their kind")
    if left.timed:
        how.append(
            f"{left.timed} by one timed training step of each kind x batches x all epochs, which "
            "early stopping mostly cuts short"
        )
    click.echo(
        click.wrap_text(
            f"{left.finished} finished, {left.fits} to fit: at most about "
            f"{_duration(left.seconds)} one after the other, {_duration(left.seconds / jobs)} with "
            f"{jobs} at once ({'; '.join(how)}; evaluation under damage not counted)",
            79,
        )
    )


def _duration(seconds: float) -> str:
    """In the unit that leaves one to three digits."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


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


def _write_tables(out: Path, name: str, rows: Sequence[Summary], remarks: Sequence[str]) -> None:
    from ..cache.durable import write_bytes
    from ..fusion.papers.table import to_csv, to_latex, to_markdown

    for suffix, text in (
        ("csv", to_csv(rows)),
        ("md", to_markdown(rows, remarks)),
        ("tex", to_latex(rows, remarks)),
    ):
        write_bytes(out / f"{name}.{suffix}", text.encode())


def _show_table(title: str, rows: Sequence[Summary], told: set[str]) -> None:
    """Print a table with its notes, but for those that were told before."""
    from ..fusion.papers.table import HEADINGS, cells, notes

    if title:
        click.echo(f"\n{title}\n")
    columns = list(zip(HEADINGS, *map(cells, rows), strict=True))
    known = [column for column in columns[1:] if any(column[1:])]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for lines in lay_out([columns[0], *known], room):
        click.echo("\n".join(lines) + "\n")
    for note in notes(rows):
        if note not in told:
            told.add(note)
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
