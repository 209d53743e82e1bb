"""The `vapipe` command line: each command parses, calls one function of a room, and prints.

Heavy packages are imported inside the commands, so that `vapipe --help` answers at once.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import __version__
from .cache.errors import ConfigError, VapipeError

if TYPE_CHECKING:
    from .extract.dataset import Dataset
    from .extract.streams import StreamConfig
    from .extract.video import Outcome, Settings

DEFAULT_CACHE = "./vapipe-cache"
ERROR, PARTLY = 1, 3  # exit codes besides 0 (all done) and 2 (usage)


class _Group(click.Group):
    """Prints an expected error as one message."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VapipeError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(ERROR)


def cache_option(command: Callable) -> Callable:
    """`--cache DIR`, the same for every command that uses a cache."""
    return click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        default=DEFAULT_CACHE,
        show_default=True,
        help="Folder of the feature cache.",
    )(command)


def device_option(command: Callable) -> Callable:
    """`--device`, resolved by `_device`."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda",
        help="Where to compute; auto takes a GPU when there is one and says so.",
    )(command)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version")
def main() -> None:
    """Valence and arousal from faces and voices: extract features once, train heads in minutes.

    \b
    First time:   vapipe demo
    Your data:    vapipe extract --videos ./aff-wild2
                  vapipe fit --head grjca
    """


@main.command()
@click.option(
    "--videos",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of videos (searched below), or one video file.",
)
@cache_option
@click.option(
    "--streams",
    help="Comma-separated encoders, e.g. onet,logmel. `vapipe streams` lists them.",
)
@click.option(
    "--faces",
    default="detect",
    show_default=True,
    metavar="detect|frame|DIR",
    help="Find faces, take whole frames, or read crops DIR/<video>/00001.jpg ...",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path),
    help="Folder of annotations (<video>.csv or .txt); by default found beside the videos.",
)
@click.option(
    "--split",
    type=click.Path(path_type=Path),
    help="File of `video,partition` rows; by default split.csv beside the videos.",
)
@click.option(
    "--ids",
    type=click.Choice(["stem", "path"]),
    default="stem",
    show_default=True,
    help="Name videos by file name, or by path where file names repeat.",
)
@click.option("--video-stream", type=int, help="Index of the video stream, where a file has many.")
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="Stored precision.",
)
@device_option
@click.option("--jobs", type=click.IntRange(1), help="Worker processes [default: one per core].")
def extract(
    videos: Path,
    cache: Path,
    streams: str | None,
    faces: str,
    labels: Path | None,
    split: Path | None,
    ids: Any,
    video_stream: int | None,
    dtype: str,
    device: str,
    jobs: int | None,
) -> None:
    """Compute frame-aligned features of videos, once, into the cache.

    Annotations and splits found beside the videos go into the cache too. A run that was stopped
    continues where it was; videos that cannot be used are listed at the end (exit code 3).
    """
    from .extract.dataset import find_dataset
    from .extract.streams import choose_streams

    configs, reason = choose_streams(streams, dtype)
    dataset = find_dataset(videos, labels=labels, split=split, ids=ids)
    click.echo(f"{len(dataset.videos)} video(s) in {videos}; {dataset.layout}")
    click.echo(f"streams: {', '.join(config.name for config in configs)} ({reason})")
    for name, problem in dataset.problems:
        click.echo(f"  {name}: {problem}")
    settings, jobs = _settings(
        cache, configs, faces, device, jobs, len(dataset.videos), video_stream
    )
    done, failed = _run_extraction(dataset, settings, jobs)
    failed += len(dataset.problems)
    if not done:
        click.echo("error: no video could be extracted", err=True)
        sys.exit(ERROR)
    click.echo(f"next: vapipe fit --head grjca{_cache_words(cache)}")
    if failed:
        sys.exit(PARTLY)


def _cache_words(cache: Path) -> str:
    return "" if cache == Path(DEFAULT_CACHE) else f" --cache {cache}"


def _settings(
    cache: Path,
    streams: tuple[StreamConfig, ...],
    faces: str,
    device: str,
    jobs: int | None,
    videos: int,
    video_stream: int | None = None,
) -> tuple[Settings, int]:
    """Work out crops, device, processes and threads; say what was chosen."""
    from .extract.crops import CropConfig
    from .extract.video import Settings

    crops_dir = None if faces in ("detect", "frame") else Path(faces)
    if crops_dir is not None and not crops_dir.is_dir():
        raise ConfigError(
            f"--faces {faces}: not `detect`, not `frame`, and no folder of crops of that name"
        )
    where = _device(device)
    cores = len(os.sched_getaffinity(0))
    jobs = jobs or (1 if where != "cpu" else max(1, min(cores, videos)))
    threads = max(1, cores // jobs)
    click.echo(f"faces: {faces}; computing on {where}, {jobs} process(es) of {threads} thread(s)")
    source = "crops" if crops_dir else faces
    return Settings(
        cache=cache,
        streams=streams,
        crops=CropConfig(source=source),
        crops_dir=crops_dir,
        device=where,
        threads=threads,
        video_stream=video_stream,
    ), jobs


def _device(choice: str) -> str:
    """Resolve `auto`; an explicit choice is taken as it is or refused, never replaced."""
    import torch

    if choice == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if choice.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"--device {choice}: no CUDA device is available here; use --device cpu")
    if choice.partition(":")[0] not in ("cpu", "cuda"):
        raise ConfigError(f"--device {choice}: expected auto, cpu, cuda or cuda:N")
    return choice


def _run_extraction(dataset: Dataset, settings: Settings, jobs: int) -> tuple[int, int]:
    """Run, print a line per video and a summary; (videos usable, videos with problems)."""
    from .extract.run import run_extraction

    sizes = {video.id: video.path.stat().st_size for video in dataset.videos}
    began = time.perf_counter()
    outcomes = []
    with _progress(sum(sizes.values()), "videos") as step:
        for outcome in run_extraction(dataset, settings, jobs=jobs):
            outcomes.append(outcome)
            rows = sum(each.rows for each in outcomes if each.status == "extracted")
            rate = rows / (time.perf_counter() - began)
            step(
                sizes[outcome.video],
                _outcome_line(outcome),
                f"{len(outcomes)}/{len(sizes)} videos, {rate:.0f} frames/s",
            )
    bad = [outcome for outcome in outcomes if outcome.problems]
    extracted = [outcome for outcome in outcomes if outcome.status == "extracted"]
    click.echo(
        f"{len(extracted)} video(s) extracted ({sum(o.rows for o in extracted):,} frames, "
        f"{sum(o.units for o in extracted)} shards), "
        f"{sum(o.status == 'complete' for o in outcomes)} complete before, "
        f"{len(bad)} with problems, "
        f"in {time.perf_counter() - began:.1f} s; cache: {settings.cache}"
    )
    for outcome in bad:
        for problem in outcome.problems:
            click.echo(f"  {outcome.video}: {problem}", err=True)
        if outcome.trace:
            click.echo(outcome.trace, err=True)
    return sum(outcome.status != "failed" for outcome in outcomes), len(bad)


def _outcome_line(outcome: Outcome) -> str:
    line = f"  {outcome.video}: {outcome.status}"
    if outcome.status == "extracted":
        speed = outcome.rows / outcome.seconds
        line += f", {outcome.rows} frames in {outcome.seconds:.1f} s ({speed:.0f}/s)"
    return "\n    ".join([line, *outcome.notes])


@contextmanager
def _progress(total: float, what: str) -> Iterator[Callable[[float, str, str], None]]:
    """Yield step(amount, line, state): a bar on a terminal, else plain lines."""
    if not sys.stdout.isatty():
        yield lambda amount, line, state: click.echo(line) if line else None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns) as bar:
        task = bar.add_task(what, total=total)

        def step(amount: float, line: str, state: str) -> None:
            if line:
                bar.console.print(line, markup=False, highlight=False)
            bar.update(task, advance=amount, description=state)

        yield step
