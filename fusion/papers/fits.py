"""Sweeps: rows x folds x seeds as resumable runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.durable import canonical_json, safe_name, slug, write_json
from ...cache.store import FeatureStore
from ...errors import ConfigError, DiskFullError, VapipeError
from ...executor import Cause, TaskFailed, run_tasks
from ..acting import idle_options, own_options, require_acting, without
from ..config import FitConfig
from ..data.plan import choose_streams, plan_fit
from ..evaluation.corruption import Corruption
from ..runs.folder import check_head, read_unfinished
from ..training.fit import fit, resume
from .rows import Row


@dataclass(frozen=True)
class FitTask:
    """One fit of a sweep.

    Attributes:
        label: the row of the table it belongs to.
        config: the whole configuration, resolved.
        folder: of its run.
        cache: the feature cache.
        threads: of torch.
        videos: how many videos train and how many validate.
        corruption: damage to what the trained model is fed; None for none.
    """

    label: str
    config: FitConfig
    folder: Path
    cache: Path
    threads: int
    videos: tuple[int, int]
    corruption: Corruption | None = None

    @property
    def fold(self) -> int:
        """Of its split."""
        return self.config.fold

    @property
    def seed(self) -> int:
        """Of its fit."""
        return self.config.seed


@dataclass(frozen=True)
class Result:
    """What came of a fit.

    Attributes:
        ccc: target -> validation CCC, and `mean`; None when it failed.
        moments: video file -> [C, 3, 3] of `metrics.moments`; empty when it failed.
        problem: why it failed.
        trace: where, if that was not foreseen.
        earlier: whether it had been finished before this sweep ran.
    """

    task: FitTask
    ccc: dict[str, float] | None
    moments: Mapping[str, np.ndarray] = field(default_factory=dict)
    problem: str = ""
    trace: str = ""
    earlier: bool = False


def plan_fits(
    store: FeatureStore, base: FitConfig, rows: Sequence[Row], **axes: Any
) -> list[FitTask]:
    """Lay out the fits of one table: those of `lay_out`, each of which must be another.

    Raises:
        ConfigError: a fit that cannot be, two that would be the same, or an option that does
            nothing.
    """
    tasks, idle_in = lay_out(store, base, rows, **axes)
    found: dict[bytes, str] = {}
    for task in tasks:
        key = canonical_json({**task.config.to_json(), "device": ""})
        if key in found:
            raise ConfigError(
                f"`{task.label}` and `{found[key]}` are the same fit (fold {task.fold}, seed "
                f"{task.seed}); name every row, fold and seed once"
            )
        found[key] = task.label
    require_used(idle_in)
    return tasks


def lay_out(
    store: FeatureStore,
    base: FitConfig,
    rows: Sequence[Row],
    *,
    out: Path,
    shared: Mapping[str, Any] | None = None,
    folds: Sequence[int] = (),
    seeds: Sequence[int] = (),
    devices: Sequence[str] = (),
    threads: int = 1,
) -> tuple[list[FitTask], list[dict[str, str]]]:
    """Lay out rows x folds x seeds, and check each against the cache before anything is trained.

    Args:
        base: what all fits share; its options count where they act, and must act in some row.
        rows: what is compared; every option of a row must act in it.
        out: folder of the sweep; every run is a folder in it.
        shared: changes that every row begins with; they count as those of `base` do.
        folds: of the split; empty takes each row's.
        seeds: of the fits; empty takes each row's.
        devices: where fits run, in turn; empty takes each row's.

    Returns:
        The fits, and for every row the shared options that do nothing in it (for `require_used`).

    Raises:
        ConfigError: a fit that cannot be, or an option of a row that does nothing.
    """
    axes = {"fold": folds, "seed": seeds, "device": devices}
    taken = [name for name, values in axes.items() if len(values)]
    names = _folder_names([row.label for row in rows])
    tasks: list[FitTask] = []
    idle_in = []
    for row in rows:
        twice = [name for name in taken if name in row.changes or name in (shared or {})]
        if twice:
            raise ConfigError(f"{twice[0]} is set, and varied by the sweep: drop one")
        config, idle = _settle(store, base, shared or {}, row, ["fold"] if len(folds) else [])
        idle_in.append(idle)
        for fold in folds or [config.fold]:
            plan = plan_fit(store, config.changed({"fold": fold}))
            videos = len(plan.train), len(plan.validation)
            for seed in seeds or [config.seed]:
                device = devices[len(tasks) % len(devices)] if devices else config.device
                own = plan.config.changed({"seed": seed, "device": device})
                folder = out / f"{names[row.label]}-fold{fold}-seed{seed}"
                tasks.append(FitTask(row.label, own, folder, store.root, threads, videos))
    return tasks, idle_in


def require_used(idle_in: Sequence[Mapping[str, str]]) -> None:
    """Refuse an option that does nothing in any row; row by row, option -> where it would act.

    Raises:
        ConfigError: names it.
    """
    for name, where in (idle_in[0] if idle_in else {}).items():
        if all(name in idle for idle in idle_in):
            raise ConfigError(f"{name} does nothing in any row: it acts only {where}. Leave it out")


def _folder_names(labels: Sequence[str]) -> dict[str, str]:
    """Label -> the beginning of the names of its folders; readable, no two alike."""
    for label, times in Counter(labels).items():
        if times > 1:
            raise ConfigError(f"`{label}` is in the sweep more than once; name every row once")
    alike = Counter(slug(label).lower() for label in labels)
    return {
        label: slug(label) if alike[slug(label).lower()] == 1 else safe_name(label)
        for label in labels
    }


def _settle(
    store: FeatureStore,
    base: FitConfig,
    shared: Mapping[str, Any],
    row: Row,
    further: Sequence[str],
) -> tuple[FitConfig, dict[str, str]]:
    """A row's configuration without what all rows share and does nothing in it; and that."""
    config = base.changed({**shared, **row.changes})
    require_acting(config, [*row.changes, *further])
    config = replace(config, streams=choose_streams(store, config)).resolved()
    require_acting(config, row.changes)
    replaced = {name: "where no row sets it" for name in shared if _sets(row.changes, name)}
    common = [name for name in [*own_options(base), *shared] if not _sets(row.changes, name)]
    idle = idle_options(config, common)
    return without(config, idle), {**replaced, **idle}


def _sets(changes: Mapping[str, Any], name: str) -> bool:
    """Whether changes replace an option or entry."""
    return name in changes or name.partition(".")[0] in changes


def run_fits(
    tasks: Sequence[FitTask], *, jobs: int, report: Callable[[Result], None]
) -> list[Result]:
    """Run what is not finished yet; a fit that fails takes no other with it.

    Args:
        jobs: fits at once, each in a process of its own; 1 is this process.

    Returns:
        A result for every task, in their order.
    """
    results: dict[Path, Result] = {}
    waiting = []
    for task in tasks:
        if is_finished(task):
            results[task.folder] = replace(_recorded(task), earlier=True)
            report(results[task.folder])
        else:
            waiting.append(task)
    for task, answer in run_tasks(run_fit, waiting, n_jobs=jobs):
        if not isinstance(answer, TaskFailed):
            result = _recorded(task)
        elif isinstance(answer.error, DiskFullError):  # no other could be written either
            raise answer.error
        elif isinstance(answer.error, VapipeError):
            result = Result(task, None, problem=str(answer.error))
        else:
            died = answer.cause != Cause.ERROR
            why = f"its process died ({answer.reason})" if died else f"unexpected {answer.reason}"
            result = Result(task, None, problem=why, trace=answer.trace)
        results[task.folder] = result
        report(result)
    return [results[task.folder] for task in tasks]


def run_fit(task: FitTask) -> None:
    """Fit, or go on with a fit that was begun."""
    from ...numerics import on_threads

    with on_threads(task.threads):
        store = FeatureStore.open(task.cache)
        if (task.folder / "environment.json").exists():  # written last
            begun_on = read_unfinished(task.folder).device
            resume(store, task.folder, replace(task.config, device=begun_on))
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


def is_finished(task: FitTask) -> bool:
    """Whether the run is done, with this very configuration on whichever device.

    Raises:
        ConfigError: it was made with another configuration.
    """
    if not (task.folder / "model.safetensors").exists():
        return False
    changed = FitConfig.load(task.folder / "config.json").differences(task.config, {"device"})
    if changed:
        raise ConfigError(
            f"{task.folder} was made with another configuration ({changed}); sweep into another "
            "folder with --out"
        )
    check_head(task.folder, task.config.head)
    return True


def _recorded(task: FitTask) -> Result:
    """What the run's folder says of it."""
    evaluation = json.loads((task.folder / "evaluation-validation.json").read_text())
    if "moments" not in evaluation:
        raise ConfigError(
            f"{task.folder} was evaluated by an earlier version of vapipe; `vapipe evaluate "
            f"{task.folder} --out {task.folder}` writes what is lacking"
        )
    moments = {name: np.array(values) for name, values in evaluation["moments"].items()}
    return Result(task, evaluation["ccc"], moments)


def _clear(folder: Path) -> None:
    """Remove what is left of a fit that was killed while it began."""
    if folder.is_dir():
        for path in [folder / "config.json", folder / "cache.json", *folder.glob(".*.partial")]:
            path.unlink(missing_ok=True)
