"""A sweep from what a user asks for to tables on disk: of rows of one's own, or of a paper."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...cache.durable import write_bytes
from ...cache.store import FeatureStore
from ...errors import ArgumentsError
from ..acting import own_options
from ..config import FitConfig, read_options, typed_option
from .estimate import Estimate, estimate
from .fits import FitTask, Result, plan_fits, run_fits, write_results
from .paper import Table, of_table, plan_paper, read_paper
from .rows import cross
from .table import Summary, tabulate, to_csv, to_latex, to_markdown


@dataclass(frozen=True)
class Sweep:
    """Fits that were checked against the cache and are ready to run.

    Attributes:
        store: the cache.
        tasks: every different fit once.
        tables: what they are laid out in; none for a part of a sweep.
        out: folder of the tables.
        runs: folder of the runs.
        jobs: fits at once.
        remark: what was set in every row, for people.
    """

    store: FeatureStore
    tasks: list[FitTask]
    tables: list[Table]
    out: Path
    runs: Path
    jobs: int
    remark: str

    def part(self, number: int, count: int) -> Sweep:
        """Part `number` (from 1) of `count` of the fits, dealt out in turn, without tables."""
        return replace(self, tasks=self.tasks[number - 1 :: count], tables=[])

    def estimate(self) -> Estimate:
        """How long it takes; nothing is kept of the steps that are timed."""
        return estimate(self.store, self.tasks)

    def run(self, progress: Callable[[Result], None] = lambda result: None) -> list[Result]:
        """Fit what is not finished; results.json lists all fits, so not a part's; told of each."""
        results = run_fits(self.tasks, jobs=self.jobs, report=progress)
        if self.tables:
            write_results(self.out, results)
        return results

    def tabulate(
        self, results: Sequence[Result], note: Callable[[str], None] = lambda line: None
    ) -> Iterator[tuple[Table, list[Summary]]]:
        """Write each table (CSV, Markdown, LaTeX) and give its rows; told of evaluations."""
        for table in self.tables:
            own, baseline = of_table(table, results, self.store, note)
            rows = tabulate(own, baseline, per_fold=table.per_fold)
            remarks = [f"{table.title}. {self.remark}".strip()] if table.title else []
            for suffix, text in (
                ("csv", to_csv(rows)),
                ("md", to_markdown(rows, remarks)),
                ("tex", to_latex(rows, remarks)),
            ):
                write_bytes(self.out / f"{table.name}.{suffix}", text.encode())
            yield table, rows


def plan_sweep(
    store: FeatureStore,
    *,
    paper: str | None = None,
    heads: Sequence[str] = (),
    folds: Sequence[int] = (),
    seeds: Sequence[int] = (),
    split: str | None = None,
    grid: Mapping[str, Sequence[Any]] | None = None,
    config: FitConfig | Path | None = None,
    changes: Mapping[str, Any] | None = None,
    baseline: str | None = None,
    per_fold: bool = False,
    devices: Sequence[str] = (),
    jobs: int | None = None,
    out: Path | None = None,
) -> Sweep:
    """Plan a sweep; arguments and errors as in `api.sweep`."""
    shared, varied = dict(changes or {}), dict(grid or {})
    cores = len(os.sched_getaffinity(0))  # those of a SLURM task, not of its node
    jobs = jobs or (len(devices) if devices and list(devices) != ["auto"] else max(1, cores // 2))
    common: dict[str, Any] = {"devices": devices, "threads": max(1, cores // jobs)}
    if paper is not None:
        fixed: dict[str, Any] = {"--heads": heads, "--folds": folds, "--split": split}
        fixed |= {"--grid": grid, "--per-fold": per_fold, "--config": config}
        fixed |= {"--baseline": baseline, "--set head": "head" in shared}
        for option in (name for name, value in fixed.items() if value):
            raise ArgumentsError(f"--paper says what is compared; leave out {option}")
        out = out or Path("vapipe-papers") / paper
        tables, tasks = plan_paper(
            store, read_paper(paper), out=out, changes=shared, seeds=seeds, **common
        )
        set_by_hand = ", ".join(f"{name}={value}" for name, value in shared.items())
        remark = f"All rows with {set_by_hand}." if shared else ""
        return Sweep(store, tasks, tables, out, out / "runs", jobs, remark)
    if "device" in varied:
        raise ArgumentsError("--grid device: where fits run is said by --devices")
    for option in varied.keys() & shared.keys():
        raise ArgumentsError(f"{option} is both set and varied: drop --set or --grid")
    said, base = _read_base(config)
    if split is not None and "split" in {*varied, *shared}:
        raise ArgumentsError("split is given twice: by --split, and --grid or --set")
    if split is None and not {"split"} & {*varied, *shared, *said} and (folds or "fold" in varied):
        split = "aff-wild2"
    if split is not None:
        shared["split"] = split
    axes: dict[str, list[Any]] = {"head": [*heads], "fold": [*folds], "seed": [*seeds]}
    for option, given in axes.items():
        if given and option in {*varied, *shared}:
            raise ArgumentsError(f"{option} is given twice: by --{option}s, and --grid or --set")
        given += [typed_option(base.head, option, value) for value in varied.pop(option, [])]
    head = typed_option(base.head, "head", shared.pop("head", base.head))
    out = out or Path("vapipe-sweep")
    tasks = plan_fits(
        store,
        base,
        cross(axes["head"] or [head], varied),
        out=out,
        shared=shared,
        folds=axes["fold"],
        seeds=axes["seed"],
        **common,
    )
    table = Table("table", "", tasks, baseline or tasks[0].label, per_fold=per_fold)
    return Sweep(store, tasks, [table], out, out, jobs, "")


def _read_base(config: FitConfig | Path | None) -> tuple[set[str], FitConfig]:
    """The names of options that a file or an object states, and the configuration."""
    if isinstance(config, FitConfig):
        return {"split", *own_options(config)}, config
    values = read_options(config) if config else {}
    return {*values}, FitConfig.from_json(values)
