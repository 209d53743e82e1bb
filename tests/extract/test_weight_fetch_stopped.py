"""A download that is killed, shared or out of room leaves what came, and the next goes on.

The server is real and on this machine; so are the processes that are killed.
"""

import os
import random
import signal
import time

import pytest
from fetching import CONTENT, DIGEST, QUICK, fetch, names, refusal
from weight_server import entry_of

from vapipe.errors import CacheError
from vapipe.extract.weights.fetch import FetchPolicy
from vapipe.extract.weights.files import find_weights

pytestmark = pytest.mark.usefixtures("direct")


def start_fetch(folder, policy=QUICK):
    """Fetch in a process of its own; its exit status is 0 when the file was right."""
    pid = os.fork()
    if pid == 0:
        try:
            fetch(folder, policy=policy)
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def wait_for(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.01)


def test_a_killed_download_is_continued(tmp_path, server, listed):
    listed(entry_of(server))
    server.before_gate = 700_000
    server.gate.clear()
    partial = tmp_path / "sample.bin.partial"
    pid = start_fetch(tmp_path, FetchPolicy(timeout_s=30))
    wait_for(lambda: partial.exists() and partial.stat().st_size >= 700_000)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert not (tmp_path / "sample.bin").exists()
    server.gate.set()
    kept = partial.stat().st_size
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert server.requests == [None, f"bytes={kept}-"]


def test_a_download_killed_again_and_again_comes_to_its_end(tmp_path, server, listed):
    listed(entry_of(server))
    dice = random.Random(3)
    for _ in range(8):
        pid = start_fetch(tmp_path, FetchPolicy(timeout_s=30))
        time.sleep(dice.uniform(0.0, 0.02))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if (tmp_path / "sample.bin").exists():
            assert find_weights("sample", folder=tmp_path).sha256 == DIGEST
            (tmp_path / "sample.bin").unlink()
    assert fetch(tmp_path).path.read_bytes() == CONTENT
    assert names(tmp_path) == ["sample.bin", "sample.pin.json"]


def test_two_processes_download_a_file_once(tmp_path, server, listed):
    listed(entry_of(server))
    server.before_gate = 300_000
    server.gate.clear()
    pids = [start_fetch(tmp_path, FetchPolicy(timeout_s=30)) for _ in range(2)]
    wait_for(lambda: server.requests)
    time.sleep(0.3)
    server.gate.set()
    assert [os.waitpid(pid, 0)[1] for pid in pids] == [0, 0]
    assert server.requests == [None]
    assert (tmp_path / "sample.bin").read_bytes() == CONTENT
    assert names(tmp_path) == ["sample.bin", "sample.pin.json"]


def test_who_waits_for_another_download_sees_its_progress(tmp_path, server, listed):
    listed(entry_of(server))
    server.before_gate = 300_000
    server.gate.clear()
    pid = start_fetch(tmp_path, FetchPolicy(timeout_s=30))
    wait_for(lambda: (tmp_path / "sample.bin.partial").exists())
    steps = []

    def progress(done, total):
        steps.append((done, total))
        if done >= 300_000:
            server.gate.set()

    fetch(tmp_path, progress=progress)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(server.requests) == 1
    assert {total for _, total in steps} == {len(CONTENT)}


def test_too_small_a_disk_is_found_before_the_download(small_disk, server, listed):
    listed(entry_of(server))
    message = refusal(small_disk)
    assert message.startswith(f"{small_disk}: 1500000 more bytes are needed for the download, ")
    assert message.endswith("choose another folder with VAPIPE_WEIGHTS")


def test_a_disk_that_fills_up_is_named(small_disk, server, listed):
    listed(entry_of(server))
    server.says_length = False
    message = refusal(small_disk, CacheError)
    assert "sample.bin.partial: No space left on device" in message


def test_a_folder_that_cannot_be_made_is_named(tmp_path, server, listed):
    listed(entry_of(server))
    (tmp_path / "file").write_bytes(b"")
    message = refusal(tmp_path / "file" / "weights", CacheError)
    assert message.startswith(f"cannot write {tmp_path}/file/weights/sample.bin: Not a directory")
