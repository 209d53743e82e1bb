"""What `extract`, `plan` and `slurm` share: which videos and streams, limits, being stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import counted
from .completion import complete_encoders
from .console import cache_option, device_option, say, unless_default
from .labels import reading_options
from .progress import end_bars

if TYPE_CHECKING:
    from ..extract.job import Job


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which videos, and which streams of them: the same for `extract`, `plan` and `slurm`."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--videos",
            type=click.Path(path_type=Path),
            required=True,
            help="Folder of videos (searched below), or one video file.",
        ),
        cache_option,
        click.option(
            "--streams",
            shell_complete=complete_encoders,
            help="Comma-separated encoders, e.g. onet,logmel. `vapipe streams` lists them.",
        ),
        click.option(
            "--config",
            type=click.Path(path_type=Path, exists=True, dir_okay=False),
            help="TOML file of named streams with options, views and cropping (docs/streams.md).",
        ),
        click.option(
            "--faces",
            default="detect",
            show_default=True,
            metavar="detect|frame|DIR",
            help="Find faces, take whole frames, or read crops DIR/<video>/00001.jpg ...",
        ),
        click.option(
            "--labels",
            type=click.Path(path_type=Path),
            help="Folder (or one file) of annotations; by default found beside the videos.",
        ),
        reading_options,
        click.option(
            "--split",
            type=click.Path(path_type=Path),
            help="File of `video,partition` rows, or of the names of one partition; by default "
            "split.csv beside the videos.",
        ),
        click.option(
            "--ids",
            type=click.Choice(["stem", "path"]),
            default="stem",
            show_default=True,
            help="Name videos by file name, or by path where file names repeat.",
        ),
        click.option(
            "--video-stream", type=int, help="Index of the video stream, where a file has many."
        ),
        click.option(
            "--audio-stream", type=int, help="Index of the audio stream, where a file has many."
        ),
        click.option(
            "--dtype",
            type=click.Choice(["float16", "float32"]),
            help="Stored precision [default: float16].",
        ),
        click.option(
            "--precision",
            type=click.Choice(["auto", "float32", "bfloat16", "float16"]),
            default="auto",
            show_default=True,
            help="Of computing, for streams that name none; auto is what the cache has of the "
            "stream, else what the device does fast.",
        ),
        device_option,
        click.option(
            "--devices",
            metavar="cuda:0,cuda:1",
            help="Several in place of one: each computes for its share of the processes.",
        ),
        click.option(
            "--jobs",
            type=click.IntRange(1),
            help="Processes; on the CPU, 1 stays in this one [default: by the length of the "
            "videos, up to what cores and memory allow].",
        ),
        click.option(
            "--retry-failed",
            is_flag=True,
            help="Try videos again that failed in an earlier run.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def part_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Part of a data set."""
    return click.option(
        "--partition",
        metavar="I/N",
        help="Only part I of N; the parts are balanced by duration.",
    )(command)


def show_job(job: Job, videos: Path | None = None, faces: str = "detect") -> None:
    """Say what was found and chosen; `videos` as the user named them."""
    from ..extract.options import DEFAULT_REASON, STRONGER_STREAMS
    from ..extract.weights.files import present_names

    dataset, settings = job.dataset, job.settings
    if videos is not None:
        say(f"{counted(job.found, 'video')} in {videos}; {dataset.layout}")
        if others := dataset.describe_others():
            say(others)
    for line in job.disappeared:
        say(f"  {line}")
    if job.part:
        say(f"part {job.part}: {len(dataset.videos)} of them")
    for name, problem in dataset.problems:
        say(f"  {name}: {problem}")
    with_what = f"with {counted(job.jobs, 'process')}"
    if job.scheduler:
        from ..cluster import describe_scheduler

        with_what = f"with the workers of {job.scheduler}: {describe_scheduler(job.scheduler)}"
    where = ", ".join(job.devices) or settings.device
    say(f"faces: {faces}; computing on {where} {with_what}")
    say(f"streams: {', '.join(spec.stream for spec in settings.specs)} ({job.reason})")
    if videos is not None and job.reason == DEFAULT_REASON:
        say("  for ResNet-50, VGGish and WavLM:")
        here = present_names()
        if absent := [name for name in STRONGER_STREAMS.values() if name not in here]:
            say(f"  vapipe weights fetch {' '.join(absent)}")
        say(
            f"  vapipe extract --videos {videos}{unless_default(settings.cache)} --streams "
            f"{','.join(STRONGER_STREAMS)}"
        )


def failure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How failures are met; the names are those of `Policy`."""
    for option in reversed(
        [
            click.option(
                "--retries",
                type=click.IntRange(0),
                default=1,
                show_default=True,
                help="Retries of a video that failed otherwise than by its file, each alone.",
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
        ]
    ):
        command = option(command)
    return command


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Hear a request to end (SIGTERM) as Ctrl-C; after the first of them a second ends at once.

    Yields whether one was heard: libraries lose what is raised while they call back.
    """
    heard = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield heard.is_set  # only the main thread may say what signals do
        return

    def stop(number: int, frame: object) -> None:
        heard.set()
        end_bars()
        for each in stops:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    stops = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each, before in stops.items():
        if before is not signal.SIG_IGN:  # a shell's background jobs do not hear Ctrl-C
            signal.signal(each, stop)
    try:
        yield heard.is_set
    finally:
        for each, before in stops.items():
            signal.signal(each, before)
