"""`vapipe predict`: both stages joined, for videos that are in no cache, or for cached items."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import ConfigError
from .console import (
    DEFAULT_CACHE,
    PARTLY,
    device_option,
    ensemble_option,
    progress_lines,
    show_shares,
    smooth_option,
)
from .extract import show_extraction

if TYPE_CHECKING:
    import numpy as np

    from ..cache.store import FeatureStore
    from ..extract.dataset import Dataset, Video
    from ..extract.task import Settings
    from ..fusion.runs.folder import Run


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--with",
    "others",
    multiple=True,
    metavar="RUN",
    type=click.Path(path_type=Path),
    help="A further run; all are predicted as one. Repeat for more.",
)
@ensemble_option(default="mean")
@smooth_option
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    help="Cache to predict from, or that features of INPUTS go into "
    f"[default: {DEFAULT_CACHE}, or for INPUTS a temporary one].",
)
@click.option(
    "--video", "videos", multiple=True, metavar="ID", help="A cached item; repeat [default: all]."
)
@click.option(
    "--partition",
    type=click.Choice(["train", "validation", "test"]),
    help="Only the cached items of this part of the split, annotated or not.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="./vapipe-predictions",
    show_default=True,
    help="Folder of the results; files of the same names are replaced.",
)
@click.option("--overlay", is_flag=True, help="Also write each video with the curves drawn beside.")
@click.option(
    "--faces",
    metavar="DIR",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Face crops of INPUTS, for runs that were trained on such.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="TOML file of the streams, where their weights have no name (docs/streams.md).",
)
@click.option("--video-stream", type=int, help="Index of the video stream, where a file has many.")
@click.option("--audio-stream", type=int, help="Index of the audio stream, where a file has many.")
@device_option
def predict(
    run: Path,
    inputs: tuple[Path, ...],
    others: tuple[Path, ...],
    ensemble: str,
    smooth: float,
    cache: Path | None,
    videos: tuple[str, ...],
    partition: str | None,
    out: Path,
    overlay: bool,
    faces: Path | None,
    config: Path | None,
    video_stream: int | None,
    audio_stream: int | None,
    device: str,
) -> None:
    """Predict valence and arousal of every frame with the run folder RUN.

    INPUTS are videos or folders of videos: their features are made exactly as those that the run
    was trained on, or refused. Without INPUTS, items of the cache are predicted. Writes one CSV per
    video: row, pts (seconds), valence, arousal.
    """
    from ..fusion.evaluation.ensemble import ensemble_weights, name_shares
    from ..fusion.evaluation.predict import load_runs, predict_items

    if sum(map(bool, (inputs, videos, partition))) > 1:
        raise click.UsageError(
            "give INPUTS, or --video or --partition for items of the cache, not both"
        )
    for option, value in (
        ("--overlay", overlay),
        ("--faces", faces),
        ("--config", config),
        ("--video-stream", video_stream is not None),
        ("--audio-stream", audio_stream is not None),
    ):
        if value and not inputs:
            raise click.UsageError(f"{option} is for video files: name them as INPUTS")
    runs = load_runs([run, *others], device)
    store = None if inputs else _open(cache or Path(DEFAULT_CACHE))
    weights = ensemble_weights(ensemble, {n: r.path for n, r in runs.items()}, store, smooth)
    if len(runs) > 1:
        show_shares(name_shares(runs, weights))
    with ExitStack() as stack:
        failed, files = 0, {}
        if inputs:
            dataset = _find(inputs, cache)
            show = show_extraction
            if cache is None:
                show = partial(show_extraction, temporary=True)
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="vapipe-"))
                cache = Path(folder) / "cache"
            failed = _extract(
                dataset, runs, cache, device, faces, config, video_stream, audio_stream, show
            )
            files = {s.id: video.path for video in dataset.videos for s in video.subjects}
        store = store or _open(cache or Path(DEFAULT_CACHE))
        chosen, lacking = _choose(runs, store, videos, partition, list(files))
        predictions = predict_items(runs, store, chosen, weights=weights, smoothing=smooth)
        _write(predictions, runs, store, out)
        if overlay:
            _overlay(predictions, files, out, video_stream)
    if failed or lacking:
        sys.exit(PARTLY)


def _open(cache: Path) -> FeatureStore:
    from ..cache.store import FeatureStore

    return FeatureStore.open(cache)


def _find(inputs: tuple[Path, ...], cache: Path | None) -> Dataset:
    """The videos of the inputs as one data set without annotations."""
    from ..extract.dataset import Dataset, find_dataset

    found = [find_dataset(path) for path in inputs]
    videos: dict[str, Video] = {}
    for video in (video for each in found for video in each.videos):
        other = videos.setdefault(video.id, video)
        if other.path.resolve() != video.path.resolve():
            raise ConfigError(
                f"{other.path} and {video.path} would both be called {video.id}; predict them one "
                "after the other, into different folders (--out)"
            )
    problems = tuple(p for each in found for p in each.problems if p[0] not in each.annotations)
    if cache is not None and cache.exists():
        _check_names(list(videos.values()), _open(cache))
    return Dataset(tuple(videos.values()), {}, problems, "annotations are not needed")


def _check_names(videos: list[Video], store: FeatureStore) -> None:
    """Refuse to replace what a cache holds under the name of a new video."""
    from ..cache.durable import digest_file

    for video in videos:
        if video.id not in store.sources():
            continue
        digest = store.source(video.id)["sha256"]
        possible = {video.id, f"{video.id}_left", f"{video.id}_right"} & set(store.videos())
        subjects = sorted(i for i in possible if store.source(i)["sha256"] == digest)
        if digest_file(video.path) != digest:
            raise ConfigError(
                f"{store.root} holds another file under the name {video.id}; rename {video.path}, "
                "or leave --cache out for a temporary cache"
            )
        if {subject.id for subject in video.subjects} != set(subjects):
            raise ConfigError(
                f"{store.root} follows {', '.join(subjects)} in {video.path}; predict these by "
                "name with --video and without the file, or leave --cache out"
            )


def _extract(
    dataset: Dataset,
    runs: dict[str, Run],
    cache: Path,
    device: str,
    faces: Path | None,
    config: Path | None,
    video_stream: int | None,
    audio_stream: int | None,
    show: Callable[[Dataset, Settings, int], tuple[int, int]],
) -> int:
    """Make the streams of all runs; how many videos had problems."""
    from ..device import choose_device
    from ..extract.options import choose_options
    from ..extract.plan import sensible_jobs
    from ..extract.prepare import repeat_streams
    from ..fusion.runs.folder import require_configs

    streams = [facts for run in runs.values() for facts in require_configs(run)]
    where = str(choose_device(device))
    described = choose_options(None, None, config).streams if config else ()
    extractions = repeat_streams(
        streams,
        cache=cache,
        device=where,
        described=described,
        crops_dir=faces,
        video_stream=video_stream,
        audio_stream=audio_stream,
    )
    everything = [spec for settings in extractions for spec in settings.specs]
    names = ", ".join(f"{spec.stream}@{spec.key()[:8]}" for spec in everything)
    click.echo(f"{len(dataset.videos)} video(s); streams as in training: {names}; on {where}")
    for name, problem in dataset.problems:
        click.echo(f"  {name}: {problem}", err=True)
    jobs = sensible_jobs(dataset.videos, where, everything)
    done, failed = zip(*(show(dataset, settings, jobs) for settings in extractions), strict=True)
    if not min(done):
        raise ConfigError("no video could be extracted, so there is nothing to predict")
    return max(failed) + len(dataset.problems)


def _choose(
    runs: dict[str, Run],
    store: FeatureStore,
    videos: tuple[str, ...],
    partition: str | None,
    extracted: list[str],
) -> tuple[list[str], int]:
    """The items to predict, and how many cannot be, which are listed."""
    from ..fusion.evaluation.predict import complete_items

    if videos:
        return list(videos), 0
    complete, lacking = complete_items(runs, store, partition)
    if extracted:
        return [video for video in complete if video in extracted], 0  # of others, it was told
    for video, names in lacking.items():
        click.echo(f"  {video} lacks {', '.join(names)}; not predicted", err=True)
    return complete, len(lacking)


def _write(
    predictions: Mapping[str, np.ndarray], runs: dict[str, Run], store: FeatureStore, out: Path
) -> None:
    """Write and tell of each item."""
    from ..fusion.evaluation.predict import unusable_items
    from ..fusion.evaluation.results import write_predictions

    files = write_predictions(out, predictions, store)
    for video in unusable_items(runs, store, list(predictions)):
        click.echo(
            f"warning: no row of {video} is usable in any stream; its predictions say nothing",
            err=True,
        )
    for video, values in predictions.items():
        valence, arousal = values.mean(axis=0)
        click.echo(
            f"{files[video]}: {len(values)} frames, mean valence {valence:+.2f}, "
            f"arousal {arousal:+.2f}"
        )


def _overlay(
    predictions: dict[str, np.ndarray],
    files: dict[str, Path],
    out: Path,
    video_stream: int | None,
) -> None:
    from ..fusion.evaluation.results import file_name
    from ..reports.overlay import write_overlay

    with progress_lines(len(predictions), "drawing") as step:
        for video, values in predictions.items():
            path = write_overlay(
                files[video], out / file_name(video), values, video_stream=video_stream
            )
            step(1, str(path), video)
