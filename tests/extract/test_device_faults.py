"""A device that fails is never a video's fault: the run goes on, or stops and names the device."""

import shutil
from pathlib import Path

import pytest
from clips import PAL, Sound, constant_times, write_clip, write_videos
from plugged import forget_afterwards
from terminal import vapipe_

from vapipe.cache import FeatureStore
from vapipe.extract.failures import read_failures
from vapipe.extract.run import load_streams

PLUGIN = Path(__file__).parents[1] / "support/faulty.py"
ROWS = 20  # of a video: one batch
KINDS = ("illegal", "launch", "cublas", "cudnn", "engine", "driver", "fft", "gone")
MEMORY = ("memory", "raw-memory", "cublas-memory", "cudnn-memory")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("videos"), [ROWS] * 8)


@pytest.fixture
def extract(videos, tmp_path, monkeypatch):
    """Extract under a plan: the command's result."""
    forget_afterwards(monkeypatch)
    load_streams.cache_clear()

    def run(plan, *words, encoder="faulty", videos=videos):
        (tmp_path / "plan").write_text(plan)
        (tmp_path / "calls").unlink(missing_ok=True)
        described = f'[streams.faulty]\nencoder = "{encoder}"\nfolder = "{tmp_path}"\n'
        (tmp_path / "streams.toml").write_text(described)
        given = ["--plugin", PLUGIN, "extract", "--videos", videos, "--cache", tmp_path / "cache"]
        given += ["--config", tmp_path / "streams.toml", "--faces", "frame", *words]
        return vapipe_(*given)

    return run


def calls(folder):
    """Process and size of every batch."""
    return [tuple(map(int, line.split())) for line in (folder / "calls").read_text().splitlines()]


def odd_one(videos, folder):
    """Two of the videos, and a longer one."""
    few = folder / "few"
    few.mkdir(exist_ok=True)
    for name in ("v0.mp4", "v1.mp4"):
        shutil.copy2(videos / name, few)
    if not (few / "odd.mp4").exists():
        write_clip(few / "odd.mp4", times=constant_times(PAL, 30), sound=Sound())
    return few


def values(folder):
    store = FeatureStore.open(folder / "cache")
    return {video: store.read(video, "faulty").tobytes() for video in store.videos()}


@pytest.mark.slow
def test_a_device_that_fails_at_every_video_stops_the_run_and_is_named(extract, tmp_path):
    stopped = extract("always illegal")
    assert stopped.exit_code == 1, stopped.output
    assert "error: stopped: the device failed at 5 videos, one after the other" in stopped.stderr
    words = "device cuda failed: CUDA error: an illegal memory access was encountered. The input is"
    assert words in stopped.stderr
    assert "asynchronously" not in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert len({process for process, _ in calls(tmp_path)}) == 5  # each saw one fault
    assert read_failures(tmp_path / "cache") == {}
    healthy = extract("never illegal")
    assert healthy.exit_code == 0, healthy.output
    assert "8 videos extracted" in healthy.stdout
    assert "not tried" not in healthy.output


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "encoder", ["faulty", pytest.param("faulty-sound", marks=pytest.mark.slow)]
)
def test_a_fault_that_stays_in_a_process_ends_it_and_no_video_is_lost(
    extract, tmp_path, jobs, encoder
):
    """Every process fails from its fourth video on: fresh ones take over."""
    result = extract("from:4 launch", "--jobs", jobs, encoder=encoder)
    assert result.exit_code == 0, result.output
    assert "8 videos extracted" in result.stdout
    assert max(map([process for process, _ in calls(tmp_path)].count, dict(calls(tmp_path)))) <= 4
    assert read_failures(tmp_path / "cache") == {}


@pytest.mark.parametrize(
    "kind", [KINDS[0], *(pytest.param(k, marks=pytest.mark.slow) for k in KINDS[1:])]
)
def test_a_fault_that_passes_costs_another_try_in_a_fresh_process(extract, tmp_path, kind):
    result = extract(f"once {kind}")
    assert result.exit_code == 0, result.output
    assert "8 videos extracted" in result.stdout
    (first, _), *others = calls(tmp_path)
    assert len(others) == 8
    assert first not in dict(others)
    assert read_failures(tmp_path / "cache") == {}


def test_without_another_try_the_video_is_listed_and_tried_by_the_next_run(extract, tmp_path):
    result = extract("once cudnn", "--retries", 0, "--max-failures", 0)
    assert result.exit_code == 3, result.output
    assert "7 videos extracted" in result.stdout
    assert "device cuda failed: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED" in result.stderr
    assert read_failures(tmp_path / "cache") == {}
    again = extract("never cudnn")
    assert again.exit_code == 0
    assert "1 video extracted" in again.stdout


@pytest.mark.slow
def test_a_device_that_breaks_amid_a_run_stops_it_and_what_is_done_stays(extract, tmp_path):
    stopped = extract("after:3 launch")
    assert stopped.exit_code == 3, stopped.output
    assert "2 videos extracted" in stopped.stdout
    assert "error: stopped: the device failed at 5 videos, one after the other" in stopped.stderr
    assert read_failures(tmp_path / "cache") == {}
    healthy = extract("never launch")
    assert healthy.exit_code == 0
    assert "6 videos extracted" in healthy.stdout


@pytest.mark.slow
def test_one_video_at_which_the_device_always_fails_stops_nothing_and_is_not_noted(
    extract, tmp_path, videos
):
    """As a network would that overflows on it alone: it is listed, and tried by every run."""
    for _ in range(2):
        result = extract("rows:30 illegal", "--retries", 6, videos=odd_one(videos, tmp_path))
        assert result.exit_code == 3, result.output
        assert "  odd: device cuda failed: CUDA error: an illegal memory access" in result.stderr
        assert read_failures(tmp_path / "cache") == {}


@pytest.mark.parametrize("kind", MEMORY)
def test_memory_that_runs_out_halves_the_batch_once_and_changes_no_value(extract, tmp_path, kind):
    assert extract("never illegal").exit_code == 0
    whole = values(tmp_path)
    (tmp_path / "cache").rename(tmp_path / "before")
    result = extract(f"above:6 {kind}")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("`faulty` computes 5 at once from now on") == 1
    assert [size for _, size in calls(tmp_path)] == [20, 10] + 8 * 4 * [5]
    assert len(dict(calls(tmp_path))) == 1  # no process was given up for it
    assert values(tmp_path) == whole


@pytest.mark.slow
def test_memory_that_does_not_hold_one_crop_is_the_devices_fault(extract, tmp_path):
    stopped = extract("above:0 memory")
    assert stopped.exit_code == 1, stopped.output
    assert (
        "device cuda has too little memory for `faulty`, even with a batch of one: CUDA out of "
        "memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.00 GiB of which "
        "1.00 GiB is free. End other programs on it"
    ) in stopped.stderr
    assert read_failures(tmp_path / "cache") == {}


def test_memory_that_runs_out_where_nothing_can_be_halved_is_the_devices_fault(extract, tmp_path):
    result = extract("once memory", encoder="faulty-sound")
    assert result.exit_code == 0, result.output
    (first, _), *others = calls(tmp_path)
    assert first not in dict(others)
    assert read_failures(tmp_path / "cache") == {}
