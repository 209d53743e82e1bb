"""A cache with awkward names, gaps and a real clip, and runs fitted on it, for tests of reports."""

import zlib
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from caches import add_features, make_cache, source_of
from clips import PAL, Sound, constant_times, write_clip
from fusion_caches import smooth_walk

from vapipe.cache import FeatureStore, Timeline, Valid
from vapipe.cache.layout import write_labels, write_timeline
from vapipe.fusion import Corruption, FitConfig, evaluate, fit
from vapipe.fusion.evaluation.robustness import record_points

ROWS = 200
FACES, SILENCE, UNLABELLED = (30, 70), (100, 140), (150, 175)  # rows that lack something
NO_SPEECH = (60, 120)
HARM = "<script>alert(1)</script>.mp4", "<img src=x onerror=alert(1)>", "a&amp;b \u2028'\"\\ $x"
SMALL = FitConfig(
    streams={"video": "onet", "audio": "logmel"},
    window=50,
    stride=40,
    batch=4,
    epochs=2,
    learning_rate=4e-3,
    warmup_epochs=1,
    hidden=8,
    tcn_channels={"video": (8,), "audio": (8,)},
    device="cpu",
)


@dataclass(frozen=True)
class Place:
    """Where everything is.

    Attributes:
        store: the cache.
        media: folder with the one real clip, `clip.mp4`, below it.
        runs: name -> folder.
    """

    store: FeatureStore
    media: Path
    runs: dict[str, Path]


def make_place(folder: Path) -> Place:
    """A cache of six videos; runs `first` (GRJCA) and `<b>other<b>` (LFAN, joint; with a curve)."""
    media = folder / "media"
    (media / "batch #1 100%").mkdir(parents=True)
    clip = write_clip(
        media / "batch #1 100%" / "clip.mp4",
        times=constant_times(PAL, ROWS),
        events=[50, 100],
        sound=Sound(signal=lambda times: 0.3 * np.sin(1400 * times)),
    )
    rng = np.random.default_rng(0)
    root = make_cache(folder / "cache")
    for name in ("train1", "train2"):
        _add(root, name, np.arange(ROWS) / 25, rng, "train")
    _add(root, "clip", clip.pts, rng, "validation", size=clip.path.stat().st_size)
    spoken = np.ones((ROWS, 1))
    spoken[slice(*NO_SPEECH)] = 0.3
    codes = np.full(ROWS, Valid.AUDIO, np.uint8)
    add_features(root, "clip", "vad", spoken, modality="audio", codes=codes)
    # A variable rate, and a container whose clock does not begin at 0.
    uneven = 3 + np.cumsum(rng.uniform(0.02, 0.06, ROWS // 2))
    for name in HARM:
        _add(root, name, uneven, rng, "validation")
    store = FeatureStore.open(root)
    runs = {"first": folder / "first", "other": folder / "<b>other<b>"}
    fit(store, SMALL, runs["first"])
    fit(
        store,
        FitConfig.from_json(SMALL.to_json() | {"head": "lfan", "targets": "joint"}),
        runs["other"],
    )
    damages = [Corruption("drop-audio", share) for share in (1.0, 0.0, 0.5)]
    points = [evaluate(runs["other"], store, device="cpu", corruption=d) for d in damages]
    record_points(runs["other"], points)
    return Place(store, media, runs)


def _add(
    root: Path,
    video: str,
    pts: np.ndarray,
    rng: np.random.Generator,
    partition: str,
    size: int = 1000,
) -> None:
    rows = len(pts)
    source = {**source_of(video), "bytes": size}
    write_timeline(root, video, Timeline.from_pts(pts), subjects=[video], source=source)
    labels = np.stack([smooth_walk(rng, rows), smooth_walk(rng, rows)], axis=1).astype(np.float32)
    for column, (stream, modality, code, gap) in enumerate(
        (
            ("onet", "visual", (Valid.DETECTED, Valid.NO_FACE), FACES),
            ("logmel", "audio", (Valid.AUDIO, Valid.NO_AUDIO), SILENCE),
        )
    ):
        features = labels[:, [column]] + 0.3 * rng.standard_normal((rows, 6))
        codes = np.full(rows, code[0], np.uint8)
        codes[slice(*gap)] = code[1]
        add_features(root, video, stream, features, modality=modality, codes=codes)
    labels[slice(*UNLABELLED)] = np.nan
    write_labels(root, video, labels, partition=partition, source={})


def unpack(block: str, kind: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(b64decode(block)), np.dtype(kind).newbyteorder("<"))


def undo(block: str, kind: str, columns: int) -> np.ndarray:
    """[T, columns] of a block that holds differences along time, as the page sums them."""
    steps = unpack(block, kind).reshape(columns, -1)
    return np.cumsum(steps, axis=1, dtype=steps.dtype).T
