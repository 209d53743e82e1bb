"""Parts, plans, logs and batch files: what large runs need, and the same bytes however they run."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clips import PAL, Sound, constant_times, write_clip, write_videos
from extraction import tree
from hypothesis import given
from hypothesis import strategies as st
from terminal import vapipe_

from vapipe.cache import CacheError, ConfigError
from vapipe.cache.verify import verify_cache
from vapipe.executor import run_tasks
from vapipe.extract import dataset as dataset_module
from vapipe.extract import plan as plan_module
from vapipe.extract import run as run_module
from vapipe.extract.dataset import Dataset, Video, find_dataset
from vapipe.extract.plan import Part, partition, take_part
from vapipe.extract.runlog import open_log, read_logs
from vapipe.extract.video_files import Entry

LENGTHS = (10, 50, 20, 40, 30)  # frames


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("videos"), LENGTHS)


def extract(videos, cache, *words):
    return command("extract", videos, cache, *words)


def command(name, videos, cache, *words):
    return vapipe_(name, "--videos", videos, "--cache", cache, "--faces", "frame", *words)


@pytest.fixture(scope="module")
def reference(videos, tmp_path_factory):
    cache = tmp_path_factory.mktemp("reference") / "cache"
    assert extract(videos, cache, "--jobs", 1).exit_code == 0
    return tree(cache)


# -- parts -----------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e5), max_size=40), st.integers(1, 7), st.randoms())
def test_parts_hold_every_video_once_and_are_balanced(lengths, count, random):
    videos = [Video(f"v{n}", Path(str(n)), ()) for n in range(len(lengths))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "container_duration", lambda path: (lengths[int(path.name)], 0))
        parts = partition(videos, count)
        random.shuffle(videos)
        again = partition(videos, count)
    assert parts == again
    assert sorted(v.id for part in parts for v in part) == sorted(v.id for v in videos)
    loads = [sum(lengths[int(video.path.name)] for video in part) for part in parts]
    # The greedy bound: the part that ends last had least when it got its last video.
    longest = max(lengths, default=0.0)
    assert max(loads) <= (sum(lengths) / count + longest * (1 - 1 / count)) * (1 + 1e-9) + 1e-9
    assert max(loads) - min(loads) <= longest * (1 + 1e-9) + 1e-6


def test_the_longest_videos_are_dealt_out_first(monkeypatch):
    lengths = {"a": 1.0, "b": 1.0, "c": 2.0, "d": 5.0, "e": 5.0, "f": 4.0}
    monkeypatch.setattr(plan_module, "container_duration", lambda path: (lengths[path.name], 0))
    videos = [Video(name, Path(name), ()) for name in lengths]
    parts = [[video.id for video in part] for part in partition(videos, 2)]
    assert parts == [["d", "f"], ["e", "c", "a", "b"]]  # 9 s each


def test_problems_of_a_data_set_are_listed_by_the_first_part_only(videos):
    dataset = Dataset((), {}, (("x", "bad"),), "")
    assert [take_part(dataset, Part(n, 2)).problems for n in (1, 2)] == [(("x", "bad"),), ()]


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/", "-1/2", "1.5/2", "1/0"])
def test_a_part_that_cannot_be_is_one_message(text):
    with pytest.raises(ConfigError, match="give i/n with i from 1 to n"):
        Part.parse(text)


def test_three_parts_give_the_bytes_of_one_run(videos, tmp_path, reference):
    cache = tmp_path / "parts"
    for number in (3, 1, 2):
        result = extract(videos, cache, "--partition", f"{number}/3")
        assert result.exit_code == 0
        assert f"part {number}/3: " in result.stdout
    assert tree(cache) == reference
    assert not (cache / "index.json").exists()  # many would write it at once
    assert not any(finding.problem for finding in verify_cache(cache))
    assert "5 complete before" in extract(videos, cache).stdout
    assert (cache / "index.json").exists()


def test_where_several_work_the_longest_videos_begin(videos, tmp_path, monkeypatch):
    """Of lengths told by the files, and then of those known to the cache."""
    given = []

    def noting(function, tasks, **options):
        tasks = list(tasks)
        given.append([getattr(task, "video", None) for task in tasks])
        return run_tasks(function, tasks)

    monkeypatch.setattr(run_module, "run_tasks", noting)
    extract(videos, tmp_path / "cache", "--jobs", 2, "--streams", "logmel")
    shutil.rmtree(next((tmp_path / "cache").glob("features/logmel-*")))
    monkeypatch.setattr(plan_module, "container_duration", None)  # not asked again
    extract(videos, tmp_path / "cache", "--jobs", 2, "--streams", "logmel")
    longest_first = sorted(range(len(LENGTHS)), key=lambda n: -LENGTHS[n])
    loads, first, again_loads, again = given
    assert loads == again_loads == [None]
    assert [video.id for video in first] == [f"v{n}" for n in longest_first]
    assert again == first


def test_a_part_without_videos_is_done_at_once(videos, tmp_path):
    result = extract(videos, tmp_path / "cache", "--partition", "9/9")
    assert result.exit_code == 0
    assert "part 9/9: 0 of them" in result.stdout


def test_the_time_to_find_videos_grows_with_their_number_only(tmp_path, monkeypatch):
    """Processor time; comparing all with all took a minute."""
    paths = [tmp_path / f"v{number:05d}.mp4" for number in range(20_000)]
    monkeypatch.setattr(dataset_module, "video_entries", lambda *_: map(Entry, paths))
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/v00007_left.csv").touch()
    began = time.process_time()
    found = find_dataset(tmp_path)
    assert time.process_time() - began < 10
    assert len(found.videos) == 20_000
    assert [subject.id for subject in found.videos[7].subjects] == ["v00007_left"]


# -- the plan --------------------------------------------------------------------------------------


def plan_of(videos, cache, *words):
    return json.loads(command("plan", videos, cache, "--json", *words).stdout)


def counts(found):
    names = ("complete", "missing", "stale", "quarantined")
    return {entry["stream"]: tuple(entry[name] for name in names) for entry in found["streams"]}


def test_a_dry_run_writes_nothing_and_counts_units(videos, tmp_path):
    folder, cache = tmp_path / "videos", tmp_path / "cache"
    shutil.copytree(videos, folder)
    before = plan_of(folder, cache)
    assert counts(before) == {"onet": (0, 5, 0, 0), "logmel": (0, 5, 0, 0)}
    assert before["seconds"] is None
    assert not cache.exists()
    extract(folder, cache, "--streams", "logmel")
    assert counts(plan_of(folder, cache)) == {"onet": (0, 5, 0, 0), "logmel": (5, 0, 0, 0)}
    after = plan_of(folder, cache, "--streams", "logmel")
    assert (after["videos"], after["nbytes"], after["seconds"]) == (0, 0, 0)
    config = tmp_path / "streams.toml"
    config.write_text("[streams.logmel]\nbands = 40\n")
    assert counts(plan_of(folder, cache, "--config", config)) == {"logmel": (0, 0, 5, 0)}
    write_clip(folder / "v0.mp4", times=constant_times(PAL, 12), sound=Sound())
    (folder / "v5.mp4").write_text("no video")
    assert extract(folder, cache, "--streams", "logmel", "--partition", "9/9").exit_code == 0
    assert counts(plan_of(folder, cache, "--streams", "logmel")) == {"logmel": (4, 1, 1, 0)}
    files = tree(cache)
    assert extract(folder, cache, "--streams", "logmel").exit_code == 3
    assert tree(cache) != files
    failed = plan_of(folder, cache, "--streams", "logmel")
    assert counts(failed) == {"logmel": (5, 0, 0, 1)}
    assert "holds text, not a video" in failed["failures"]["v5"]
    retried = plan_of(folder, cache, "--streams", "logmel", "--retry-failed")
    assert counts(retried) == {"logmel": (5, 1, 0, 0)}


def test_size_and_time_are_estimated_from_what_is_known(videos, tmp_path):
    cache = tmp_path / "cache"
    extract(videos, cache, "--partition", "1/2")
    found = plan_of(videos, cache)
    rows = sum(LENGTHS) - sum(unit["rows"] for run in read_logs(cache) for unit in run.units)
    assert found["nbytes"] == pytest.approx(rows * (256 * 2 + 1 + 128 * 2 + 1), rel=0.1)
    assert found["duration"] == pytest.approx(rows / 25, rel=0.1)
    units = [unit for run in read_logs(cache) for unit in run.units]
    speed = sum(u["duration"] for u in units) / sum(u["seconds"] for u in units)
    assert found["seconds"] == pytest.approx(found["duration"] / speed, rel=1e-3)
    assert plan_of(videos, cache, "--streams", "onet")["seconds"] is None


def test_a_dry_run_in_words(videos, tmp_path):
    words = command("plan", videos, tmp_path / "cache", "--streams", "logmel").stdout
    assert "0 complete, 5 missing, 0 stale, 0 quarantined" in words
    assert "to do: 5 of 5 videos, 0 min 6 s; about 0.0 MB; no estimate of the time" in words
    extract(videos, tmp_path / "cache", "--streams", "logmel")
    words = command("plan", videos, tmp_path / "cache", "--streams", "logmel").stdout
    assert "to do: 0 of 5 videos, 0 min 0 s; about 0.0 MB; about 0 min 0 s" in words


# -- the log ---------------------------------------------------------------------------------------


def test_every_run_and_every_try_has_its_line(videos, tmp_path):
    folder, cache = tmp_path / "videos", tmp_path / "cache"
    shutil.copytree(videos, folder)
    (folder / "bad.mp4").write_text("no video")
    extract(folder, cache, "--jobs", 1, "--partition", "1/1")
    (run,) = read_logs(cache)
    assert run.state() == "done"
    assert (run.start["pid"], run.start["todo"], run.start["part"]) == (os.getpid(), 6, "1/1")
    units = run.final()
    assert {video: unit["outcome"] for video, unit in units.items()} == {
        "bad": "failed", **{f"v{n}": "extracted" for n in range(5)}
    }  # fmt: skip
    assert [units[f"v{n}"]["rows"] for n in range(5)] == list(LENGTHS)
    assert all(1e7 < unit["peak_bytes"] < 1e10 for unit in units.values())
    assert units["v1"]["frames_per_s"] == pytest.approx(50 / units["v1"]["seconds"], rel=0.02)
    extract(folder, cache)
    assert len(read_logs(cache)) == 1  # a run with nothing to do leaves none


def test_the_status_tells_runs_streams_and_failures(videos, tmp_path):
    folder, cache = tmp_path / "videos", tmp_path / "cache"
    shutil.copytree(videos, folder)
    (folder / "bad.mp4").write_text("no video")
    extract(folder, cache)
    words = vapipe_("status", "--cache", cache)
    assert words.exit_code == 0
    lines = words.stdout.splitlines()
    assert ": done; 5 extracted, 1 failed, 0 left; " in lines[0]
    assert "5 present, 0 missing and 0 stale" in lines[1]
    assert lines[-1].startswith("failed: bad: ")
    found = json.loads(vapipe_("status", "--json", "--cache", cache).stdout)
    assert [run["extracted"] for run in found["runs"]] == [5]
    assert [failure["video"] for failure in found["failures"]] == ["bad"]


def test_the_status_of_no_cache_says_so(tmp_path):
    result = vapipe_("status", "--cache", tmp_path / "none")
    assert result.exit_code == 1
    assert "is not a vapipe cache" in result.stderr


_LEFT = """
import os, signal, sys
from pathlib import Path
from vapipe.extract.runlog import open_log
with open_log(Path(sys.argv[1]), jobs=1, part=None, streams={}, videos=2, todo=2) as log:
    log("unit", video="a", outcome="extracted")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("before", [[], ["unshare", "--pid", "--fork", "--kill-child"]])
def test_a_run_elsewhere_is_seen_to_be_running(tmp_path, before):
    """Also in a container, where it has another process number than here."""
    code = _LEFT.replace("os.kill(os.getpid(), signal.SIGKILL)", "print(); sys.stdin.read()")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([*before, sys.executable, "-c", code, str(tmp_path)], **pipes) as other:
        if not other.stdout.readline():
            pytest.skip("a PID namespace needs privileges")
        (run,) = read_logs(tmp_path)
        assert run.state() == "running"
        other.kill()
    until = time.monotonic() + 20
    while run.state() == "running" and time.monotonic() < until:  # its child goes a moment later
        time.sleep(0.05)
    assert run.state() == "killed"


def test_the_state_of_a_run_is_seen_from_its_log(tmp_path):
    subprocess.run([sys.executable, "-c", _LEFT, str(tmp_path)], check=False)
    (killed,) = read_logs(tmp_path)
    assert killed.state() == "killed"
    assert list(killed.final()) == ["a"]
    with killed.path.open("a") as file:
        file.write('{"event": "un')  # cut off
    assert read_logs(tmp_path) == [killed]
    with open_log(tmp_path, todo=1):
        assert sorted(run.state() for run in read_logs(tmp_path)) == ["killed", "running"]
    with pytest.raises(CacheError, match="no"), open_log(tmp_path, todo=1):
        raise CacheError("no")
    with pytest.raises(KeyboardInterrupt), open_log(tmp_path, todo=1):
        raise KeyboardInterrupt
    states = sorted(run.state() for run in read_logs(tmp_path))
    assert states == ["CacheError: no", "done", "killed", "stopped"]


# -- SLURM -----------------------------------------------------------------------------------------


def test_the_batch_file_extracts_all_parts_as_one_run_would(videos, tmp_path, reference):
    """`srun` is played by a script that runs what it is given."""
    script, cache = tmp_path / "all of it.sh", tmp_path / "my cache"
    result = command("slurm", videos, cache, script, "--jobs", 1, "--tasks", 2)
    assert result.exit_code == 0
    assert "2 tasks of 1 process" in result.stdout
    assert not cache.exists()
    text = script.read_text()
    assert "#SBATCH --array=1-2" in text
    assert "--gres" not in text
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "srun").write_text('#!/bin/sh\nexec "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    for task in (1, 2):
        environment = {
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "SLURM_ARRAY_TASK_ID": str(task),
        }
        subprocess.run(["bash", script], env=environment, check=True, capture_output=True)
    assert tree(cache) == reference


def test_the_batch_file_asks_for_as_many_gpus_as_compute(videos, tmp_path):
    script = tmp_path / "job.sh"
    command("slurm", videos, tmp_path / "c", script, "--devices", "cuda:0,cuda:1")
    text = script.read_text()
    assert "#SBATCH --gres=gpu:2\n" in text
    assert "#SBATCH --cpus-per-task=26\n" in text
    assert "--devices cuda:0,cuda:1 --jobs 24 --precision bfloat16" in text


def test_the_batch_file_asks_for_a_gpu_where_one_computes(videos, tmp_path):
    script = tmp_path / "job.sh"
    command("slurm", videos, tmp_path / "c", script, "--device", "cuda", "--retry-failed")
    text = script.read_text()
    assert "#SBATCH --gres=gpu:1" in text
    assert "#SBATCH --cpus-per-task=13\n" in text
    assert "--device cuda --retry-failed --jobs 12 --precision bfloat16 --partition" in text
