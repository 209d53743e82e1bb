"""What holds for all tests."""

import os
import subprocess

import pytest
from browser import browser  # noqa: F401  (a fixture for all)

# As vapipe does: threads that wait sleep. Here, since tests may import torch first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


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
