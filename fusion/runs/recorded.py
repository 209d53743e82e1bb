"""What a run's cache.json says: the cache, features and videos that it was fitted on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...cache.header_checks import TARGETS
from ...cache.layout import check_cache
from ...errors import CacheError, RunError

RUNS = Path("vapipe-runs")


def require_run(path: Path) -> None:
    """Refuse a folder that is no run, finished or not.

    Raises:
        RunError: says where runs are.
    """
    if not (path / "config.json").is_file():
        lacking = "no config.json in it" if path.is_dir() else "no such folder"
        raise RunError(
            f"{path} is not a run ({lacking}); `vapipe fit` makes runs below {RUNS}, `vapipe runs` "
            "lists them"
        )


def recorded(run: Path, name: str) -> Any:
    """What a run recorded under a name: `path` and `digest` of the cache, `streams`, `videos`.

    Raises:
        RunError: cache.json is missing or does not hold it.
    """
    file = run / "cache.json"
    try:
        return json.loads(file.read_text())[name]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"cannot read `{name}` of the run {run} in {file} ({type(error).__name__}: {error}); "
            "`vapipe fit` wrote it: restore the file, or fit again"
        ) from error


def run_targets(run: Path) -> tuple[str, ...]:
    """What a run predicts; valence and arousal where its configuration names nothing else."""
    try:
        values = json.loads((run / "config.json").read_text())
        return tuple(values.get("target_names") or TARGETS)
    except (OSError, ValueError, AttributeError, TypeError):
        return TARGETS  # what is wrong with the file is told where it is needed


def used_keys(runs: Path) -> set[tuple[str, str]]:
    """The (stream, key) pairs that the runs below a folder were trained on; errors as above."""
    streams = [recorded(path.parent, "streams") for path in sorted(runs.rglob("cache.json"))]
    return {(facts["stream"], facts["key"]) for own in streams for facts in own.values()}


def cache_of(run: Path, named: Path | None = None) -> Path:
    """The cache that a run is used with: the one named, else the one that it was fitted on.

    Raises:
        RunError: not a run, or the cache that it recorded is not there any more.
        CacheError: the one named is no cache.
    """
    require_run(run)
    if named is not None:
        check_cache(named)
        return named
    root = Path(recorded(run, "path"))
    try:
        check_cache(root)
    except CacheError as error:
        raise RunError(
            f"the cache that the run {run} recorded cannot be opened: {error}. Where it has moved, "
            "name its folder with --cache"
        ) from error
    return root


def shared_cache(runs: Sequence[Path], named: Path | None = None) -> Path:
    """The one cache that runs are used with, see `cache_of`.

    Raises:
        RunError: they were fitted on different caches and none is named.
    """
    caches = {run: cache_of(run, named) for run in runs}
    if len({root.resolve() for root in caches.values()}) > 1:
        each = "; ".join(f"{run}: {root}" for run, root in caches.items())
        raise RunError(
            f"the runs were fitted on different caches ({each}); name the one to use with --cache"
        )
    return caches[runs[0]]
