"""`vapipe extract`."""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .batch import failure_options, part_option, read_options, source_options, stoppable
from .console import ERROR, PARTLY, progress_lines, unless_default

if TYPE_CHECKING:
    from ..extract.attempts import Policy
    from ..extract.dataset import Dataset
    from ..extract.plan import Part
    from ..extract.task import Outcome, Settings


@click.command()
@source_options
@failure_options
@part_option
@click.option(
    "--scheduler", metavar="ADDRESS", help="Of Dask, whose workers extract: tcp://node1:8786."
)
def extract(
    cache: Path,
    retries: int,
    time_limit: float | None,
    memory_limit: float | None,
    max_failures: int | None,
    retry_failed: bool,
    scheduler: str | None,
    **chosen: Any,
) -> None:
    """Compute frame-aligned features of videos, once, into the cache.

    Annotations and splits found beside the videos go into the cache too. A run that was stopped
    continues where it was; videos that cannot be used are listed at the end (exit code 3).
    `vapipe plan` shows before what is to be done.
    """
    from ..extract.attempts import Policy

    job = read_options(cache=cache, scheduler=scheduler, **chosen)
    policy = Policy(
        retries=retries,
        time_limit=time_limit,
        memory_limit=round(memory_limit * 1e9) if memory_limit else None,
        max_failures=max_failures,
        retry_failed=retry_failed,
    )
    dataset = job.dataset
    done, failed = show_extraction(dataset, job.settings, job.jobs, policy, job.part, scheduler)
    failed += len(dataset.problems)
    if not done and dataset.videos:
        click.echo("error: no video could be extracted", err=True)
        sys.exit(ERROR)
    click.echo(f"next: vapipe fit --head grjca{unless_default(cache)}")
    if failed:
        sys.exit(PARTLY)


def show_extraction(
    dataset: Dataset,
    settings: Settings,
    jobs: int,
    policy: Policy | None = None,
    part: Part | None = None,
    scheduler: str | None = None,
    *,
    temporary: bool = False,
) -> tuple[int, int]:
    """Run, print a line per video and a summary; (videos usable, videos with problems).

    Of a temporary cache nothing is promised to stay.
    """
    from ..extract.attempts import Policy, StoppedError
    from ..extract.run import run_extraction

    def warn(message: str) -> None:
        click.echo(f"warning: {message}", err=True)

    sizes = {video.id: _size(video.path) for video in dataset.videos}
    began = time.perf_counter()
    counts: Counter[str] = Counter()
    bad = []
    stopped = ""
    try:
        with stoppable(), progress_lines(sum(sizes.values()), "videos") as step:
            run = run_extraction(
                dataset,
                settings,
                jobs=jobs,
                policy=policy or Policy(),
                part=part,
                scheduler=scheduler,
                warn=warn,
            )
            for outcome in run:
                counts.update({outcome.status: 1, "all": 1})
                if outcome.status == "extracted":
                    counts.update(rows=outcome.rows, units=outcome.units)
                if outcome.problems:
                    bad.append(outcome)
                rate = counts["rows"] / (time.perf_counter() - began)
                step(
                    sizes[outcome.video],
                    _outcome_line(outcome),
                    f"{counts['all']}/{len(sizes)} videos, {rate:.0f} frames/s",
                )
    except StoppedError as error:
        stopped = str(error)
    except KeyboardInterrupt:
        kept = f"are done and stay in {settings.cache}; the same command continues with the others"
        if temporary:
            kept = "were done and are lost with the temporary cache; --cache DIR keeps them"
        click.echo(f"stopped: {counts['all']} of {len(sizes)} video(s) {kept}", err=True)
        sys.exit(PARTLY)
    click.echo(
        f"{counts['extracted']} video(s) extracted ({counts['rows']:,} frames, "
        f"{counts['units']} shards), {counts['complete']} complete before, "
        f"{len(bad)} with problems, "
        f"in {time.perf_counter() - began:.1f} s; "
        f"cache: {'temporary' if temporary else settings.cache}"
    )
    for outcome in bad:
        for problem in outcome.problems:
            click.echo(f"  {outcome.video}: {problem}", err=True)
        if outcome.trace:
            click.echo(outcome.trace, err=True)
    usable = counts["complete"] + counts["extracted"]
    if stopped:
        click.echo(f"error: {stopped}", err=True)
        sys.exit(PARTLY if usable else ERROR)
    return usable, len(bad)


def _size(path: Path) -> int:
    """Bytes of a file; none of one that has gone since it was found, as its outcome will say."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _outcome_line(outcome: Outcome) -> str:
    line = f"  {outcome.video}: {outcome.status}"
    if outcome.status == "extracted":
        speed = outcome.rows / outcome.seconds
        line += f", {outcome.rows} frames in {outcome.seconds:.1f} s ({speed:.0f}/s)"
    return "\n    ".join([line, *outcome.notes])


@click.command()
def streams() -> None:
    """List the encoders that streams can be made with."""
    from ..extract.encoders import list_encoders, list_families, summarise_encoder

    for name in (*list_encoders(), *list_families()):
        modality, summary = summarise_encoder(name)
        shown = f"{name}:NAME" if name in list_families() else name
        click.echo(f"{shown:10s} {modality:7s} {summary}")
