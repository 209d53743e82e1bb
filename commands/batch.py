"""What `vapipe extract` offers for large runs: limits, parts, plans, status, batch files."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..extract.dataset import Dataset
    from ..extract.video import Settings

_TASK_JOBS = 4  # processes of an array task, where the user does not say


def failure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How failures are met; the names are those of `Policy`."""
    for option in reversed(
        [
            click.option(
                "--retries",
                type=click.IntRange(0),
                default=1,
                show_default=True,
                help="Tries more, alone, for a video that failed otherwise than by its file.",
            ),
            click.option(
                "--time-limit",
                type=click.FloatRange(0, min_open=True),
                metavar="FACTOR",
                help="Seconds per second of video, and 5 minutes on top, after which a video is "
                "given up [default: 100; none where one process does all].",
            ),
            click.option(
                "--memory-limit",
                type=click.FloatRange(0, min_open=True),
                metavar="GB",
                help="Memory after which a worker process is ended [default: any].",
            ),
            click.option(
                "--max-failures",
                type=click.IntRange(0),
                metavar="N",
                help="Stop when more videos than this failed [default: never].",
            ),
            click.option(
                "--retry-failed",
                is_flag=True,
                help="Try videos again that failed in an earlier run.",
            ),
        ]
    ):
        command = option(command)
    return command


def batch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Parts of a data set, and what is shown or written instead of extracting."""
    for option in reversed(
        [
            click.option(
                "--partition",
                metavar="I/N",
                help="Extract part I of N only; the parts are balanced by duration.",
            ),
            click.option(
                "--engine",
                type=click.Choice(["local", "dask"]),
                default="local",
                show_default=True,
                help="Processes of this machine, or the workers of a Dask scheduler.",
            ),
            click.option("--scheduler", metavar="ADDRESS", help="Of Dask, e.g. tcp://node1:8786."),
            click.option("--dry-run", is_flag=True, help="Show what is missing; extract nothing."),
            click.option("--status", is_flag=True, help="Show how far the runs of a cache are."),
            click.option(
                "--slurm-script",
                type=click.Path(path_type=Path, dir_okay=False),
                metavar="FILE",
                help="Write a batch file for SLURM instead (docs/cluster.md).",
            ),
            click.option(
                "--tasks",
                type=click.IntRange(1),
                default=8,
                show_default=True,
                help="With --slurm-script: tasks of the array.",
            ),
            click.option("--json", "as_json", is_flag=True, help="--dry-run, --status as JSON."),
        ]
    ):
        command = option(command)
    return command


def show_plan(
    dataset: Dataset, settings: Settings, jobs: int, *, retry_failed: bool, as_json: bool
) -> None:
    """Print what a run would do."""
    from ..extract.survey import survey_extraction

    found = survey_extraction(dataset, settings, retry_failed=retry_failed)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), indent=2))
        return
    for plan in found.streams:
        click.echo(
            f"  {plan.stream}@{plan.key[:8]}: {plan.complete} complete, {plan.missing} missing, "
            f"{plan.stale} stale, {plan.quarantined} quarantined"
        )
    for video, reason in found.failures.items():
        click.echo(f"  {video}: quarantined: {reason}")
    if found.seconds is None:
        time = "no estimate of the time, since no run of these streams is logged here yet"
    else:
        time = f"about {_duration(found.seconds / jobs)} with {jobs} process(es), as logged before"
    click.echo(
        f"to do: {found.videos} of {len(dataset.videos)} video(s), {_duration(found.duration)}; "
        f"about {found.nbytes / 1e6:,.1f} MB; {time}"
    )


def show_status(cache: Path, *, as_json: bool) -> None:
    """Print how far the logged runs are, what the cache holds, and which videos failed."""
    from ..cache.layout import check_cache
    from ..cache.status import cache_status
    from ..extract.failures import read_failures
    from ..extract.runlog import read_logs
    from ..extract.survey import progress

    check_cache(cache)
    runs = [progress(run) for run in read_logs(cache)]
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
        click.echo(
            f"{start['host']} {start['pid']}{part}: {run.state}; {run.extracted} extracted, "
            f"{run.failed} failed{rest}; {run.frames_per_s:.0f} frames/s per process, at most "
            f"{run.peak / 1e9:.1f} GB each; last line {_clock(run.run.last)}"
        )
    if not runs:
        click.echo("no runs logged")
    for stream in streams:
        click.echo(
            f"{stream.stream}@{stream.key[:8]}: {stream.present} present, {stream.missing} missing "
            f"and {stream.stale} stale of the videos begun"
        )
    for failure in failures.values():
        click.echo(f"failed: {failure.video}: {failure.reason}")


def write_slurm_script(file: Path, context: click.Context, count: int) -> None:
    """Write the batch file that runs this very command in parts."""
    from ..cache.durable import write_bytes
    from ..extract.slurm import slurm_script
    from ..plugins import named_plugins

    gpu = context.params["device"].startswith("cuda")
    jobs = context.params["jobs"] or (1 if gpu else _TASK_JOBS)
    plugins = [word for path, _ in named_plugins() for word in ("--plugin", path)]
    words = ["vapipe", *plugins, "extract", *_repeated(context)]
    if context.params["jobs"] is None:
        words += ["--jobs", str(jobs)]
    text = slurm_script(words, count=count, jobs=jobs, gpu=gpu, folder=Path.cwd())
    write_bytes(file, text.encode())
    click.echo(f"{file}: {count} tasks of {jobs} process(es); look at it, then: sbatch {file}")


def _repeated(context: click.Context) -> Iterator[str]:
    """The options of a command as they were given, but for those of its parts."""
    own = ("partition", "dry_run", "status", "slurm_script", "tasks", "as_json")
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


@contextmanager
def stoppable() -> Iterator[None]:
    """Hear a request to end (SIGTERM) as Ctrl-C; after the first of them a second ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return

    def stop(number: int, frame: object) -> None:
        for each in stops:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    stops = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each, before in stops.items():
        if before is not signal.SIG_IGN:  # a shell's background jobs do not hear Ctrl-C
            signal.signal(each, stop)
    try:
        yield
    finally:
        for each, before in stops.items():
            signal.signal(each, before)
