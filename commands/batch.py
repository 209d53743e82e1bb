"""What `extract`, `plan` and `slurm` share: which videos and streams, limits, being stopped."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import cache_option, device_option

if TYPE_CHECKING:
    from ..extract.dataset import Dataset
    from ..extract.plan import Part
    from ..extract.task import Settings


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
            help="Folder of annotations (<video>.csv or .txt); by default found beside the videos.",
        ),
        click.option(
            "--split",
            type=click.Path(path_type=Path),
            help="File of `video,partition` rows; by default split.csv beside the videos.",
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
            type=click.Choice(["auto", "float32", "bfloat16"]),
            default="auto",
            show_default=True,
            help="Of computing, for streams that name none; auto is what the cache has of the "
            "stream, else what the device does fast.",
        ),
        device_option,
        click.option(
            "--jobs",
            type=click.IntRange(1),
            help="Processes; 1 stays in this one [default: by the length of the videos, up to "
            "the cores].",
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


@dataclass(frozen=True)
class Job:
    """What the options ask for.

    Attributes:
        dataset: the videos.
        settings: how they are extracted.
        jobs: with how many processes.
        part: which part of a larger data set it is.
    """

    dataset: Dataset
    settings: Settings
    jobs: int
    part: Part | None


def read_options(
    *,
    videos: Path,
    cache: Path,
    streams: str | None,
    config: Path | None,
    faces: str,
    labels: Path | None,
    split: Path | None,
    ids: Any,
    video_stream: int | None,
    audio_stream: int | None,
    dtype: str | None,
    precision: str,
    device: str,
    jobs: int | None,
    partition: str | None = None,
    scheduler: str | None = None,
) -> Job:
    """Find the videos and work out the streams; say what was found and chosen."""
    from ..cache.index import open_catalog
    from ..cache.layout import MARKER
    from ..extract.annotate import find_disappeared
    from ..extract.dataset import find_dataset
    from ..extract.options import choose_options
    from ..extract.plan import Part, take_part
    from ..extract.prepare import make_settings

    part = Part.parse(partition) if partition else None
    options = choose_options(streams, dtype, config)
    dataset = find_dataset(videos, labels=labels, split=split, ids=ids)
    click.echo(f"{len(dataset.videos)} video(s) in {videos}; {dataset.layout}")
    if videos.is_dir() and (cache / MARKER).exists() and (part is None or part.number == 1):
        for line in find_disappeared(dataset, open_catalog(cache)).lines():
            click.echo(f"  {line}")
    if part:
        dataset = take_part(dataset, part)
        click.echo(f"part {part}: {len(dataset.videos)} of them")
    for name, problem in dataset.problems:
        click.echo(f"  {name}: {problem}")
    settings = make_settings(
        cache,
        options,
        faces=faces,
        device=device,
        precision=precision,
        elsewhere=scheduler is not None,
        video_stream=video_stream,
        audio_stream=audio_stream,
    )
    jobs = show_settings(dataset, settings, options.reason, jobs, scheduler, faces)
    return Job(dataset, settings, jobs, part)


def show_settings(
    dataset: Dataset,
    settings: Settings,
    reason: str,
    jobs: int | None = None,
    scheduler: str | None = None,
    faces: str = "detect",
) -> int:
    """Say what was chosen; the number of processes."""
    from ..executor import describe_scheduler
    from ..extract.plan import sensible_jobs

    if scheduler:
        jobs, with_what = 1, f"with the workers of {scheduler}: {describe_scheduler(scheduler)}"
    else:
        jobs = jobs or sensible_jobs(dataset.videos, settings.device, settings.specs)
        with_what = f"with {jobs} process(es)"
    click.echo(f"faces: {faces}; computing on {settings.device} {with_what}")
    click.echo(f"streams: {', '.join(spec.stream for spec in settings.specs)} ({reason})")
    return jobs


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
        ]
    ):
        command = option(command)
    return command


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
