"""Small caches whose features carry the labels, and a model small enough for seconds."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from caches import add_video, make_cache
from fusion_caches import write_planted

from vapipe.cache import FeatureStore
from vapipe.fusion import Epoch, FitConfig, FitResult, Run, fit, load_run

# Models this small only lose by a second thread, badly so on a busy machine.
torch.set_num_threads(1)

# Changes after which the fits of a paper take a moment.
QUICK = {
    "epochs": 1,
    "hidden": 8,
    "batch": 8,
    "targets": "joint",
    "learning_rate": 1e-3,
    "tcn_channels.video": (8,),
    "tcn_channels.audio": (8,),
}


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


@pytest.fixture(scope="session")
def pair(
    planted: FeatureStore,
    small: FitConfig,
    fitted: FitResult,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Run]:
    """Two runs with different weights, loaded; only read them."""
    config = dataclasses.replace(small, seed=1, epochs=4)
    other = fit(planted, config, tmp_path_factory.mktemp("pair") / "other")
    return {"run": load_run(fitted.run_dir, "cpu"), "other": load_run(other.run_dir, "cpu")}


def quick(config: FitConfig, **changes: Any) -> FitConfig:
    """Of two epochs."""
    return dataclasses.replace(config, **{"epochs": 2, **changes})


def stop_fit(store: FeatureStore, config: FitConfig, folder: Path, epochs: int = 1) -> Path:
    """Begin a fit that is interrupted after so many epochs of all its networks."""
    seen = []

    def interrupt(epoch: Epoch) -> None:
        seen.append(epoch)
        if len(seen) == epochs:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(store, config, folder, interrupt)
    return folder


def weights_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., FeatureStore]:
    """Write videos {name: keyword arguments of add_video} into a new cache."""

    def make(videos: dict[str, dict]) -> FeatureStore:
        root = make_cache(tmp_path / "cache")
        for name, arguments in videos.items():
            add_video(root, name, **arguments)
        return FeatureStore.open(root)

    return make
