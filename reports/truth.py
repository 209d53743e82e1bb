"""What the cache says of a run's videos: annotation, times, and why rows could not be used."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cache.store import FeatureStore
from ..cache.timeline import Valid, on_other_tracks, usable
from ..errors import ConfigError, counted
from ..fusion.config import FitConfig
from ..fusion.data.plan import SPEECH, Plan, fingerprint, speech
from ..fusion.evaluation.evaluate import name_runs
from ..fusion.evaluation.results import require_agreement
from ..fusion.runs.folder import find_streams
from ..fusion.runs.recorded import cache_of
from .records import RunRecord, read_record

# Code of an unusable row -> what it means for a reader.
REASONS = {
    Valid.MISSING: "unknown",
    Valid.NO_FACE: "no face",
    Valid.NO_CROP: "no face crop",
    Valid.NO_AUDIO: "no audio",
    Valid.DECODE_ERROR: "frame not decodable",
}


@dataclass(frozen=True)
class Lane:
    """Stretches of a video in which something is missing, or another person may be seen.

    Attributes:
        label: what, for a reader.
        kind: `visual`, `audio`, `speech` or `labels`.
        spans: [n, 2] rows, from and to (exclusive).
    """

    label: str
    kind: str
    spans: np.ndarray


@dataclass(frozen=True)
class VideoTruth:
    """One item.

    Attributes:
        video: its id.
        pts: [T] seconds.
        fps: hertz.
        labels: [T, 2] float32, NaN where not annotated.
        lanes: what is missing, where.
        source: facts of the video file.
    """

    video: str
    pts: np.ndarray
    fps: float
    labels: np.ndarray
    lanes: list[Lane]
    source: dict


def read_runs(
    runs: Sequence[Path], partition: str, cache: Path | None
) -> tuple[list[RunRecord], list[VideoTruth]]:
    """What the folders of runs say of a partition, and what the cache says of its videos.

    Args:
        cache: where the cache lies; None takes the path that each run recorded.

    Raises:
        ConfigError: a run that cannot be read or was not evaluated on the partition, runs that do
            not predict the same videos, predictions that do not have the CCC of their evaluation,
            a cache that is gone or has changed.
    """
    records = [read_record(name, path, partition) for name, path in name_runs(runs).items()]
    truth = _truth_of(records, cache)
    labels = {item.video: item.labels for item in truth}
    for record in records:
        require_agreement(record.path, record.evaluation["ccc"], record.predictions, labels)
    return records, truth


def open_cache(record: RunRecord, folder: Path | None) -> FeatureStore:
    """Open the cache that a run was trained on, and make sure that it still is what it was.

    Args:
        record: the run.
        folder: where the cache lies; None takes the path that the run recorded.

    Raises:
        ConfigError: it is gone, lacks videos or streams of the run, or has changed.
    """
    root = cache_of(record.path, folder)
    store = FeatureStore.open(root)
    _require_videos(record, store)
    advice = (
        "Its validity codes are needed: extract the stream as it was, or name the cache that has "
        "it with --cache"
    )
    streams = find_streams(record.path, record.cache["streams"], store, advice)
    config = dataclasses.replace(FitConfig.from_json(record.config), streams=streams)
    videos = record.cache["videos"]
    plan = Plan(config, {}, videos["train"], videos["validation"], [], [])
    if fingerprint(store, plan) != record.cache["digest"]:
        raise ConfigError(
            f"{root} has changed since the run {record.path} began (annotations, partitions or "
            "video files), so its scores do not belong to what is there now: name the cache as it "
            "was with --cache, or fit again"
        )
    return store


def read_truth(
    store: FeatureStore,
    videos: Sequence[str],
    streams: Sequence[str],
    targets: Sequence[str] | None = None,
) -> list[VideoTruth]:
    """What the cache says of videos, and of the rows of streams (`name@key`) for them.

    Where it holds the stream `vad` (under one key), what is no speech is told, too.
    """
    found = []
    spoken = [name for name in store.streams() if len(store.keys(name)) == 1]
    for video in videos:
        timeline, labels = store.timeline(video), store.labels(video, targets)
        lanes = []
        for stream in streams:
            lanes += _lanes(store.modality(stream), store.status(video, stream))
            others = on_other_tracks(store.tracks(video, stream))
            if others.any():
                lanes.append(Lane("another track", "visual", spans_of(others)))
        if SPEECH in spoken and store.has(video, SPEECH):
            quiet = ~speech(store, video) & usable(store.status(video, SPEECH))
            if quiet.any():
                lanes.append(Lane("no speech", "speech", spans_of(quiet)))
        unlabelled = ~np.isfinite(labels).all(axis=1)
        if unlabelled.any():
            lanes.append(Lane("not annotated", "labels", spans_of(unlabelled)))
        found.append(
            VideoTruth(
                video, timeline.pts, timeline.fps, labels, _merge(lanes), store.source(video)
            )
        )
    return found


def spans_of(marked: np.ndarray) -> np.ndarray:
    """Stretches of True in marked [T]: [n, 2], from and to (exclusive)."""
    steps = np.diff(np.concatenate([[0], marked.astype(np.int8), [0]]))
    return np.column_stack([np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)])


def run_stream_names(record: RunRecord) -> list[str]:
    """`stream@key` of the streams that a run was trained on."""
    return [f"{facts['stream']}@{facts['key']}" for facts in record.cache["streams"].values()]


def _require_videos(record: RunRecord, store: FeatureStore) -> None:
    needed = {*record.predictions, *record.cache["videos"]["train"]}
    needed |= set(record.cache["videos"]["validation"])
    lacking = sorted(needed - set(store.videos()))
    if lacking:
        raise ConfigError(
            f"{store.root} lacks {len(lacking)} of the {counted(len(needed), 'video')} of the run "
            f"{record.path} ({', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}); name "
            "the cache that it was trained on with --cache, or extract them again"
        )
    for video, values in record.predictions.items():
        if len(values) != store.rows(video):
            raise ConfigError(
                f"{video}: {counted(len(values), 'row')} of predictions in {record.path} for "
                f"{counted(store.rows(video), 'frame')} in {store.root}; name the cache that the "
                "run was trained on with --cache, or fit again"
            )


def _lanes(modality: str, codes: np.ndarray) -> list[Lane]:
    return [
        Lane(reason, modality, spans_of(codes == code))
        for code, reason in REASONS.items()
        if (codes == code).any()
    ]


def _merge(lanes: Sequence[Lane]) -> list[Lane]:
    """Streams of one modality mostly miss the same rows: equal lanes are shown once."""
    kept: dict[tuple, Lane] = {}
    for lane in lanes:
        kept.setdefault((lane.label, lane.kind, lane.spans.tobytes()), lane)
    return list(kept.values())


def _truth_of(records: Sequence[RunRecord], cache: Path | None) -> list[VideoTruth]:
    """What the caches say of the videos, which must be the same of all runs."""
    first, *others = records
    videos = list(first.predictions)
    for other in others:
        if set(other.predictions) != set(videos):
            apart = sorted(set(other.predictions) ^ set(videos))
            raise ConfigError(
                f"{first.name} and {other.name} were evaluated on other videos ({len(apart)} are "
                f"in one of them only: {', '.join(apart[:3])}); runs are compared video by video: "
                "take runs of the same split, or --partition test"
            )
    stores = [open_cache(record, cache) for record in records]
    streams = dict.fromkeys(name for record in records for name in run_stream_names(record))
    there = [name for name in streams if name.rpartition("@")[2] in stores[0].keys(_bare(name))]
    for other in others:
        if other.targets != first.targets:
            raise ConfigError(
                f"{first.name} predicts {', '.join(first.targets)}, and {other.name} "
                f"{', '.join(other.targets)}; only runs of the same targets are compared"
            )
    truth = read_truth(stores[0], videos, there, first.targets)
    for other, store in zip(others, stores[1:], strict=True):
        for item in truth:
            if not np.array_equal(
                item.labels, store.labels(item.video, first.targets), equal_nan=True
            ):
                raise ConfigError(
                    f"{item.video} is annotated differently in {stores[0].root} and {store.root}, "
                    f"the caches of {first.name} and {other.name}; name one cache for both with "
                    "--cache"
                )
    return truth


def _bare(stream: str) -> str:
    """The name of `name@key`."""
    return stream.rpartition("@")[0]
