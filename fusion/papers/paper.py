"""The tables of a paper as sweeps: `<name>.toml` says what is compared, here it is laid out.

A fit that stands in several tables is one run. Rows are named by what makes them, never freely, so
that a label cannot say something else than its runs' configurations.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.durable import canonical_json, slug
from ...cache.store import FeatureStore
from ...errors import ConfigError
from ..config import FitConfig, recipe_of
from ..data.plan import choose_streams
from ..evaluation.corruption import Corruption, parse_corruption
from ..evaluation.evaluate import evaluate
from ..evaluation.robustness import read_points, record_points
from ..heads import describe_head
from ..recipes import STRUCTURE
from .fits import FitTask, Result, lay_out, require_used
from .rows import Row, cross


@dataclass(frozen=True)
class Group:
    """Rows of a table: every head with every set of options on every choice of streams.

    Attributes:
        heads: as `cross` takes them.
        vary: sets of options, each option -> value.
        modalities: roles of the streams; empty means all that the paper has.
    """

    heads: tuple[str, ...]
    vary: tuple[Mapping[str, Any], ...] = ({},)
    modalities: tuple[tuple[str, ...], ...] = ((),)


@dataclass(frozen=True)
class TableSpec:
    """A table as the file states it.

    Attributes:
        name: of its files.
        title: above it.
        rows: what is compared.
        baseline: label of the row that the others are compared with; empty means the first.
        folds: of the split.
        per_fold: whether every fold has a row of its own.
        damages: what the trained models are fed with, one table for each kind; nothing is trained.
    """

    name: str
    title: str
    rows: tuple[Group, ...]
    baseline: str = ""
    folds: tuple[int, ...] = (0,)
    per_fold: bool = False
    damages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Paper:
    """What a paper's file states.

    Attributes:
        name: of the file.
        roles: the streams that its systems have.
        training: the head whose published recipe trains every row; empty for the default recipe.
        shared: options of all rows.
    """

    name: str
    title: str
    roles: tuple[str, ...]
    training: str
    shared: Mapping[str, Any]
    tables: tuple[TableSpec, ...]


@dataclass(frozen=True)
class Table:
    """A table that is laid out.

    Attributes:
        name: of its files.
        title: above it.
        tasks: its fits, each labelled as its row; folders are shared with other tables.
        baseline: label of the row that the others are compared with.
        per_fold: whether every fold has a row of its own.
        damages: what the trained models are fed with; empty for a plain table.
    """

    name: str
    title: str
    tasks: list[FitTask]
    baseline: str
    per_fold: bool = False
    damages: list[Corruption] = field(default_factory=list)


def list_papers() -> list[str]:
    """Names of the papers, sorted."""
    there = files(__package__ or "").iterdir()
    return sorted(item.name.removesuffix(".toml") for item in there if item.name.endswith(".toml"))


def read_paper(name: str) -> Paper:
    """Read what the file of a paper states.

    Raises:
        ConfigError: no such paper.
    """
    if name not in list_papers():
        raise ConfigError(f"no paper is called `{name}`; there are: {', '.join(list_papers())}")
    values = tomllib.loads(files(__package__ or "").joinpath(f"{name}.toml").read_text("utf-8"))
    tables = tuple(
        TableSpec(**{**table, "rows": tuple(Group(**group) for group in table["rows"])})
        for table in values.pop("table")
    )
    return Paper(name, tables=tables, **values)


def plan_paper(
    store: FeatureStore,
    paper: Paper,
    *,
    out: Path,
    changes: Mapping[str, Any],
    seeds: Sequence[int] = (),
    devices: Sequence[str] = (),
    threads: int = 1,
) -> tuple[list[Table], list[FitTask]]:
    """Lay out the tables of a paper, and check every fit before anything is trained.

    Args:
        out: folder of the tables; runs are below `runs` in it, named by head, fold, seed and a
            digest of the configuration, so that other options make other runs.
        changes: options of all rows, which win over those of the paper.

    Returns:
        The tables, and every different fit once.

    Raises:
        ConfigError: a cache without the paper's streams, or what `plan_fits` refuses.
    """
    streams = _streams(store, paper, changes)
    own = {name: value for name, value in changes.items() if not _names_stream(name)}
    shared = {**_training(paper), **paper.shared, **own, "streams": streams}
    fits: dict[Path, FitTask] = {}
    tables, idle_in = [], []
    for spec in paper.tables:
        rows = [row for group in spec.rows for row in _rows(group, streams)]
        tasks, idle = lay_out(
            store,
            FitConfig(),
            rows,
            out=out,
            shared=shared,
            folds=spec.folds,
            seeds=seeds,
            threads=threads,
        )
        idle_in += [{name: where for name, where in each.items() if name in own} for each in idle]
        placed = [replace(task, folder=out / "runs" / _folder(task)) for task in tasks]
        for task in placed:
            fits.setdefault(task.folder, task)
        tables += _tables(spec, placed)
    require_used(idle_in)
    if devices:
        for number, (folder, task) in enumerate(fits.items()):
            config = replace(task.config, device=devices[number % len(devices)])
            fits[folder] = replace(task, config=config)
    return tables, list(fits.values())


def of_table(
    table: Table, results: Sequence[Result], store: FeatureStore, report: Callable[[str], None]
) -> tuple[list[Result], str]:
    """The results of a table's fits under its labels, and the label of its baseline.

    Where the table has damages, every finished run is evaluated under each, once: the points are
    kept in its folder.

    Args:
        report: called with a line for every evaluation that was not there yet.
    """
    found = {result.task.folder: result for result in results}
    own = [replace(found[task.folder], task=task) for task in table.tasks]
    if not table.damages:
        return own, table.baseline
    least = min(table.damages, key=lambda damage: abs(damage.severity))
    damaged = []
    for result in own:
        for damage in table.damages:
            label = _damaged_label(result.task.label, damage)
            row = replace(result, task=replace(result.task, label=label, corruption=damage))
            damaged.append(row if row.ccc is None else _point(row, damage, store, report))
    return damaged, _damaged_label(table.baseline, least)


def _damaged_label(label: str, damage: Corruption) -> str:
    return f"{label}, {damage.kind} {damage.severity:g}"


def _point(
    result: Result, damage: Corruption, store: FeatureStore, report: Callable[[str], None]
) -> Result:
    """The result under damage: as the run keeps it, else measured now and kept."""
    task = result.task
    for point in read_points(task.folder, "validation"):
        same = point["corruption"] == damage.to_json() and not point.get("smoothing")
        if same and "moments" in point:
            moments = {name: np.array(sums) for name, sums in point["moments"].items()}
            return replace(result, ccc=point["ccc"], moments=moments)
    evaluation = evaluate(task.folder, store, device=task.config.device, corruption=damage)
    record_points(task.folder, [evaluation])
    report(f"  {task.label}, fold {task.fold}, seed {task.seed}: evaluated")
    return replace(result, ccc=evaluation.ccc, moments=evaluation.moments)


def _tables(spec: TableSpec, tasks: list[FitTask]) -> list[Table]:
    """The table, or one for each kind of damage."""
    table = Table(
        spec.name, spec.title, tasks, spec.baseline or tasks[0].label, per_fold=spec.per_fold
    )
    if not spec.damages:
        return [table]
    tables = []
    for text in spec.damages:
        damages = parse_corruption(text)
        name, title = f"{spec.name}-{damages[0].kind}", f"{spec.title}: {damages[0].kind}"
        tables.append(replace(table, name=name, title=title, damages=damages))
    return tables


def _rows(group: Group, streams: Mapping[str, str]) -> list[Row]:
    rows = []
    for roles in group.modalities:
        chosen = {"streams": {role: streams[role] for role in roles}} if roles else {}
        for options in group.vary:
            grid = {name: [value] for name, value in {**chosen, **options}.items()}
            rows += cross(group.heads, grid)
    return rows


def _training(paper: Paper) -> dict[str, Any]:
    """The options of the published recipe that say how is trained, not what is built."""
    if not paper.training:
        return {}
    stated = describe_head(paper.training).published
    recipe = recipe_of(paper.training, "published")
    return {name: recipe[name].value for name in stated if name not in STRUCTURE}


def _streams(store: FeatureStore, paper: Paper, changes: Mapping[str, Any]) -> dict[str, str]:
    """Role -> stream, for every role that the paper's systems have."""
    named = {name: value for name, value in changes.items() if _names_stream(name)}
    found = choose_streams(store, FitConfig(head="concat").changed(named))
    if set(found) != set(paper.roles):
        there = ", ".join(f"{role}={name}" for role, name in found.items())
        options = " ".join(f"--set streams.{role}=NAME" for role in paper.roles)
        raise ConfigError(
            f"the systems of the paper {paper.name} have the streams {', '.join(paper.roles)}; "
            f"{store.root} gives {there}. Name one for each: {options}"
        )
    return {role: found[role] for role in paper.roles}


def _names_stream(option: str) -> bool:
    return option.partition(".")[0] == "streams"


def _folder(task: FitTask) -> str:
    """Of a run, the same for equal configurations wherever they are trained."""
    digest = hashlib.sha256(canonical_json({**task.config.to_json(), "device": ""})).hexdigest()
    return f"{slug(task.config.head)}-fold{task.fold}-seed{task.seed}-{digest[:10]}"
