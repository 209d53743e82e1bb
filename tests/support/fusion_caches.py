"""A planted cache: features that carry the labels, for tests of training."""

from pathlib import Path

import numpy as np
from caches import add_video, make_cache

from vapipe.cache import FeatureStore, Valid


def smooth_walk(rng: np.random.Generator, rows: int) -> np.ndarray:
    """A slow random signal in (-1, 1), [rows]."""
    noise = np.convolve(rng.standard_normal(rows + 24), np.hanning(25), "valid")
    return np.tanh(noise / noise.std() * 0.7)


def write_planted(root: Path, *, train: int = 6, validation: int = 2) -> FeatureStore:
    """Videos whose `onet` rows show valence and whose `logmel` rows show arousal, with noise.

    A tenth of the rows of each stream is unusable and holds large values; every third video is
    shorter than a window.
    """
    rng = np.random.default_rng(0)
    make_cache(root)
    show = {"onet": rng.standard_normal((2, 10)), "logmel": rng.standard_normal((2, 6))}
    show["onet"][1] = show["logmel"][0] = 0
    for index in range(train + validation):
        count = (130, 95, 40)[index % 3]
        labels = np.stack([smooth_walk(rng, count), smooth_walk(rng, count)], axis=1)
        features, valid = {}, {}
        for stream, directions in show.items():
            noise = rng.standard_normal((count, directions.shape[1]))
            features[stream] = labels @ directions + 0.3 * noise
            missing = rng.random(count) < 0.1
            features[stream][missing] = 100.0
            valid[stream] = np.where(missing, Valid.MISSING, Valid.IMAGE).astype(np.uint8)
        add_video(
            root,
            f"video{index}",
            features,
            labels=labels.astype(np.float32),
            partition="train" if index < train else "validation",
            valid=valid,
        )
    return FeatureStore.open(root)
