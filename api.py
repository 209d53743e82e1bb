"""The functions of `import vapipe`: both stages as a notebook uses them, and the commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .cache.store import FeatureStore
    from .extract.attempts import Policy
    from .extract.job import Extraction, Job
    from .extract.task import Outcome
    from .fusion.config import FitConfig
    from .fusion.data.plan import Plan
    from .fusion.evaluation.corruption import Corruption
    from .fusion.evaluation.robustness import Curve
    from .fusion.evaluation.scoring import Evaluation
    from .fusion.evaluation.submission import Submission
    from .fusion.papers.sweep import Sweep
    from .fusion.training.fit import FitResult
    from .fusion.training.trainer import Epoch
    from .prediction import Predictions
    from .reports.run_report import WrittenReport

AnyPath = str | PathLike[str]
CACHE = "./vapipe-cache"


def extract_features(
    videos: AnyPath,
    *,
    cache: AnyPath = CACHE,
    policy: Policy | None = None,
    warn: Callable[[str], None] = lambda message: None,
    started: Callable[[Job], None] = lambda job: None,
    progress: Callable[[Outcome], None] = lambda outcome: None,
    **options: Any,
) -> Extraction:
    """Compute what is missing of frame-aligned features of videos, into the cache.

    Annotations and splits found beside the videos go into the cache too. Each video commits by
    itself: a run that was stopped continues where it was.

    Args:
        videos: a folder, searched below, or one file.
        cache: need not be there yet.
        policy: how failures are met.
        warn: told what is odd about the streams.
        started: told what will be done, before the first video.
        progress: told of every video.
        **options: of `extract.job.JobOptions`, such as streams="onet,logmel", config, faces,
            labels, split, device, jobs or scheduler.

    Raises:
        ConfigError: unknown streams or options, no such folder or device.
        MediaError: there is no such folder or video.
        WeightsError: weights are missing or wrong.
        CacheError: the cache cannot be used.
        StoppedError: the disk is full, or too many videos failed.
    """
    from .extract.job import JobOptions, make_job

    job = make_job(Path(videos), Path(cache), JobOptions(**options))
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
    cache: AnyPath | FeatureStore | None = None,
    *,
    config: FitConfig | AnyPath | None = None,
    run: AnyPath | None = None,
    resume: AnyPath | None = None,
    started: Callable[[Plan], None] | None = None,
    progress: Callable[[Epoch], None] | None = None,
    trackers: Sequence[str] = (),
    **options: Any,
) -> FitResult:
    """Train a fusion head on cached features.

    Args:
        cache: with annotated training and validation videos; None is the default place, or what
            the interrupted run was begun on.
        config: options, or a TOML or JSON file of them; None is the defaults.
        run: folder of the run; None takes the next free `vapipe-runs/<head>-<n>`.
        resume: folder of an interrupted run that is gone on with, to the same numbers.
        started: told what will be trained, before it is.
        progress: told of every epoch.
        trackers: told of every epoch, too: tensorboard (events in the run), wandb, mlflow.
        **options: of `FitConfig`, such as head="grjca"; they win over `config`.

    Raises:
        ArgumentsError: `resume` beside `run` or `config`.
        ConfigError: options that do nothing, or do not fit the cache; a folder in use.
        FitInterrupted: in place of KeyboardInterrupt; `resume` goes on with its `folder`.
    """
    from .errors import ArgumentsError
    from .fusion.acting import choose_config

    told: dict[str, Any] = {"progress": progress, "started": started, "trackers": trackers}
    if resume is None:
        chosen, named = choose_config(_config(config), options)
        from .fusion.training import fit as training  # torch, once the options are sound

        return training.fit(_store(cache), chosen, _path(run), named=named, **told)
    if run is not None or config is not None:
        raise ArgumentsError("resume names the run and its configuration: leave run and config out")
    from .fusion.runs.folder import read_unfinished
    from .fusion.training import fit as training

    folder = Path(resume)
    changed = read_unfinished(folder).changed(options)
    return training.resume(_store(cache, [folder]), folder, changed, **told)


def evaluate(
    runs: AnyPath | Sequence[AnyPath],
    cache: AnyPath | FeatureStore | None = None,
    *,
    partition: str = "validation",
    ensemble: str | None = None,
    smoothing: float = 0.0,
    corruption: Corruption | None = None,
    out: AnyPath | None = None,
    gates: bool = False,
    device: str = "auto",
) -> Evaluation | dict[str, Evaluation]:
    """Compare the predictions of a run with the annotation, frame by frame; of several by name.

    Args:
        runs: a run folder, or several.
        cache: with the streams that the runs were trained on; None is the one that they recorded.
        partition: train, validation or test.
        ensemble: mean, ccc, best or fitted: the runs as one, too.
        smoothing: seconds of a centred moving average over the predictions.
        corruption: damage to what the runs are fed.
        out: folder for predictions and measures; None writes none.
        gates: whether to write the gates of the heads into the runs' folders.
        device: where to compute.

    Raises:
        ConfigError: not a run, or the cache does not fit it.
    """
    from .fusion.evaluation.evaluate import compare
    from .fusion.evaluation.predict import load_runs

    store = _store(cache, _paths(runs))
    results = compare(
        load_runs(_paths(runs), device),
        store,
        partition=partition,
        ensemble=ensemble,
        smoothing=smoothing,
        corruption=corruption,
        out=_path(out),
        gates=gates,
    )
    return next(iter(results.values())) if isinstance(runs, (str, PathLike)) else results


def robustness(
    runs: AnyPath | Sequence[AnyPath],
    damages: Sequence[str],
    cache: AnyPath | FeatureStore | None = None,
    *,
    seed: int = 0,
    partition: str = "validation",
    ensemble: str | None = None,
    smoothing: float = 0.0,
    device: str = "auto",
) -> Iterator[Curve]:
    """Evaluate runs under damage to what they are fed; the runs keep the points for reports.

    Args:
        runs: these and those not listed are as in `evaluate`.
        damages: `KIND=SEVERITY,...` each, such as "drop-audio=0,0.5,1".
        seed: of the damage.

    Yields:
        For each kind a list of (damage, name -> evaluation).
    """
    from .fusion.evaluation.predict import load_runs
    from .fusion.evaluation.robustness import measure_curves

    store = _store(cache, _paths(runs))
    same: dict[str, Any] = {"partition": partition, "ensemble": ensemble, "smoothing": smoothing}
    return measure_curves(load_runs(_paths(runs), device), store, damages, seed=seed, **same)


def sweep(
    cache: AnyPath | FeatureStore = CACHE,
    *,
    config: FitConfig | AnyPath | None = None,
    out: AnyPath | None = None,
    **asked: Any,
) -> Sweep:
    """Plan fits that are compared in tables: `.estimate()`, `.run()`, `.tabulate(results)`.

    Finished fits in the folder are kept and interrupted ones go on.

    Args:
        cache: with annotated videos.
        config: what all fits share: options, or a TOML or JSON file of them.
        out: folder; None is `vapipe-sweep`, or `vapipe-papers/<paper>`.
        **asked: `heads` ("grjca", "grjca:paper", "transformer:ctyunai"), `grid` (option -> values),
            `folds` and `seeds` (numbers), `split` (None is aff-wild2 where folds are asked for and
            nothing says a split), `changes` (option -> value, in every row), `baseline` (a row),
            `per_fold` (a row for every fold), `devices`, `jobs` (fits at once); or `paper`, the
            name of one whose tables are made.

    Raises:
        ArgumentsError: two that say the same, or something beside `paper`.
        ConfigError: a fit that cannot be, two that would be the same, or an option that does
            nothing.
    """
    from .fusion.papers.rows import cross

    cross(asked.get("heads", ()), {})  # refuses unknown ones; torch, once they are sound
    from .fusion.papers.sweep import plan_sweep

    return plan_sweep(_store(cache), config=_config(config), out=_path(out), **asked)


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
        runs: a run folder, or several as one; these and those not listed are as in `evaluate`.
        clips: video files, or folders of them; none takes items of the cache.
        cache: to predict from, or that features of clips go into; None is the one that the runs
            recorded, or for clips a temporary cache.
        items: of the cache; none takes all.
        partition: of the cached items, only those of this part of the split.
        out: folder for a CSV per item; None writes none.
        faces: folder of the clips' face crops, for runs that were trained on such.
        config: TOML file of the streams, where their weights have no name.
        video_stream: index in the container, None for the default one.
        audio_stream: likewise.
        extract: runs the extraction; None runs it quietly.

    Raises:
        ConfigError: not a run, options that do not go together, or features that cannot be had.
    """
    from .errors import ArgumentsError
    from .extract.dataset import require_videos
    from .fusion.runs.recorded import require_run

    files, folders = _paths(clips), _paths(runs)
    own: dict[str, Any] = {"faces": _path(faces), "config": _path(config)}
    own |= {"video_stream": video_stream, "audio_stream": audio_stream}
    if sum(map(bool, (files, items, partition))) > 1:
        raise ArgumentsError(
            "give INPUTS, or --video or --partition for items of the cache, not both"
        )
    given = [name.replace("_", "-") for name, value in own.items() if value is not None]
    if given and not files:
        raise ArgumentsError(f"--{given[0]} is for video files: name them as INPUTS")
    for path in folders:
        require_run(path)
    for path in files:
        require_videos(path)
    store = None if files else _store(cache, folders)

    from .fusion.evaluation.predict import load_runs  # torch, once the arguments are sound
    from .prediction import predict_cached, predict_clips

    loaded = load_runs(folders, device)
    common: dict[str, Any] = {"ensemble": ensemble, "smoothing": smoothing, "out": _path(out)}
    if store is None:
        root = cache if cache is None or isinstance(cache, (str, PathLike)) else cache.root
        quiet = extract or (lambda job: job.run())
        return predict_clips(loaded, files, quiet, cache=_path(root), **common, **own)
    return predict_cached(loaded, store, items=items, partition=partition, **common)


def submit(
    runs: AnyPath | Sequence[AnyPath],
    sample: AnyPath,
    out: AnyPath,
    cache: AnyPath | FeatureStore | None = None,
    *,
    pad: bool = False,
    cut: bool = False,
    ensemble: str = "mean",
    smoothing: float = 0.0,
    device: str = "auto",
    each: bool = False,
) -> Submission:
    """Write the text file that a challenge takes; no annotation is needed.

    Args:
        runs: these and those not listed are as in `predict`.
        sample: the organisers' sample file: it says which rows, in which order.
        out: a new file.
        cache: with the items that the sample names; None is the one that the runs recorded.
        pad: fill rows beyond a video's last frame (up to 5) with its last prediction.
        cut: leave out frames (up to 5) beyond the sample's last row of a video.
        each: whether `out` is a new folder for a file of every run and one of the ensemble.

    Raises:
        SubmissionError: the file exists, or sample and cache do not fit.
        ConfigError: not a run, or the cache lacks its streams.
    """
    from .fusion.evaluation.submission import submit

    return submit(
        _paths(runs),
        _store(cache, _paths(runs)),
        Path(sample),
        Path(out),
        pad=pad,
        cut=cut,
        ensemble=ensemble,
        smoothing=smoothing,
        device=device,
        each=each,
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
        out: the page; None is report.html in the run, or vapipe-report.html for several.
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


def _config(config: FitConfig | AnyPath | None) -> FitConfig | Path | None:
    return Path(config) if isinstance(config, (str, PathLike)) else config


def _paths(paths: AnyPath | Sequence[AnyPath]) -> list[Path]:
    return [Path(p) for p in ([paths] if isinstance(paths, (str, PathLike)) else paths)]


def _store(cache: AnyPath | FeatureStore | None, runs: Sequence[Path] = ()) -> FeatureStore:
    """The cache given; else the one that the runs recorded, or without runs the default one."""
    if cache is not None and not isinstance(cache, (str, PathLike)):
        return cache
    if cache is None and runs:
        from .fusion.runs.recorded import shared_cache

        cache = shared_cache(runs)
    return open_cache(CACHE if cache is None else cache)
