"""`vapipe extract`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .batch import failure_options, part_option, source_options
from .console import ERROR, PARTLY, say, unless_default
from .extraction_view import extraction_view
from .plan import plan

if TYPE_CHECKING:
    from ..extract.task import ItemLabels


@click.command()
@source_options
@failure_options
@part_option
@click.option("--dry-run", is_flag=True, help="Do nothing but what `vapipe plan` does.")
@click.option("--verbose", is_flag=True, help="Say where the time went.")
@click.option(
    "--scheduler", metavar="ADDRESS", help="Of Dask, whose workers extract: tcp://node1:8786."
)
def extract(
    videos: Path,
    cache: Path,
    retries: int,
    time_limit: float | None,
    memory_limit: float | None,
    max_failures: int | None,
    retry_failed: bool,
    dry_run: bool,
    verbose: bool,
    **chosen: Any,
) -> None:
    """Compute frame-aligned features of videos, once, into the cache.

    Annotations and splits found beside the videos go into the cache too. A run that was stopped
    continues where it was; videos that cannot be used are listed at the end (exit code 3).
    """
    from .. import extract_features
    from ..extract.attempts import Policy
    from .labels import take_reading

    if dry_run:
        del chosen["scheduler"]
        given = {"videos": videos, "cache": cache, "retry_failed": retry_failed, **chosen}
        click.get_current_context().invoke(plan, **given, as_json=False)
        return
    reading = take_reading(chosen)
    policy = Policy(
        retries=retries,
        time_limit=time_limit,
        memory_limit=round(memory_limit * 1e9) if memory_limit else None,
        max_failures=max_failures,
        retry_failed=retry_failed,
    )
    with extraction_view(videos, chosen["faces"]) as view:
        done = extract_features(
            videos,
            cache=cache,
            policy=policy,
            warn=view.warn,
            started=view.start,
            progress=view.step,
            reading=reading,
            **chosen,
        )
        view.summarise()
        if verbose:
            view.show_times()
    if view.found and not done.usable:
        say("error: no video could be extracted", err=True)
        sys.exit(ERROR)
    say(f"next: {_next_step(view.extraction.labels, videos, cache)}")
    if view.problems:
        sys.exit(PARTLY)


def _next_step(labels: Sequence[ItemLabels], videos: Path, cache: Path) -> str:
    """What can be done with what the cache holds now."""
    own = [each for each in labels if each.annotated]
    if not own and not any(each.kept for each in labels):
        return f"vapipe labels import FOLDER --videos {videos}{unless_default(cache)}"
    split = "" if any(each.partition for each in labels) else " --split k-fold"
    return f"vapipe fit --head grjca{split}{unless_default(cache)}"


@click.command()
def streams() -> None:
    """List the encoders that streams can be made with."""
    from ..extract.encoders import list_encoders, list_families, summarise_encoder

    for name in (*list_encoders(), *list_families()):
        modality, summary = summarise_encoder(name)
        shown = f"{name}:NAME" if name in list_families() else name
        say(f"{shown:10s} {modality:7s} {summary}")
