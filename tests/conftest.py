"""What holds for all tests."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from browser import browser  # noqa: F401  (a fixture for all)
from hypothesis import settings
from PIL import Image

# As vapipe does: threads that wait sleep. Here, since tests may import torch first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# The same examples in every run: who changes nothing sees nothing else. `--hypothesis-seed` and
# `--hypothesis-profile default` look further.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

MOST_WORKERS = 4  # each holds torch and networks, 1 to 2 GB

REAL = Path(__file__).resolve().parents[2] / "shared" / "media"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Folders are run by one worker a core, of one thread each; files in this process, or `-n 0`.

    Neighbours stay together, so that what they share is seldom made twice; who is done first takes
    over half of what another has left.
    """
    option = config.option
    if not config.pluginmanager.has_plugin("xdist") or hasattr(config, "workerinput"):
        return
    if option.numprocesses is None and any(Path(word).is_dir() for word in config.args):
        cores = len(os.sched_getaffinity(0))
        option.numprocesses = 0 if cores == 1 or option.usepdb else min(cores, MOST_WORKERS)
    if option.numprocesses:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        option.dist = "worksteal" if option.dist == "no" else option.dist


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for `real_clip` on each of them; skip it where there are none."""
    if "real_clip" in metafunc.fixturenames:
        clips = sorted(p for p in REAL.glob("*") if p.suffix in (".mp4", ".mov"))
        none = [pytest.param(None, marks=pytest.mark.skip(reason="no real clips here"))]
        metafunc.parametrize("real_clip", clips or none, ids=lambda p: p.name if p else "none")


@pytest.fixture(scope="session")
def real_clips() -> Path:
    """Folder of real clips."""
    if not REAL.is_dir():
        pytest.skip("no real clips here")
    return REAL


@pytest.fixture(scope="session")
def portrait() -> np.ndarray:
    """A head on its background, [120, 120, 3] uint8; the face is about 55 pixels wide."""
    from skimage.data import astronaut

    head = Image.fromarray(astronaut()[0:240, 100:340])
    return np.asarray(head.resize((120, 120), Image.Resampling.BILINEAR))


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MiB, where this user may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs privileges")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
