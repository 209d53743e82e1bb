"""What run folders say of themselves, finished or not: tables, filters and orders of runs."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...cache.tables import number
from ...errors import ArgumentsError, RunError, nearest


@dataclass(frozen=True)
class RunSummary:
    """One run.

    Attributes:
        state: finished, unfinished (interrupted or still running), or why it cannot be read.
        started: ISO 8601, UTC.
        head: name of the head.
        targets: per_target or joint.
        seed: of the fit.
        split: how videos were divided, with the fold where there is one.
        streams: role -> `stream@key`, the key's first 8 digits.
        ccc: target -> validation CCC, and `mean`; empty before the fit has finished.
        options: option of `FitConfig`, entries of mappings under dotted names -> value; streams
            with their keys.
    """

    path: str
    state: str
    started: str = ""
    head: str = ""
    variant: str = ""
    targets: str = ""
    seed: int | None = None
    split: str = ""
    streams: Mapping[str, str] | None = None
    ccc: Mapping[str, float] | None = None
    options: Mapping[str, Any] | None = None


def find_runs(folder: Path) -> list[Path]:
    """Folders of runs in or below a folder, or the folder itself.

    Raises:
        RunError: no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder of runs; `vapipe fit` makes runs")
    runs = sorted(
        p.parent for p in folder.rglob("config.json") if (p.parent / "cache.json").exists()
    )
    if not runs:
        raise RunError(f"{folder}: no run in it; `vapipe fit` makes runs")
    return runs


def summarise_run(path: Path) -> RunSummary:
    """What a folder says; a run that cannot be read says why in `state`."""
    try:
        config = read_json(path / "config.json")
        cache = read_json(path / "cache.json")
        environment = read_json(path / "environment.json")
        evaluation = path / "evaluation-validation.json"
        finished = (path / "model.safetensors").is_file()
        streams = {
            role: f"{facts['stream']}@{facts['key'][:8]}"
            for role, facts in cache["streams"].items()
        }
        return RunSummary(
            path=str(path),
            state="finished" if finished else "unfinished",
            started=environment.get("started") or _changed(path / "config.json"),
            head=config["head"],
            variant=config["variant"],
            targets=config["targets"],
            seed=config["seed"],
            split=describe_split(config),
            streams=streams,
            ccc=read_json(evaluation)["ccc"] if evaluation.is_file() else {},
            options=_flatten({**config, "streams": streams}),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return RunSummary(str(path), f"unreadable ({type(error).__name__}: {error})")


def columns(run: RunSummary) -> dict[str, Any]:
    """What a table of runs has of one: scores first, then what it is, then every option."""
    own = {
        "run": run.path,
        **(run.ccc or {}),
        "state": run.state,
        "head": run.head,
        "variant": run.variant,
        "streams": ", ".join(f"{role}={name}" for role, name in (run.streams or {}).items()),
        "split": run.split,
        "targets": run.targets,
        "seed": run.seed,
        "started": run.started,
    }
    return own | {name: v for name, v in (run.options or {}).items() if name not in own}


def choose_runs(
    runs: Sequence[RunSummary], conditions: Sequence[str], sort: str | None
) -> list[RunSummary]:
    """Those runs that meet all conditions, in order.

    Args:
        conditions: `COLUMN=PATTERN` (with * and ?), `COLUMN<NUMBER` or `COLUMN>NUMBER`, where a
            column is one of `columns`; a run without it does not meet it.
        sort: a column; numbers from the highest down, runs without it last.

    Raises:
        ArgumentsError: another form, or a column that no run has.
    """
    cells = {run.path: columns(run) for run in runs}
    for condition in conditions:
        name, sign, value = re.fullmatch(r"([^=<>]*)([=<>]?)(.*)", condition).groups()  # type: ignore[union-attr]
        limit = number(value)
        if not sign or (sign != "=" and limit is None):
            raise ArgumentsError(
                f"--where {condition}: expected COLUMN=PATTERN, COLUMN<NUMBER or COLUMN>NUMBER, "
                "e.g. head=*jca or mean>0.5"
            )
        _require_column(name, cells.values())
        runs = [run for run in runs if _meets(cells[run.path].get(name), sign, value, limit)]
    if sort is None:
        return list(runs)
    _require_column(sort, cells.values())

    def place(run: RunSummary) -> tuple[bool, float, str]:
        cell = cells[run.path].get(sort)
        return cell in (None, ""), -cell if isinstance(cell, (int, float)) else 0.0, str(cell)

    return sorted(runs, key=place)


def _meets(cell: Any, sign: str, value: str, limit: float | None) -> bool:
    if sign == "=":
        return cell is not None and fnmatchcase(str(cell), value)
    if limit is None or not isinstance(cell, (int, float)):
        return False
    return cell < limit if sign == "<" else cell > limit


def _require_column(name: str, rows: Collection[Mapping[str, Any]]) -> None:
    known = dict.fromkeys(column for row in rows for column in row)
    if rows and name not in known:
        raise ArgumentsError(f"no run has a column `{name}`; {nearest(name, known)}")


def _flatten(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def read_json(path: Path) -> dict[str, Any]:
    """The content of a file of a run."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def describe_split(config: Mapping[str, Any]) -> str:
    """How a configuration divides videos: `stored`, or `aff-wild2, fold 3`."""
    split = config.get("split", "stored")
    return (
        f"{split}, fold {config['fold']}"
        if split in ("aff-wild2", "k-fold", "leave-one-subject-out")
        else str(split)
    )


def _changed(path: Path) -> str:
    """When a file was written; runs of earlier versions do not say when they began."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="seconds")
