"""On a device that is none all values are the CPU's, and host and device meet seldom."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SUPPORT = Path(__file__).parent / "support"
ROUNDING = 1e-5  # as a part of the largest value
MEETINGS = ("to host", "waits")


@pytest.fixture(scope="module")
def found():
    """What the program found, by name."""
    paths = os.pathsep.join([str(SUPPORT), *sys.path])
    said = subprocess.run(
        [sys.executable, str(SUPPORT / "on_pretend.py")],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    lines = [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]
    return {line["what"]: line for line in lines}


def meetings(line):
    return sum(line.get(kind, 0) for kind in MEETINGS)


def test_a_device_gives_the_cpus_values_and_meets_the_host_seldom(found):
    """One test, so that the program runs once wherever tests are shared out."""
    assert "Expected all tensors to be on the same device" in found["mixing"]["error"]
    encoders = {what.removeprefix("encoder ") for what in found if what.startswith("encoder ")}
    assert encoders >= {"facenet", "ir50", "logmel", "onet", "resnet50", "vggish", "wavlm"}
    for name in encoders - {"egemaps", "mfcc", "vad"}:  # other packages compute these, on the CPU
        line = found[f"encoder {name}"]
        assert line["difference"] <= ROUNDING, line
        assert line["operations"] > 0
        most = 2 if name == "logmel" else 1  # its sample has two pieces
        assert meetings(line) == most, line
        assert line["to device"] <= 2, line  # nothing but what is encoded
    line = found["detector"]
    assert line["difference"] <= ROUNDING, line
    assert line["remark"] == "the same beside a running encoder"
    assert meetings(line) <= 6, line  # for eight pictures
    heads = [what for what in found if what.startswith("head ")]
    assert len(heads) >= 11
    for head in heads:  # values and gradients
        assert found[head]["difference"] <= ROUNDING
    line = found["fit"]
    assert line["losses"] <= ROUNDING, line
    assert line["difference"] <= ROUNDING, line
    assert meetings(line) <= 2, line  # the loss, and how many rows a padded batch has
