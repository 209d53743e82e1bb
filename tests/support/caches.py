"""Small caches made with the real writers, for tests."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vapipe.cache import Timeline, Valid
from vapipe.cache.layout import (
    create_cache,
    features_path,
    labels_path,
    timeline_path,
    write_current,
    write_features,
    write_labels,
    write_timeline,
)

KEYS = {"visual": "a1" * 32, "audio": "b2" * 32}
# Kind -> where the shard of an item is; of features that in the stream `onet`.
SHARDS = {
    "timeline": timeline_path,
    "labels": labels_path,
    "features": lambda root, item: features_path(root, "onet", KEYS["visual"], item),
}


def source_of(video: str, version: int = 0) -> dict:
    """Facts of a video file that does not exist; another version has another digest."""
    return {"name": f"{video}.mp4", "bytes": 1000, "modified_ns": 0, "sha256": f"{video}-{version}"}


def add_video(
    root: Path,
    video: str,
    features: Mapping[str, np.ndarray],
    *,
    labels: np.ndarray | None = None,
    partition: str | None = None,
    valid: Mapping[str, np.ndarray] | None = None,
    modalities: Mapping[str, str] | None = None,
    fps: float = 25.0,
) -> None:
    """Write one single-subject video: timeline, features {stream: [T, D]}, labels [T, 2].

    A stream named in `modalities` has that modality; others are visual unless named like audio.
    """
    rows = len(next(iter(features.values())))
    write_timeline(
        root,
        video,
        Timeline.from_pts(np.arange(rows) / fps, nominal_fps=fps),
        subjects=[video],
        source=source_of(video),
    )
    for stream, values in features.items():
        default = (
            "audio" if stream in ("audio", "logmel", "mfcc", "vad", "vggish", "wavlm") else "visual"
        )
        modality = (modalities or {}).get(stream, default)
        usable = Valid.AUDIO if modality == "audio" else Valid.DETECTED
        add_features(
            root,
            video,
            stream,
            values,
            modality=modality,
            codes=(valid or {}).get(stream, np.full(rows, usable, np.uint8)),
        )
    if labels is not None or partition is not None:
        values = labels if labels is not None else np.full((rows, 2), np.nan)
        write_labels(root, video, values, partition=partition, source={})


def add_features(
    root: Path,
    item: str,
    stream: str,
    values: np.ndarray,
    *,
    modality: str = "visual",
    codes: np.ndarray | None = None,
    key: str | None = None,
    video: str | None = None,
    dtype: str = "float16",
    faces: Mapping[str, np.ndarray] | None = None,
    config: Mapping[str, object] | None = None,
) -> None:
    """Write one item's features of one stream; `video` names its file when they differ.

    `faces` are `box` [T, 4] and `track` [T]; None as without a search for faces.
    """
    with write_features(
        root,
        item,
        stream=stream,
        key=key or KEYS[modality],
        modality=modality,
        rows=len(values),
        dim=values.shape[1],
        source=source_of(video or item),
        config=config or {"encoder": {"name": stream}},
        dtype=dtype,
        faces=faces is not None,
    ) as shard:
        codes = np.full(len(values), Valid.DETECTED, np.uint8) if codes is None else codes
        shard.append(features=values, valid=codes, **(faces or {}))


def make_cache(root: Path) -> Path:
    """An empty cache folder."""
    create_cache(root)
    return root


def two_videos(root: Path, rows: int) -> Path:
    """A cache of the videos a and b with two streams each, annotated, for training."""
    make_cache(root)
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        features = {"onet": rng.normal(size=(rows, 3)), "logmel": rng.normal(size=(rows, 2))}
        add_video(root, name, features, labels=np.zeros((rows, 2)), partition="train")
    write_current(root, {"onet": KEYS["visual"], "logmel": KEYS["audio"]})
    return root
