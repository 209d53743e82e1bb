"""The six functions of `import vapipe`: both stages as a notebook uses them, and the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .cache.store import FeatureStore
    from .extract.annotations.reading import Reading
    from .extract.attempts import Policy
    from .extract.job import Extraction, Job
    from .extract.task import Outcome
    from .fusion.config import FitConfig
    from .fusion.evaluation.corruption import Corruption
    from .fusion.evaluation.scoring import Evaluation
    from .fusion.training.fit import FitResult
    from .fusion.training.trainer import Epoch
    from .prediction import Predictions
    from .reports.run_report import WrittenReport

AnyPath = str | PathLike[str]
CACHE = "vapipe-cache"


def extract_features(
    videos: AnyPath,
    *,
    cache: AnyPath = CACHE,
    streams: str | Iterable[str] | None = None,
    config: AnyPath | None = None,
    faces: AnyPath = "detect",
    labels: AnyPath | None = None,
    split: AnyPath | None = None,
    reading: Reading | None = None,
    ids: Literal["stem", "path"] = "stem",
    video_stream: int | None = None,
    audio_stream: int | None = None,
    dtype: str | None = None,
    precision: str = "auto",
    device: str = "auto",
    jobs: int | None = None,
    partition: str | None = None,
    scheduler: str | None = None,
    policy: Policy | None = None,
    warn: Callable[[str], None] = lambda message: None,
    started: Callable[[Job], None] = lambda job: None,
    progress: Callable[[Outcome], None] = lambda outcome: None,
) -> Extraction:
    """Compute what is missing of frame-aligned features of videos, into the cache.

    Annotations and splits found beside the videos go into the cache too. Each video commits by
    itself: a run that was stopped continues where it was.

    Args:
        videos: a folder, searched below, or one file.
        cache: the cache folder; need not be there yet.
        streams: names of encoders, also as one string with commas; None takes those of `config`,
            or the embedded default.
        config: TOML file of named streams.
        faces: "detect", "frame", or the folder of face crops.
        labels: folder of annotations; None looks beside the videos.
        split: file of `video,partition` rows; None looks beside the videos.
        reading: scale, rate, delay ... of the annotations; None reads them as they say.
        ids: whether videos are named by file name or by path.
        video_stream: index in the container, None for the default one.
        audio_stream: likewise.
        dtype: stored precision of all streams; None leaves the file's, or float16.
        precision: of computing: "float32", "bfloat16" or "auto".
        device: "auto", "cpu", "cuda" or "cuda:N".
        jobs: processes; None takes as many as the length of the videos is worth.
        partition: "I/N" takes part I of N.
        scheduler: address of a Dask scheduler whose workers extract.
        policy: how failures are met; None is `Policy()`.
        warn: told what is odd about the streams.
        started: told what will be done, before the first video.
        progress: told of every video.

    Returns:
        Counts, and the videos that could not be used.

    Raises:
        ConfigError: unknown streams or options, no such folder or device.
        MediaError: there is no such folder or video.
        WeightsError: weights are missing or wrong.
        CacheError: the cache cannot be used.
        StoppedError: the disk is full, or too many videos failed.
    """
    from .extract.job import make_job

    job = make_job(
        Path(videos),
        Path(cache),
        streams=streams if streams is None or isinstance(streams, str) else ",".join(streams),
        config=_path(config),
        faces=str(faces),
        labels=_path(labels),
        split=_path(split),
        reading=reading,
        ids=ids,
        video_stream=video_stream,
        audio_stream=audio_stream,
        dtype=dtype,
        precision=precision,
        device=device,
        jobs=jobs,
        partition=partition,
        scheduler=scheduler,
    )
    started(job)
    return job.run(policy, warn=warn, progress=progress)


def open_cache(cache: AnyPath = CACHE) -> FeatureStore:
    """Open a feature cache for reading.

    Raises:
        CacheError: there is none, or it cannot be read.
    """
    from .cache.store import FeatureStore

    return FeatureStore.open(cache)


def fit(
    cache: AnyPath | FeatureStore = CACHE,
    *,
    config: FitConfig | AnyPath | None = None,
    run: AnyPath | None = None,
    progress: Callable[[Epoch], None] | None = None,
    tensorboard: bool = False,
    **options: Any,
) -> FitResult:
    """Train a fusion head on cached features.

    Args:
        cache: with annotated training and validation videos.
        config: options, or a TOML or JSON file of them; None is the defaults.
        run: folder of the run; None takes the next free `vapipe-runs/<head>-<n>`.
        progress: told of every epoch.
        tensorboard: whether to write TensorBoard events into the run, too.
        **options: of `FitConfig`, such as head="grjca"; they win over `config`.

    Raises:
        ConfigError: the options do not fit the cache, or the folder is in use.
        Stopped: in place of KeyboardInterrupt; `fusion.resume` goes on.
    """
    from .fusion.config import FitConfig
    from .fusion.training.fit import fit as train

    if config is None:
        config = FitConfig()
    elif not isinstance(config, FitConfig):
        config = FitConfig.load(Path(config))
    return train(
        _store(cache), config.changed(options), _path(run), progress, tensorboard=tensorboard
    )


def evaluate(
    runs: AnyPath | Sequence[AnyPath],
    cache: AnyPath | FeatureStore = CACHE,
    *,
    partition: str = "validation",
    ensemble: str | None = None,
    smoothing: float = 0.0,
    corruption: Corruption | None = None,
    device: str = "auto",
) -> Evaluation | dict[str, Evaluation]:
    """Compare the predictions of a run, or of several, with the annotation, frame by frame.

    Args:
        runs: a run folder, or several.
        cache: with the streams that the runs were trained on.
        partition: train, validation or test.
        ensemble: mean, ccc, best or fitted: the runs as one, too.
        smoothing: seconds of a centred moving average over the predictions.
        corruption: damage to what the runs are fed.
        device: where to compute.

    Returns:
        The evaluation of the one run, or name -> evaluation.

    Raises:
        ConfigError: not a run, or the cache does not fit it.
    """
    from .fusion.evaluation.evaluate import compare
    from .fusion.evaluation.predict import load_runs

    one = isinstance(runs, (str, PathLike))
    loaded = load_runs(_paths(runs), device)
    results = compare(
        loaded,
        _store(cache),
        partition=partition,
        ensemble=ensemble,
        smoothing=smoothing,
        corruption=corruption,
    )
    return next(iter(results.values())) if one else results


def predict(
    runs: AnyPath | Sequence[AnyPath],
    clips: AnyPath | Sequence[AnyPath] = (),
    *,
    cache: AnyPath | FeatureStore | None = None,
    items: Sequence[str] = (),
    partition: str | None = None,
    ensemble: str = "mean",
    smoothing: float = 0.0,
    out: AnyPath | None = None,
    faces: AnyPath | None = None,
    config: AnyPath | None = None,
    video_stream: int | None = None,
    audio_stream: int | None = None,
    device: str = "auto",
    extract: Callable[[Job], Extraction] | None = None,
) -> Predictions:
    """Predict valence and arousal of every frame: of video files, or of items of a cache.

    Features of video files are made exactly as those that the runs were trained on, or refused.

    Args:
        runs: a run folder, or several that predict as one.
        clips: video files, or folders of them; none takes items of the cache.
        cache: to predict from, or that features of clips go into; None is the default place, or
            for clips a temporary cache.
        items: of the cache; none takes all.
        partition: of the cached items, only those of this part of the split.
        ensemble: mean, ccc, best or fitted.
        smoothing: seconds of a centred moving average.
        out: folder for a CSV per item; None writes none.
        faces: folder of the clips' face crops, for runs that were trained on such.
        config: TOML file of the streams, where their weights have no name.
        video_stream: index in the container, None for the default one.
        audio_stream: likewise.
        device: where to compute.
        extract: runs the extraction of the clips; None runs it quietly.

    Raises:
        ConfigError: not a run, options that do not go together, or features that cannot be had.
    """
    from .errors import ConfigError
    from .prediction import predict_cached, predict_clips

    files = _paths(clips)
    own: Mapping[str, Any] = {
        "faces": _path(faces),
        "config": _path(config),
        "video_stream": video_stream,
        "audio_stream": audio_stream,
    }
    common: dict[str, Any] = {"ensemble": ensemble, "smoothing": smoothing, "device": device}
    if not files:
        given = [name for name, value in own.items() if value is not None]
        if given:
            raise ConfigError(f"{', '.join(given)}: these are for video files; name some")
        return predict_cached(
            _paths(runs),
            Path(cache) if isinstance(cache, (str, PathLike)) else cache or Path(CACHE),
            items=items,
            partition=partition,
            out=_path(out),
            **common,
        )
    if items or partition:
        raise ConfigError("name video files, or items or a partition of the cache, not both")
    return predict_clips(
        _paths(runs),
        files,
        extract or (lambda job: job.run()),
        cache=None if cache is None else _store_path(cache),
        out=_path(out),
        **common,
        **own,
    )


def report(
    runs: AnyPath | Sequence[AnyPath],
    out: AnyPath | None = None,
    *,
    partition: str = "validation",
    media: AnyPath | None = None,
    cache: AnyPath | None = None,
) -> WrittenReport:
    """Write a page about a run, or one that compares runs, to be opened in a browser.

    Args:
        runs: a run folder, or several.
        out: the page; None is report.html in the run, or vapipe-report.html for several.
        partition: train, validation or test.
        media: folder of the video files, to be shown beside the curves.
        cache: where the feature cache lies now; None is the path that the run recorded.

    Raises:
        ConfigError: not a run, or what the page needs is not there.
    """
    from .reports.run_report import write_report

    folders = _paths(runs)
    if out is None:
        out = folders[0] / "report.html" if len(folders) == 1 else Path("vapipe-report.html")
    return write_report(
        folders, Path(out), partition=partition, media=_path(media), cache=_path(cache)
    )


def _path(path: AnyPath | None) -> Path | None:
    return None if path is None else Path(path)


def _paths(paths: AnyPath | Sequence[AnyPath]) -> list[Path]:
    return [Path(p) for p in ([paths] if isinstance(paths, (str, PathLike)) else paths)]


def _store(cache: AnyPath | FeatureStore) -> FeatureStore:
    return open_cache(cache) if isinstance(cache, (str, PathLike)) else cache


def _store_path(cache: AnyPath | FeatureStore) -> Path:
    return Path(cache) if isinstance(cache, (str, PathLike)) else cache.root
