"""Two annotated clips, their cache and runs fitted on it, for the commands that use runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from terminal import vapipe_

ROWS = 40
SMALL = {
    "tcn_channels": {"video": [8, 8], "audio": [8, 8]},
    "window": 20,
    "stride": 10,
    "hidden": 8,
    "epochs": 2,
    "learning_rate": 1e-3,
    "targets": "joint",
}


def hum(times: np.ndarray) -> np.ndarray:
    """A tone that grows louder."""
    return 0.3 * np.sin(2 * np.pi * 220 * times) * times


def moving(row: int) -> np.ndarray:
    """A picture that changes with every row."""
    across = np.linspace(0, 200, 48) + row
    return np.broadcast_to(across[None, :, None], (32, 48, 3)).astype(np.uint8)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips a (training) and b (validation) in the Aff-Wild2 layout."""
    folder = tmp_path_factory.mktemp("data")
    labels = folder / "VA_Estimation_Challenge"
    for name, part in (("a", "Train_Set"), ("b", "Validation_Set")):
        path = folder / f"{name}.mp4"
        write_clip(path, times=constant_times(PAL, ROWS), sound=Sound(signal=hum), draw=moving)
        (labels / part).mkdir(parents=True)
        rows = "".join(f"{np.sin(i / 9):.3f},{np.cos(i / 7):.3f}\n" for i in range(ROWS))
        (labels / part / f"{name}.txt").write_text("valence,arousal\n" + rows)
    return folder


@pytest.fixture(scope="session")
def cache(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their features; only read it."""
    cache = tmp_path_factory.mktemp("extracted") / "cache"
    words = ("extract", "--videos", videos, "--cache", cache, "--faces", "frame", "--jobs", 1)
    assert vapipe_(*words).exit_code == 0
    return cache


@pytest.fixture(scope="session")
def runs(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the runs `one` and `two` (another seed) and `voice` (sound alone); only read."""
    folder = tmp_path_factory.mktemp("runs")
    config = folder / "fit.json"
    config.write_text(json.dumps(SMALL))
    fit = ("fit", "--config", config, "--cache", cache, "--run")
    voice = ("--head", "concat", "--stream", "audio=logmel")
    for name, words in (("one", ()), ("two", ("--seed", 1)), ("voice", voice)):
        result = vapipe_(*fit, folder / name, *words)
        assert result.exit_code == 0, result.output
    return folder
