"""`vapipe plan` and `status`: before and beside `vapipe extract`."""

from __future__ import annotations

import dataclasses
import json
import sys
from contextlib import nullcontext, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ..errors import counted
from .batch import part_option, show_job, source_options
from .console import cache_option, duration, say
from .labels import take_reading

_LISTED = 5  # ids shown of those that are stale for one reason

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


@click.command()
@source_options
@part_option
@json_option
def plan(videos: Path, cache: Path, retry_failed: bool, as_json: bool, **chosen: Any) -> None:
    """Show what `vapipe extract` with the same options would do; loads no network.

    Of every stream: how much is complete, missing, stale (made from another file, person or
    stream of the file, or with other options: why) or passed over.
    """
    from ..extract.dry_run import dry_run
    from ..extract.job import JobOptions, make_job
    from ..extract.labels_report import describe_labels

    job = make_job(videos, cache, JobOptions(reading=take_reading(chosen), **chosen))
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        show_job(job, videos, chosen["faces"])
    found = dry_run(job.dataset, job.settings, retry_failed=retry_failed)
    jobs, dataset = job.jobs, job.dataset
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    for each in found.streams:
        say(
            f"  {each.stream}@{each.key[:8]}: {each.complete} complete, {each.missing} missing, "
            f"{each.stale} stale, {each.quarantined} quarantined"
        )
        for reason, owners in each.reasons.items():
            shown = ", ".join(owners[:_LISTED]) + (" ..." if len(owners) > _LISTED else "")
            say(f"    stale: {reason}: {len(owners)} ({shown})")
    for video, reason in found.failures.items():
        say(f"  {video}: quarantined: {reason}")
    for item, reason in found.refused.items():
        say(f"  {item}: {reason}")
    for line in describe_labels(found.labels, dataset):
        say(line)
    if found.seconds is None:
        time = "no estimate of the time, since no run of these streams is logged here yet"
    else:
        took = duration(found.seconds / jobs)
        time = f"about {took} with {counted(jobs, 'process')}, as logged before"
    say(
        f"to do: {found.videos} of {counted(len(dataset.videos), 'video')}, "
        f"{duration(found.duration)}; about {found.nbytes / 1e6:,.1f} MB; {time}"
    )


@click.command()
@cache_option
@json_option
def status(cache: Path, as_json: bool) -> None:
    """Show how far the runs of extraction are, what the cache holds, and which videos failed."""
    from ..cache.layout import check_cache
    from ..cache.status import cache_status
    from ..extract.failures import read_failures
    from ..extract.runlog import read_logs, sum_up

    check_cache(cache)
    runs = [sum_up(run) for run in read_logs(cache)]
    failures = read_failures(cache)
    streams = [stream for stream in cache_status(cache).streams if stream.current]
    if as_json:
        content = {
            "runs": [dataclasses.asdict(run) for run in runs],
            "streams": [dataclasses.asdict(stream) for stream in streams],
            "failures": [dataclasses.asdict(failure) for failure in failures.values()],
        }
        click.echo(json.dumps(content, indent=2, default=str))
        return
    for run in runs:
        start = run.run.start
        part = f", part {start['part']}" if start["part"] else ""
        rest = f", {run.left} left"
        if run.left and run.left_s is not None and run.state in ("running", "open"):
            rest += f" (about {duration(run.left_s)})"
        say(
            f"{start['host']} {start['pid']}{part}: {run.state}; {run.extracted} extracted, "
            f"{run.failed} failed{rest}; {run.frames_per_s:.0f} frames/s per process, at most "
            f"{run.peak / 1e9:.1f} GB each; last line {_clock(run.run.last)}"
        )
    if not runs:
        say("no runs logged")
    for stream in streams:
        say(
            f"{stream.stream}@{stream.key[:8]}: {stream.present} present, {stream.missing} missing "
            f"and {stream.stale} stale of the videos begun"
        )
    for failure in failures.values():
        say(f"failed: {failure.video}: {failure.reason}")


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
