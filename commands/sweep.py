"""`vapipe sweep`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import counted
from ..progress import listening
from .batch import stoppable
from .completion import complete_heads
from .console import (
    PARTLY,
    STOPPED,
    cache_option,
    configuration_options,
    duration,
    fold,
    pairs,
    say,
)
from .progress import progress_bar
from .slurm import slurm_options, write_sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..fusion.papers.fits import FitTask, Result
    from ..fusion.papers.sweep import Sweep
    from ..fusion.papers.table import Summary


@click.command()
@click.option(
    "--heads",
    shell_complete=complete_heads,
    metavar="NAME[:VARIANT-OR-PRESET],...",
    help="Heads to compare, e.g. grjca,grjca:paper; transformer:ctyunai is a preset.",
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
@configuration_options
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
@click.option("--partition", metavar="I/N", help="Only part I of N of the fits, and no tables.")
@slurm_options("one a fit")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the runs and tables; the same command resumes "
    "[default: vapipe-sweep, or vapipe-papers/NAME].",
)
@cache_option
@click.pass_context
def sweep(
    context: click.Context,
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
    partition: str | None,
    slurm: Path | None,
    tasks: int | None,
    sbatch: tuple[str, ...],
    out: Path | None,
    cache: Path,
) -> None:
    """Fit heads x options x folds x seeds and compare them in one table, or in those of a paper.

    Finished fits are kept, interrupted ones go on, failed ones are listed (exit code 3).
    """
    from ..cache.layout import check_cache

    check_cache(cache)  # before torch is loaded
    if slurm is None and (tasks or sbatch):
        raise click.UsageError("--tasks and --sbatch are of the file that --slurm FILE writes")
    if slurm is not None and partition is not None:
        raise click.UsageError("--slurm FILE makes the parts itself: leave --partition out")
    from .. import api
    from ..fusion.typed import read_value, read_values

    planned = api.sweep(
        cache,
        paper=paper,
        heads=heads.split(",") if heads else (),
        folds=_numbers(folds) if folds else (),
        seeds=range(seeds or 0),
        split=split,
        grid={option: read_values(values) for option, values in pairs("--grid", grid).items()},
        config=file,
        changes={option: read_value(value) for option, value in pairs("--set", changes).items()},
        baseline=baseline,
        per_fold=per_fold,
        devices=devices.split(",") if devices else (),
        jobs=jobs,
        out=out,
    )
    if partition is not None:
        from ..extract.plan import Part

        part = Part.parse(partition)
        planned = planned.part(part.number, part.count)
    if dry_run:
        _show_plan(planned)
        return
    if slurm is not None:
        gpu = bool(devices and "cuda" in devices)
        write_sweep(slurm, context, len(planned.tasks), gpu)
        return
    say(f"{counted(len(planned.tasks), 'fit')} in {planned.out}, {planned.jobs} at once")
    if planned.remark:
        say(planned.remark)
    done: list[Result] = []
    told: set[str] = set()
    try:
        with stoppable():
            results = _run(planned, done)
        for table, rows in planned.tabulate(results, say):
            _show_table(table.title, rows, told)
    except KeyboardInterrupt:
        say(
            f"stopped: {len(done)} of {counted(len(planned.tasks), 'fit')} are done and stay in "
            f"{planned.out}; the same command resumes",
            err=True,
        )
        sys.exit(STOPPED)
    if planned.tables:
        names = ", ".join(table.name for table in planned.tables)
        say(
            f"tables: {names} (.csv, .md, .tex) in {planned.out}; every run is a folder in "
            f"{planned.runs}"
        )
    else:
        say("when all parts are through, the same command without --partition makes the tables")
    failed = [result for result in results if result.ccc is None]
    for result in failed:
        say(f"  {result.task.folder.name}: {result.problem}", err=True)
        if result.trace:
            say(result.trace, err=True)
    if failed:
        sys.exit(PARTLY)


def _run(planned: Sweep, done: list[Result]) -> list[Result]:
    """Run the fits and show how far they are; notes those that are done."""
    running: dict[Path, tuple[float, str]] = {}

    def show() -> None:
        now = dict(running)  # others may change it
        if len(now) == 1:
            ((_, state),) = now.values()
        else:
            state = ", ".join(f"{share:.0%}" for share, _ in now.values())
        bar.show(
            len(done) + sum(share for share, _ in now.values()),
            len(planned.tasks),
            f"{len(done)}/{counted(len(planned.tasks), 'fit')}",
            state,
            before=sum(result.earlier for result in done),
            most=True,
        )

    def step(result: Result) -> None:
        done.append(result)
        running.pop(result.task.folder, None)
        say(_line(result))
        show()

    def hear(task: FitTask, epochs: float, total: float, words: str) -> None:
        running[task.folder] = epochs / total, words
        show()

    with progress_bar() as bar, listening(hear):
        show()
        return planned.run(step)


def _show_plan(planned: Sweep) -> None:
    """Say what would be fitted, and how long it may take."""
    tables, jobs = planned.tables, planned.jobs
    for table in tables:
        rows = list(dict.fromkeys(task.label for task in table.tasks))
        damages = f" under {len(table.damages)} damages" if table.damages else ""
        say(
            f"{table.name}: {counted(len(rows), 'row')} of "
            f"{counted(len(table.tasks), 'fit')}{damages}"
        )
    shared = len({task.folder for table in tables for task in table.tasks})
    together = sum(len(table.tasks) for table in tables if not table.damages)
    say(
        f"{counted(shared, 'fit')} ({together - shared} more in several tables, trained once)"
        if together > shared
        else f"{counted(shared, 'fit')}"
    )
    say("timing a training step of each kind of fit that no finished run tells of ...")
    left = planned.estimate()
    if not left.fits:
        say("all are finished")
        return
    how = []
    if left.measured:
        how.append(f"{left.measured} as long as finished runs of their kind")
    if left.timed:
        how.append(
            f"{left.timed} by one timed training step of each kind x batches x all epochs, which "
            "early stopping mostly cuts short"
        )
    say(
        fold(
            f"{left.finished} finished, {left.fits} to fit: at most about "
            f"{duration(left.seconds)} one after the other, {duration(left.seconds / jobs)} with "
            f"{jobs} at once ({'; '.join(how)}; evaluation under damage not counted)"
        )
    )


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


def _show_table(title: str, rows: Sequence[Summary], told: set[str]) -> None:
    """Print a table with its notes, but for those that were told before."""
    from ..fusion.papers.table import cells, headings, notes

    if title:
        say(f"\n{title}\n")
    columns = list(zip(headings(rows), *map(cells, rows), strict=True))
    known = [column for column in columns[1:] if any(column[1:])]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for lines in lay_out([columns[0], *known], room):
        say("\n".join(lines) + "\n")
    for note in notes(rows):
        if note not in told:
            told.add(note)
            say(fold(note))


def lay_out(columns: Sequence[Sequence[str]], room: int | None) -> list[list[str]]:
    """Lay columns of text side by side, each right-aligned but the first; the lines of each table.

    Args:
        columns: heading and cells, top to bottom.
        room: characters in a line; columns beyond it go into a further table, which repeats the
            first column. None for any.
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
