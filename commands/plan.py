"""`vapipe plan`, `status` and `slurm`: before, beside and in place of `vapipe extract`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import nullcontext, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from ..device import fast_precision
from ..errors import counted
from .batch import failure_options, part_option, show_job, source_options
from .console import cache_option, say
from .labels import take_reading

# Processes of an array task, where the user does not say: beside a GPU they decode and crop.
_TASK_JOBS, _TASK_JOBS_GPU = 4, 12
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
        took = _duration(found.seconds / jobs)
        time = f"about {took} with {counted(jobs, 'process')}, as logged before"
    say(
        f"to do: {found.videos} of {counted(len(dataset.videos), 'video')}, "
        f"{_duration(found.duration)}; about {found.nbytes / 1e6:,.1f} MB; {time}"
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
            rest += f" (about {_duration(run.left_s)})"
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


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--tasks", type=click.IntRange(1), default=8, show_default=True, help="Tasks of the array."
)
@source_options
@failure_options
@click.pass_context
def slurm(context: click.Context, file: Path, tasks: int, **chosen: Any) -> None:
    """Write the batch file FILE: a SLURM array that runs `vapipe extract` in parts.

    Takes the options of `vapipe extract` (docs/cluster.md). A precision that is left open is
    settled here, so that all nodes make the same stream.
    """
    from ..cache.durable import write_bytes
    from ..extract.dataset import find_dataset
    from ..extract.options import choose_options
    from ..extract.slurm import slurm_script
    from ..plugins import named_plugins

    choose_options(chosen["streams"], chosen["dtype"], chosen["config"])  # wrong ones end it here
    find_dataset(
        chosen["videos"], labels=chosen["labels"], split=chosen["split"], ids=chosen["ids"]
    )
    devices = (chosen["devices"] or chosen["device"]).split(",")
    gpus = sum(device.startswith("cuda") for device in devices)
    jobs = chosen["jobs"] or gpus * _TASK_JOBS_GPU or _TASK_JOBS
    plugins = [word for path, _ in named_plugins() for word in ("--plugin", path)]
    words = ["vapipe", *plugins, "extract", *_repeated(context)]
    if chosen["jobs"] is None:
        words += ["--jobs", str(jobs)]
    if chosen["precision"] == "auto":
        words += ["--precision", fast_precision("cuda" if gpus else "cpu")]
    text = slurm_script(words, count=tasks, jobs=jobs, gpus=gpus, folder=Path.cwd())
    write_bytes(file, text.encode())
    say(
        f"{file}: {counted(tasks, 'task')} of {counted(jobs, 'process')}; look at it, then: "
        f"sbatch {file}"
    )


def _repeated(context: click.Context) -> Iterator[str]:
    """The options of `slurm` as they were given, but for its own."""
    own = ("file", "tasks")
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if parameter.name in own or source is not click.core.ParameterSource.COMMANDLINE:
            continue
        yield parameter.opts[0]
        if not (isinstance(parameter, click.Option) and parameter.is_flag):
            yield str(context.params[parameter.name or ""])


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")
