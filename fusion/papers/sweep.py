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
from ...errors import ConfigError, VapipeError
from ...workers import Death, open_engine
from ..config import FitConfig
from ..data.plan import plan_fit
from ..runs.folder import check_head
from ..training.fit import fit, resume


@dataclass(frozen=True)
class Unit:
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
    """What came of a unit.

    Attributes:
        unit: the unit.
        ccc: target -> validation CCC, and `mean`; None when it failed.
        problem: why it failed.
        earlier: whether it had been finished before this sweep ran.
    """

    unit: Unit
    ccc: dict[str, float] | None
    problem: str = ""
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
) -> list[Unit]:
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
    units: list[Unit] = []
    options = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    for head, changes in itertools.product(heads, options):
        name, _, variant = head.partition(":")
        changed = {"head": name, **({"variant": variant} if variant else {}), **changes}
        label = ", ".join([head, *(f"{option} {value}" for option, value in changes.items())])
        for fold, seed in itertools.product(folds or [base.fold], seeds):
            device = devices[len(units) % len(devices)]
            config = base.changed({**changed, "fold": fold, "seed": seed, "device": device})
            folder = out / f"{slug(label)}-fold{fold}-seed{seed}"
            units.append(Unit(label, fold, seed, config, folder, store.root, threads))
    doubles = [unit.label for unit in units if sum(u.folder == unit.folder for u in units) > 1]
    if doubles:
        raise ConfigError(f"{doubles[0]} is in the sweep more than once; name every head once")
    different = {(u.label, u.fold): u.config for u in units}  # a seed changes no plan
    plans = {key: plan_fit(store, config).config for key, config in different.items()}
    return [
        replace(u, config=replace(plans[u.label, u.fold], seed=u.seed, device=u.config.device))
        for u in units
    ]


def run_sweep(
    units: Sequence[Unit], *, jobs: int, report: Callable[[Result], None]
) -> list[Result]:
    """Run what is not finished yet; a fit that fails takes no other with it.

    Args:
        units: from `plan_sweep`.
        jobs: fits at once, each in a process of its own; 1 is this process.
        report: called with every result as it comes.

    Returns:
        A result for every unit, in their order.
    """
    results: dict[Path, Result] = {}
    waiting = []
    for unit in units:
        if _finished(unit):
            results[unit.folder] = Result(unit, _recorded(unit), earlier=True)
            report(results[unit.folder])
        else:
            waiting.append(unit)
    with open_engine(jobs) as engine:
        for unit, answer in engine(run_unit, waiting):
            if isinstance(answer, Death):
                result = Result(unit, None, f"its process died ({answer.cause})")
            elif answer:
                result = Result(unit, None, answer)
            else:
                result = Result(unit, _recorded(unit))
            results[unit.folder] = result
            report(result)
    return [results[unit.folder] for unit in units]


def run_unit(unit: Unit) -> str:
    """Fit a unit, or go on with it; gives the reason if that cannot be."""
    import torch

    torch.set_num_threads(unit.threads)
    try:
        store = FeatureStore.open(unit.cache)
        if (unit.folder / "environment.json").exists():  # written last
            resume(store, unit.folder, unit.config)
        else:
            _clear(unit.folder)
            fit(store, unit.config, unit.folder)
    except VapipeError as error:
        return str(error)
    return ""


def write_results(out: Path, results: Sequence[Result]) -> None:
    """Write results.json: every unit with its scores or its problem."""
    write_json(
        out / "results.json",
        [
            {
                "label": result.unit.label,
                "fold": result.unit.fold,
                "seed": result.unit.seed,
                "run": result.unit.folder.name,
                "ccc": result.ccc,
                "problem": result.problem,
            }
            for result in results
        ],
    )


def _finished(unit: Unit) -> bool:
    """Whether the run is done, with this very configuration.

    Raises:
        ConfigError: it was made with another configuration.
    """
    if not (unit.folder / "model.safetensors").exists():
        return False
    changed = FitConfig.load(unit.folder / "config.json").differences(unit.config)
    if changed:
        raise ConfigError(
            f"{unit.folder} was made with another configuration ({changed}); sweep into another "
            "folder with --out"
        )
    check_head(unit.folder, unit.config.head)
    return True


def _recorded(unit: Unit) -> dict[str, float]:
    return json.loads((unit.folder / "evaluation-validation.json").read_text())["ccc"]


def _clear(folder: Path) -> None:
    """Remove what is left of a fit that was killed while it began."""
    if folder.is_dir():
        for path in [folder / "config.json", folder / "cache.json", *folder.glob(".*.partial")]:
            path.unlink(missing_ok=True)
