"""Sweeps: heads x options x folds x seeds as resumable runs, and one table of what came out."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...cache.durable import slug, write_json
from ...cache.store import FeatureStore
from ...errors import ConfigError, DiskFullError, VapipeError
from ...executor import Cause, TaskFailed, run_tasks
from ..config import FitConfig
from ..data.plan import plan_fit
from ..runs.folder import check_head
from ..training.fit import fit, resume


@dataclass(frozen=True)
class FitTask:
    """One fit of a sweep.

    Attributes:
        label: the row of the table it belongs to: head, variant and varied options.
        fold: of its split.
        seed: of its fit.
        config: the whole configuration, resolved.
        folder: of its run.
        cache: the feature cache.
        threads: of torch.
    """

    label: str
    fold: int
    seed: int
    config: FitConfig
    folder: Path
    cache: Path
    threads: int


@dataclass(frozen=True)
class Result:
    """What came of a fit.

    Attributes:
        task: the task.
        ccc: target -> validation CCC, and `mean`; None when it failed.
        problem: why it failed.
        trace: where, if that was not foreseen.
        earlier: whether it had been finished before this sweep ran.
    """

    task: FitTask
    ccc: dict[str, float] | None
    problem: str = ""
    trace: str = ""
    earlier: bool = False


def plan_sweep(
    store: FeatureStore,
    base: FitConfig,
    *,
    out: Path,
    heads: Sequence[str],
    grid: Mapping[str, Sequence[Any]],
    folds: Sequence[int],
    seeds: Sequence[int],
    devices: Sequence[str],
    threads: int,
) -> list[FitTask]:
    """Lay out the fits, and check each against the cache before anything is trained.

    Args:
        store: the cache.
        base: what all fits share.
        out: folder of the sweep; every run is a folder in it.
        heads: `NAME` or `NAME:VARIANT`.
        grid: option -> the values it takes, as in `FitConfig.changed`.
        folds: of the base's split; empty takes the base's.
        seeds: of the fits.
        devices: where fits run, in turn.
        threads: of torch, per fit.

    Raises:
        ConfigError: a fit that cannot be, or two that would be the same.
    """
    tasks: list[FitTask] = []
    options = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    for head, changes in itertools.product(heads, options):
        name, _, variant = head.partition(":")
        changed = {"head": name, **({"variant": variant} if variant else {}), **changes}
        label = ", ".join([head, *(f"{option} {value}" for option, value in changes.items())])
        for fold, seed in itertools.product(folds or [base.fold], seeds):
            device = devices[len(tasks) % len(devices)]
            config = base.changed({**changed, "fold": fold, "seed": seed, "device": device})
            folder = out / f"{slug(label)}-fold{fold}-seed{seed}"
            tasks.append(FitTask(label, fold, seed, config, folder, store.root, threads))
    doubles = [task.label for task in tasks if sum(t.folder == task.folder for t in tasks) > 1]
    if doubles:
        raise ConfigError(f"{doubles[0]} is in the sweep more than once; name every head once")
    different = {(t.label, t.fold): t.config for t in tasks}  # a seed changes no plan
    plans = {key: plan_fit(store, config).config for key, config in different.items()}
    return [
        replace(t, config=replace(plans[t.label, t.fold], seed=t.seed, device=t.config.device))
        for t in tasks
    ]


def run_sweep(
    tasks: Sequence[FitTask], *, jobs: int, report: Callable[[Result], None]
) -> list[Result]:
    """Run what is not finished yet; a fit that fails takes no other with it.

    Args:
        tasks: from `plan_sweep`.
        jobs: fits at once, each in a process of its own; 1 is this process.
        report: called with every result as it comes.

    Returns:
        A result for every task, in their order.
    """
    results: dict[Path, Result] = {}
    waiting = []
    for task in tasks:
        if _finished(task):
            results[task.folder] = Result(task, _recorded(task), earlier=True)
            report(results[task.folder])
        else:
            waiting.append(task)
    for task, answer in run_tasks(run_fit, waiting, n_jobs=jobs):
        if not isinstance(answer, TaskFailed):
            result = Result(task, _recorded(task))
        elif isinstance(answer.error, DiskFullError):  # no other could be written either
            raise answer.error
        elif isinstance(answer.error, VapipeError):
            result = Result(task, None, str(answer.error))
        elif answer.cause == Cause.ERROR:
            result = Result(task, None, f"unexpected {answer.reason}", answer.trace)
        else:
            result = Result(task, None, f"its process died ({answer.reason})", answer.trace)
        results[task.folder] = result
        report(result)
    return [results[task.folder] for task in tasks]


def run_fit(task: FitTask) -> None:
    """Fit, or go on with a fit that was begun."""
    import torch

    torch.set_num_threads(task.threads)
    store = FeatureStore.open(task.cache)
    if (task.folder / "environment.json").exists():  # written last
        resume(store, task.folder, task.config)
    else:
        _clear(task.folder)
        fit(store, task.config, task.folder)


def write_results(out: Path, results: Sequence[Result]) -> None:
    """Write results.json: every task with its scores or its problem."""
    write_json(
        out / "results.json",
        [
            {
                "label": result.task.label,
                "fold": result.task.fold,
                "seed": result.task.seed,
                "run": result.task.folder.name,
                "ccc": result.ccc,
                "problem": result.problem,
            }
            for result in results
        ],
    )


def _finished(task: FitTask) -> bool:
    """Whether the run is done, with this very configuration.

    Raises:
        ConfigError: it was made with another configuration.
    """
    if not (task.folder / "model.safetensors").exists():
        return False
    changed = FitConfig.load(task.folder / "config.json").differences(task.config)
    if changed:
        raise ConfigError(
            f"{task.folder} was made with another configuration ({changed}); sweep into another "
            "folder with --out"
        )
    check_head(task.folder, task.config.head)
    return True


def _recorded(task: FitTask) -> dict[str, float]:
    return json.loads((task.folder / "evaluation-validation.json").read_text())["ccc"]


def _clear(folder: Path) -> None:
    """Remove what is left of a fit that was killed while it began."""
    if folder.is_dir():
        for path in [folder / "config.json", folder / "cache.json", *folder.glob(".*.partial")]:
            path.unlink(missing_ok=True)
