"""How a command ends where it is stopped, or nobody reads what it says any more."""

import os
import subprocess
import sys

import pytest
from terminal import vapipe_

FRAMES = "vapipe.extract.picture_folders"
MAIN = [sys.executable, "-c", "from vapipe.cli import main; main()"]


@pytest.mark.parametrize(
    ("words", "called"),
    [
        (["cache", "status", "--cache", "."], "vapipe.cache.status.cache_status"),
        (["runs", "."], "vapipe.fusion.runs.listing.find_runs"),
        (["weights", "list"], "vapipe.extract.weights.files.weights_folder"),
        (
            ["frames", ".", "--rate", "5", "--out", "o"],
            "vapipe.extract.picture_folders.write_videos",
        ),
    ],
)
def test_ctrl_c_ends_every_command_with_130(words, called, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(called, interrupted)
    result = vapipe_(*words)
    assert (result.exit_code, result.stderr) == (130, "stopped\n")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--help"], 0),
        (["streams"], 0),
        (["heads", "grjca"], 0),
        (["fit", "--print-config"], 0),
        (["runs", "nowhere"], 1),
        (["fit", "--nonsense"], 2),
    ],
)
def test_a_closed_pipe_is_no_error_and_changes_no_exit_code(words, code, tmp_path):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        outlets = {"stdout": writing, "stderr": subprocess.PIPE if code == 0 else writing}
        ended = subprocess.run([*MAIN, *words], cwd=tmp_path, text=True, **outlets)
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr or "") == (code, "")


def test_work_goes_on_when_nobody_reads_any_more(tmp_path):
    (tmp_path / "pictures").mkdir()
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (32, 32), (number, 0, 0)).save(tmp_path / "pictures" / f"{number:05}.png")
    words = "frames pictures --rate 25 --out videos"
    command = f'set -o pipefail; "$@" {words} | true'
    ended = subprocess.run(["bash", "-c", command, "bash", *MAIN], cwd=tmp_path, check=False)
    assert ended.returncode == 0
    assert len(list((tmp_path / "videos").iterdir())) == 1


_LOST = """
import os, signal
from vapipe.commands.batch import stoppable
with stoppable() as stopped:
    class Lost:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
    Lost()
    print(stopped())
"""


def test_a_request_to_end_that_a_callback_swallows_is_known():
    done = subprocess.run([sys.executable, "-c", _LOST], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr
    assert "Exception ignored in" in done.stderr
