"""Both stages joined: features of new clips made as a run's were, and predicted."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .cache.durable import digest_file, write_bytes
from .cache.store import FeatureStore
from .cache.timeline import Valid, on_other_tracks, usable
from .errors import ConfigError
from .extract.dataset import Dataset, Video, find_dataset
from .extract.job import Extraction, Job
from .extract.options import choose_options
from .extract.plan import sensible_jobs
from .extract.prepare import repeat_streams
from .fusion.evaluation.ensemble import ensemble_weights, name_shares
from .fusion.evaluation.predict import all_streams, complete_items, predict_items
from .fusion.evaluation.results import find_evidence, find_faces, write_predictions
from .fusion.runs.folder import Run, require_configs

INDEX = "index.tsv"
# Code of rows with pictures but no boxes -> why.
_BOXLESS = {
    Valid.CROPPED: "their crops were read from files",
    Valid.IMAGE: "whole frames were seen, no faces looked for",
    Valid.IMPORTED: "their features were imported without",
}
_OLD = (
    "an earlier vapipe extracted them and stored none; `vapipe cache remove VIDEO` and "
    "`vapipe extract` add them"
)
Extract = Callable[[Job], Extraction]


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was predicted for one item.

    Attributes:
        pts: [T] float64, seconds, the times of the frames.
        values: [T, targets] float32.
        targets: what the columns are.
        evidence: `face`, `sound` (of the streams that the runs use) -> [T] codes of `Valid`: what
            each row rests on, or why it cannot.
        boxes: [T, 4] float32, left, top, width and height of the face in pixels of the frame as
            displayed, NaN where none is known; None where the runs see no pictures.
        tracks: [T] numbers for whom rows show, see `FeatureStore.tracks`; None likewise.
        clip: the video file, None for an item of a cache.
        file: the CSV that holds it, None where none was asked for.
    """

    pts: np.ndarray
    values: np.ndarray
    targets: tuple[str, ...]
    evidence: dict[str, np.ndarray]
    boxes: np.ndarray | None = None
    tracks: np.ndarray | None = None
    clip: Path | None = None
    file: Path | None = None

    @property
    def seen(self) -> dict[str, np.ndarray]:
        """`face`, `sound` -> [T] bool, whether it was there."""
        return {kind: usable(codes) for kind, codes in self.evidence.items()}

    @property
    def others(self) -> np.ndarray:
        """[T] bool, rows whose face is not recognised as the person of most rows."""
        nobody = np.zeros(len(self.pts), np.uint16)
        return on_other_tracks(nobody if self.tracks is None else self.tracks)

    @property
    def boxless(self) -> str:
        """Why no face has a box; empty where some have, or where there is no face."""
        if self.boxes is None or np.isfinite(self.boxes).any() or not self.seen["face"].any():
            return ""
        return _BOXLESS.get(Valid(self.evidence["face"][self.seen["face"]][0]), _OLD)


@dataclass(frozen=True, eq=False)
class Predictions:
    """What was predicted, and what could not be.

    Attributes:
        items: item id -> prediction.
        shares: run -> target -> its share.
        lacking: item of the cache -> streams that it lacks, so that it was left out.
        problems: number of clips that could not be used, wholly or in part.
    """

    items: dict[str, Prediction]
    shares: dict[str, dict[str, float]]
    lacking: dict[str, list[str]]
    problems: int


def predict_clips(
    runs: Mapping[str, Run],
    clips: Sequence[Path],
    extract: Extract,
    *,
    cache: Path | None,
    ensemble: str,
    smoothing: float,
    out: Path | None,
    **sources: Any,
) -> Predictions:
    """Predict every frame of video files; arguments as in `api.predict`.

    Raises:
        ConfigError: the streams of the runs cannot be made here, names that clash with those of
            the cache, or no clip could be extracted.
    """
    weights = ensemble_weights(ensemble, {n: r.path for n, r in runs.items()}, None, smoothing)
    dataset = _find_clips(clips, cache)
    with _folder(cache) as folder:
        problems = 0
        for job in _repeat_jobs(runs, dataset, folder, **sources):
            extraction = extract(job)
            if not extraction.usable:
                raise ConfigError("no video could be extracted, so there is nothing to predict")
            problems = max(problems, len(extraction.problems))
        store = FeatureStore.open(folder)
        found, _ = complete_items(runs, store)
        files = {s.id: video.path for video in dataset.videos for s in video.subjects}
        chosen = [item for item in found if item in files]
        items = _predict(runs, store, chosen, weights, smoothing, out, files)
    return Predictions(
        items,
        name_shares({n: r.path for n, r in runs.items()}, weights),
        {},
        problems + len(dataset.problems),
    )


def predict_cached(
    runs: Mapping[str, Run],
    store: FeatureStore,
    *,
    items: Sequence[str],
    partition: str | None,
    ensemble: str,
    smoothing: float,
    out: Path | None,
) -> Predictions:
    """Predict every frame of items of a cache; arguments as in `api.predict`.

    Raises:
        ConfigError: the cache lacks the streams of the runs.
    """
    weights = ensemble_weights(ensemble, {n: r.path for n, r in runs.items()}, store, smoothing)
    chosen = list(items)
    lacking: dict[str, list[str]] = {}
    if not chosen:
        chosen, lacking = complete_items(runs, store, partition)
    predicted = _predict(runs, store, chosen, weights, smoothing, out, {})
    return Predictions(
        predicted, name_shares({n: r.path for n, r in runs.items()}, weights), lacking, 0
    )


@contextmanager
def _folder(cache: Path | None) -> Iterator[Path]:
    """The cache that features of clips go into; a temporary one where none is named."""
    if cache is not None:
        yield cache
        return
    with tempfile.TemporaryDirectory(prefix="vapipe-") as folder:
        yield Path(folder) / "cache"


def _predict(
    runs: Mapping[str, Run],
    store: FeatureStore,
    chosen: Sequence[str],
    weights: np.ndarray,
    smoothing: float,
    out: Path | None,
    clips: Mapping[str, Path],
) -> dict[str, Prediction]:
    values = predict_items(runs, store, chosen, weights=weights, smoothing=smoothing)
    targets = next(iter(runs.values())).config.learned
    streams = all_streams(runs, store)
    evidence = {item: find_evidence(store, item, streams) for item in chosen}
    faces = {item: find_faces(store, item, streams) for item in chosen}
    files: dict[str, Path] = {}
    if out is not None:
        files = write_predictions(out, values, store, targets, evidence, faces)
        _write_index(out, files, clips)
    found = {}
    for item, own in values.items():
        boxes, tracks = faces[item] or (None, None)
        found[item] = Prediction(
            pts=store.timeline(item).pts,
            values=own,
            targets=targets,
            evidence=evidence[item],
            boxes=boxes,
            tracks=tracks,
            clip=clips.get(item),
            file=files.get(item),
        )
    return found


def _write_index(out: Path, files: Mapping[str, Path], clips: Mapping[str, Path]) -> None:
    """Say which file holds which item of which input; what the folder held before stays listed.

    Raises:
        ConfigError: a file of this name is another.
    """
    path, columns = out / INDEX, ("file", "item", "input")
    rows: dict[str, dict[str, str]] = {}
    if path.exists():
        with path.open(newline="") as handle:
            reader = csv.DictReader(handle, delimiter="\t")
            if tuple(reader.fieldnames or ()) != columns:
                raise ConfigError(f"{path} lists no predictions; move it, or name another --out")
            rows = {row["file"]: row for row in reader}
    for item, file in files.items():
        row = {"file": file.name, "item": item, "input": str(clips.get(item, ""))}
        rows[file.name] = row
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for _, row in sorted(rows.items()))
    write_bytes(path, text.getvalue().encode())


def _find_clips(clips: Sequence[Path], cache: Path | None) -> Dataset:
    """The clips, and those below folders, as one data set without annotations."""
    found = [find_dataset(path) for path in clips]
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
        _check_names(list(videos.values()), FeatureStore.open(cache))
    return Dataset(tuple(videos.values()), {}, problems, "annotations are not needed")


def _check_names(videos: Sequence[Video], store: FeatureStore) -> None:
    """Refuse to replace what a cache holds under the name of a new video."""
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


def _repeat_jobs(
    runs: Mapping[str, Run],
    dataset: Dataset,
    cache: Path,
    *,
    faces: Path | None,
    config: Path | None,
    video_stream: int | None,
    audio_stream: int | None,
) -> list[Job]:
    """The extractions that make the very streams of the runs; streams of one name run apart."""
    extractions = repeat_streams(
        [facts for run in runs.values() for facts in require_configs(run)],
        cache=cache,
        device=str(next(iter(runs.values())).device),
        described=choose_options(None, None, config).streams if config else (),
        crops_dir=faces,
        video_stream=video_stream,
        audio_stream=audio_stream,
    )
    specs = [spec for settings in extractions for spec in settings.specs]
    jobs = sensible_jobs(dataset.videos, extractions[0].device, specs)
    return [Job(dataset, settings, jobs, "as in training") for settings in extractions]
