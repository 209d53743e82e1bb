"""What a run's cache.json says: the features and videos that it was fitted on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...cache.judge import TARGETS
from ...errors import RunError


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
