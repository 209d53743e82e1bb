"""What run folders say of themselves, finished or not: for lists and comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ...errors import RunError


@dataclass(frozen=True)
class RunSummary:
    """One run.

    Attributes:
        path: its folder.
        state: finished, unfinished (interrupted or still running), or why it cannot be read.
        started: ISO 8601, UTC.
        head: name of the head.
        variant: of the head.
        targets: per_target or joint.
        seed: of the fit.
        split: how videos were divided, with the fold where there is one.
        streams: role -> `stream@key`, the key's first 8 digits.
        ccc: target -> validation CCC, and `mean`; empty before the fit has finished.
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
        config = _read(path / "config.json")
        cache = _read(path / "cache.json")
        environment = _read(path / "environment.json")
        evaluation = path / "evaluation-validation.json"
        finished = (path / "model.safetensors").is_file()
        return RunSummary(
            path=str(path),
            state="finished" if finished else "unfinished",
            started=environment.get("started") or _changed(path / "config.json"),
            head=config["head"],
            variant=config["variant"],
            targets=config["targets"],
            seed=config["seed"],
            split=describe_split(config),
            streams={
                role: f"{facts['stream']}@{facts['key'][:8]}"
                for role, facts in cache["streams"].items()
            },
            ccc=_read(evaluation)["ccc"] if evaluation.is_file() else {},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return RunSummary(str(path), f"unreadable ({type(error).__name__}: {error})")


def differences(paths: Sequence[Path]) -> dict[str, list[Any]]:
    """Option -> its value in each run, for options that are not the same in all.

    Streams count with their keys; an option that a run does not know is None there.

    Raises:
        RunError: a folder is no run or cannot be read.
    """
    flat = []
    for path in paths:
        summary = summarise_run(path)
        if summary.streams is None:
            raise RunError(f"{path} is no run that can be compared: {summary.state}")
        config = {k: v for k, v in _read(path / "config.json").items() if k != "streams"}
        flat.append(_flatten({**config, "streams": summary.streams}))
    names = dict.fromkeys(name for options in flat for name in options)
    values = {name: [options.get(name) for options in flat] for name in names}
    return {n: v for n, v in values.items() if any(each != v[0] for each in v)}


def _flatten(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested options under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


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
