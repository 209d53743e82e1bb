"""`vapipe extract`."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections import Counter
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import ConfigError
from .batch import (
    batch_options,
    failure_options,
    show_plan,
    show_status,
    stoppable,
    write_slurm_script,
)
from .console import (
    ERROR,
    PARTLY,
    cache_option,
    device_option,
    progress_lines,
    unless_default,
)

if TYPE_CHECKING:
    from ..extract.attempts import Policy
    from ..extract.dataset import Dataset
    from ..extract.options import Options
    from ..extract.plan import Part
    from ..extract.video import Outcome, Settings


@click.command()
@click.option(
    "--videos",
    type=click.Path(path_type=Path),
    help="Folder of videos (searched below), or one video file.  [required]",
)
@cache_option
@click.option(
    "--streams",
    help="Comma-separated encoders, e.g. onet,logmel. `vapipe streams` lists them.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file of named streams with options, views and cropping (docs/streams.md).",
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
    help="Stored precision [default: float16].",
)
@device_option
@click.option(
    "--jobs",
    type=click.IntRange(1),
    help="Processes; 1 stays in this one [default: by the length of the videos, up to the cores].",
)
@failure_options
@batch_options
@click.pass_context
def extract(
    context: click.Context,
    videos: Path | None,
    cache: Path,
    streams: str | None,
    config: Path | None,
    faces: str,
    labels: Path | None,
    split: Path | None,
    ids: Any,
    video_stream: int | None,
    dtype: str | None,
    device: str,
    jobs: int | None,
    retries: int,
    time_limit: float | None,
    memory_limit: float | None,
    max_failures: int | None,
    retry_failed: bool,
    partition: str | None,
    engine: str,
    scheduler: str | None,
    dry_run: bool,
    status: bool,
    slurm_script: Path | None,
    tasks: int,
    as_json: bool,
) -> None:
    """Compute frame-aligned features of videos, once, into the cache.

    Annotations and splits found beside the videos go into the cache too. A run that was stopped
    continues where it was; videos that cannot be used are listed at the end (exit code 3).
    """
    if status:
        show_status(cache, as_json=as_json)
        return
    if videos is None:
        raise click.MissingParameter(ctx=context, param_hint="'--videos'", param_type="option")
    if (engine == "dask") != (scheduler is not None):
        raise ConfigError(
            "--engine dask and --scheduler ADDRESS belong together; `dask scheduler` starts one "
            "and prints its address"
        )
    from ..cache.index import open_catalog
    from ..cache.layout import MARKER
    from ..extract.annotate import find_disappeared
    from ..extract.attempts import Policy
    from ..extract.dataset import find_dataset
    from ..extract.options import choose_options
    from ..extract.plan import Part, take_part

    part = Part.parse(partition) if partition else None
    options = choose_options(streams, dtype, config)
    dataset = find_dataset(videos, labels=labels, split=split, ids=ids)
    if slurm_script:
        write_slurm_script(slurm_script, context, tasks)
        return
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        click.echo(f"{len(dataset.videos)} video(s) in {videos}; {dataset.layout}")
        if videos.is_dir() and (cache / MARKER).exists() and (part is None or part.number == 1):
            for line in find_disappeared(dataset, open_catalog(cache)).lines():
                click.echo(f"  {line}")
        if part:
            dataset = take_part(dataset, part)
            click.echo(f"part {part}: {len(dataset.videos)} of them")
        for name, problem in dataset.problems:
            click.echo(f"  {name}: {problem}")
        settings, jobs = extraction_settings(
            cache, options, faces, device, jobs, dataset, video_stream, scheduler
        )
    if dry_run:
        show_plan(dataset, settings, jobs, retry_failed=retry_failed, as_json=as_json)
        return
    policy = Policy(
        retries=retries,
        time_limit=time_limit,
        memory_limit=round(memory_limit * 1e9) if memory_limit else None,
        max_failures=max_failures,
        retry_failed=retry_failed,
    )
    done, failed = show_extraction(dataset, settings, jobs, policy, part, scheduler)
    failed += len(dataset.problems)
    if not done and dataset.videos:
        click.echo("error: no video could be extracted", err=True)
        sys.exit(ERROR)
    click.echo(f"next: vapipe fit --head grjca{unless_default(cache)}")
    if failed:
        sys.exit(PARTLY)


def extraction_settings(
    cache: Path,
    options: Options,
    faces: str,
    device: str,
    jobs: int | None,
    dataset: Dataset,
    video_stream: int | None = None,
    scheduler: str | None = None,
) -> tuple[Settings, int]:
    """Work out crops, device and processes; say what was chosen."""
    from ..device import check_device_name, choose_device
    from ..executor import describe_scheduler
    from ..extract.run import sensible_jobs
    from ..extract.video import Settings

    crops_dir = None if faces in ("detect", "frame") else Path(faces)
    if crops_dir is not None and not crops_dir.is_dir():
        raise ConfigError(
            f"--faces {faces}: not `detect`, not `frame`, and no folder of crops of that name"
        )
    if scheduler:
        check_device_name(device)  # whether it is there, the workers know
        where = "cpu" if device == "auto" else device
        jobs = 1
        with_what = f"with the workers of {scheduler}: {describe_scheduler(scheduler)}"
    else:
        where = str(choose_device(device))
        jobs = jobs or sensible_jobs(dataset.videos, where, options.streams)
        with_what = f"with {jobs} process(es)"
    click.echo(f"faces: {faces}; computing on {where} {with_what}")
    source: Any = "crops" if crops_dir else faces
    names = ", ".join(stream.name for stream in options.streams)
    click.echo(f"streams: {names} ({options.reason})")
    return Settings(
        cache=cache,
        streams=options.streams,
        crops=dataclasses.replace(options.crops, source=source),
        crops_dir=crops_dir,
        device=where,
        video_stream=video_stream,
    ), jobs


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
