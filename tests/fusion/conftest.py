"""Small caches whose features carry the labels, and a model small enough for seconds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from caches import add_video, make_cache

from vapipe.cache import FeatureStore, Valid
from vapipe.fusion import FitConfig, FitResult, fit

# Models this small only lose by a second thread, badly so on a busy machine.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def small() -> FitConfig:
    """A configuration that learns a planted cache in a second."""
    return FitConfig(
        streams={"video": "onet", "audio": "logmel"},
        window=50,
        stride=40,
        batch=4,
        epochs=20,
        patience=20,
        learning_rate=4e-3,
        warmup_epochs=1,
        hidden=16,
        targets="joint",
        tcn_channels={"video": (16, 16), "audio": (12, 12)},
        head_options={"dropout": 0.2},
        device="cpu",
    )


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


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A planted cache, shared and only read."""
    return write_planted(tmp_path_factory.mktemp("planted") / "cache")


@pytest.fixture(scope="session")
def fitted(
    planted: FeatureStore, small: FitConfig, tmp_path_factory: pytest.TempPathFactory
) -> FitResult:
    """A finished run on the planted cache; only read it."""
    return fit(planted, small, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., FeatureStore]:
    """Write videos {name: keyword arguments of add_video} into a new cache."""

    def make(videos: dict[str, dict]) -> FeatureStore:
        root = make_cache(tmp_path / "cache")
        for name, arguments in videos.items():
            add_video(root, name, **arguments)
        return FeatureStore.open(root)

    return make
