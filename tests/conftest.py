"""What holds for all tests."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from browser import browser  # noqa: F401  (a fixture for all)
from PIL import Image

# As vapipe does: threads that wait sleep. Here, since tests may import torch first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

REAL = Path(__file__).resolve().parents[2] / "shared" / "media"


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
