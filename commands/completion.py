"""What a shell completes besides options and files: names of heads, streams and runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..api import CACHE
from ..errors import VapipeError


def complete_heads(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Heads, the last of several divided by commas."""
    from ..fusion.heads import list_heads

    return _continued(incomplete, ",", list_heads())


def complete_encoders(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Encoders that streams are made with, the last of several divided by commas."""
    from ..extract.encoders import list_encoders

    return _continued(incomplete, ",", list_encoders())


def complete_streams(context: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """`ROLE=`, then the streams of the cache."""
    from ..cache.store import FeatureStore
    from ..fusion.heads import ROLES

    if "=" not in incomplete:
        return _continued(incomplete, "=", [f"{role}=" for role in ROLES])
    with suppress(VapipeError):  # no cache there: nothing to complete
        store = FeatureStore.open(Path(context.params.get("cache") or CACHE))
        return _continued(incomplete, "=", store.streams())
    return []


def _continued(incomplete: str, sign: str, names: list[str]) -> list[str]:
    before, found, last = incomplete.rpartition(sign)
    return [f"{before}{found}{name}" for name in names if name.startswith(last)]


class RunFolder(click.Path):
    """A folder of a run; those in `vapipe-runs` are completed first."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Runs by name, and folders."""
        from ..fusion.runs.listing import find_runs
        from ..fusion.runs.recorded import RUNS

        runs: list[Any] = []
        with suppress(VapipeError):  # none yet
            runs = find_runs(RUNS)
        found = [CompletionItem(str(run)) for run in runs if str(run).startswith(incomplete)]
        return [*found, *super().shell_complete(ctx, param, incomplete)]
