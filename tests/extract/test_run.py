"""A run does what is missing, survives being killed, and one bad video never stops the others."""

import random
import re
import shutil
import signal
import subprocess
import sys
import time

import deadly
import numpy as np
import pytest
import torch
from children import Child
from clips import PAL, Sound, constant_times, write_clip
from extraction import settings_of, tree
from terminal import vapipe_

from vapipe.cache import ConfigError, FeatureStore, Valid
from vapipe.cache.verify import verify_cache
from vapipe.extract.dataset import find_dataset
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.options import Options, StreamConfig, choose_options
from vapipe.extract.run import load_streams, run_extraction

ROWS = 40
COPIES = 24


def hum(times):
    return 0.3 * np.sin(2 * np.pi * 220 * times)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Three short clips with sound, annotated."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "labels").mkdir()
    for number in range(3):
        clip = folder / f"clip{number}.mp4"
        write_clip(clip, times=constant_times(PAL, ROWS + number), sound=Sound(signal=hum))
        rows = "0.1,-0.2\n" * (ROWS + number)
        (folder / "labels" / f"clip{number}.csv").write_text("valence,arousal\n" + rows)
    (folder / "split.csv").write_text("video,partition\nclip0,train\nclip1,validation\n")
    return folder


def settings(cache, streams=None, **options):
    return settings_of(cache, streams, **options)


def run(videos, cache, *, jobs=1, streams=None, **options):
    dataset = find_dataset(videos)
    outcomes = list(run_extraction(dataset, settings(cache, streams, **options), jobs=jobs))
    return {outcome.video: outcome for outcome in outcomes}


@pytest.fixture(scope="module")
def reference(videos, tmp_path_factory):
    cache = tmp_path_factory.mktemp("reference") / "cache"
    run(videos, cache)
    return tree(cache)


def test_every_stream_has_one_row_per_frame(videos, tmp_path):
    outcomes = run(videos, tmp_path / "cache")
    store = FeatureStore.open(tmp_path / "cache")
    assert {o.status for o in outcomes.values()} == {"extracted"}
    for number in range(3):
        video = f"clip{number}"
        assert outcomes[video].rows == store.rows(video) == ROWS + number
        assert store.read(video, "onet").shape == (ROWS + number, 256)
        assert store.read(video, "logmel").shape == (ROWS + number, 128)
        assert set(store.valid(video, "onet")) == {Valid.IMAGE}
        assert np.allclose(store.labels(video), [[0.1, -0.2]])
    assert [store.partition(f"clip{n}") for n in range(3)] == ["train", "validation", None]
    assert not any(finding.problem for finding in verify_cache(tmp_path / "cache"))


def test_threads_do_not_change_the_bytes(videos, tmp_path, reference):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run(videos, tmp_path / "cache")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert tree(tmp_path / "cache") == reference


def test_a_stream_alone_has_the_bytes_it_has_beside_others(videos, tmp_path, reference):
    run(videos, tmp_path / "cache", streams="logmel")
    run(videos, tmp_path / "cache", streams="onet,logmel")
    assert tree(tmp_path / "cache") == reference


def test_a_second_run_does_nothing(videos, tmp_path):
    run(videos, tmp_path / "cache")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.h5")}
    outcomes = run(videos, tmp_path / "cache")
    assert {o.status for o in outcomes.values()} == {"complete"}
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.h5")} == before


def test_a_lost_unit_is_redone_alone(videos, tmp_path, reference):
    cache = tmp_path / "cache"
    run(videos, cache)
    (victim,) = cache.glob("features/onet-*/clip1-*")
    victim.unlink()
    outcomes = run(videos, cache)
    assert {v: (o.status, o.units) for v, o in outcomes.items()} == {
        "clip0": ("complete", 0),
        "clip1": ("extracted", 1),
        "clip2": ("complete", 0),
    }
    assert tree(cache) == reference


def test_a_changed_video_is_extracted_again_and_its_labels_refitted(videos, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    run(folder, tmp_path / "cache")
    write_clip(folder / "clip0.mp4", times=constant_times(PAL, ROWS - 3), sound=Sound())
    outcomes = run(folder, tmp_path / "cache")
    assert outcomes["clip0"].status == "extracted"
    assert outcomes["clip0"].notes == (
        "clip0: onet was made from an earlier version of the video file",
        "clip0: logmel was made from an earlier version of the video file",
        f"clip0: 3 label rows beyond the last of {ROWS - 3} frames dropped",
    )
    store = FeatureStore.open(tmp_path / "cache")
    assert len(store.read("clip0", "onet")) == len(store.labels("clip0")) == ROWS - 3


def test_a_touched_video_is_not_extracted_again(videos, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    run(folder, tmp_path / "cache")
    (folder / "clip0.mp4").touch()
    assert run(folder, tmp_path / "cache")["clip0"].status == "complete"


def test_changed_labels_are_taken_in_without_extracting(videos, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    run(folder, tmp_path / "cache")
    (folder / "labels/clip0.csv").write_text("valence,arousal\n" + "-5,0\n" * ROWS)
    (folder / "split.csv").write_text("video,partition\nclip0,test\n")
    assert run(folder, tmp_path / "cache")["clip0"].status == "complete"
    store = FeatureStore.open(tmp_path / "cache")
    assert np.isnan(store.labels("clip0")).all()
    assert store.partition("clip0") == "test"


def test_another_option_gives_another_key_and_leaves_the_first(videos, tmp_path):
    cache = tmp_path / "cache"
    run(videos, cache, streams="logmel")
    before = tree(cache)
    wide = StreamConfig("logmel", "logmel", (("bands", 40),))
    other = settings_of(cache, (wide,))
    list(run_extraction(find_dataset(videos), other))
    assert tree(cache).items() > before.items()
    assert len(FeatureStore.open(cache).keys("logmel")) == 2


def spoil(folder):
    """One of every kind of bad video, beside a good one."""
    good = folder / "good.mp4"
    write_clip(good, times=constant_times(PAL, ROWS), sound=Sound(signal=hum))
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    (folder / "zero.mp4").write_bytes(b"")
    (folder / "cut.mp4").write_bytes(good.read_bytes()[:900])
    write_clip(folder / "mute.mp4", times=constant_times(PAL, ROWS))


def test_bad_videos_are_listed_with_their_reason_and_the_others_go_on(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    spoil(folder)
    outcomes = run(folder, tmp_path / "cache")
    status = {video: outcome.status for video, outcome in outcomes.items()}
    assert status == {
        "good": "extracted",
        "mute": "extracted",
        "cut": "failed",
        "text": "failed",
        "zero": "failed",
    }
    for video in ("cut", "text", "zero"):
        (problem,) = outcomes[video].problems
        assert f"{video}.mp4" in problem
        assert not outcomes[video].trace
    assert outcomes["mute"].notes == (f"mute: logmel: all of {ROWS} rows without audio",)
    assert FeatureStore.open(tmp_path / "cache").videos() == ["good", "mute"]


def test_wrong_labels_are_a_problem_of_their_video_only(videos, tmp_path):
    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    (folder / "labels/clip0.csv").write_text("arousal,valence\n0,0\n")
    (folder / "labels/clip1.csv").write_text("valence,arousal\n" + "0,0\n" * 999)
    outcomes = run(folder, tmp_path / "cache")
    assert "1 annotated rows for a video of" in outcomes["clip0"].problems[0]
    assert f"999 annotated rows for a video of {ROWS + 1} frames" in outcomes["clip1"].problems[0]
    assert outcomes["clip2"].problems == ()
    assert FeatureStore.open(tmp_path / "cache").has("clip0", "onet")


def test_an_unknown_stream_or_precision_stops_before_anything_is_read(videos, tmp_path):
    with pytest.raises(ConfigError, match="no encoder `logmell`; did you mean logmel"):
        run(videos, tmp_path / "cache", streams="logmell")
    with pytest.raises(ConfigError, match="give distinct names separated by commas"):
        choose_options("onet,,logmel", None, None)
    strange = StreamConfig("onet", "onet", dtype="float8")
    with pytest.raises(ConfigError, match="dtype `float8` is none of float16, float32"):
        settings_of(tmp_path / "cache", (strange,))


def test_unexpected_errors_keep_their_trace_and_the_others_go_on(videos, tmp_path):
    """A file that vanishes between planning and decoding, and a cache folder that is in the way."""
    cache = tmp_path / "cache"
    dataset = find_dataset(videos)
    outcomes = run_extraction(dataset, settings(cache))
    first = next(outcomes)
    assert first.status == "extracted"
    (cache / "timeline").rename(cache / "moved")
    (cache / "timeline").write_text("in the way")
    rest = list(outcomes)
    assert [outcome.status for outcome in rest] == ["failed", "failed"]
    assert all("cannot write" in outcome.problems[0] for outcome in rest)


def deadly_options(*plan):
    """Streams of which one kills its process, as `choose_options` would give them."""
    option = (("plan", deadly.Plan(":".join(map(str, plan)))),)
    streams = (StreamConfig("logmel", "logmel"), StreamConfig("deadly", "deadly", option))
    return Options(streams, CropConfig(), "as the test wants it")


def test_a_video_that_kills_its_process_is_listed_and_the_others_go_on(
    videos, tmp_path, reference, monkeypatch
):
    """A real fault: the process of the one video gets SIGSEGV, also in the second try, alone.

    The processes of the others write the bytes that a single one writes.
    """
    load_streams.cache_clear()
    options = deadly_options(ROWS + 1, 11, tmp_path)
    monkeypatch.setattr("vapipe.extract.job.choose_options", lambda *_: options)
    cache = tmp_path / "cache"
    words = ["extract", "--videos", videos, "--cache", cache, "--faces", "frame", "--jobs", 2]
    result = vapipe_(*words)
    assert result.exit_code == 3, result.output
    assert (
        f"  clip1: {videos / 'clip1.mp4'}: its worker process died (signal 11, SIGSEGV), also when "
        "nothing else ran; " in result.stderr
    )
    assert "2 videos extracted" in result.stdout
    assert deadly.Deadly.deaths(tmp_path) == 2
    store = FeatureStore.open(cache)
    assert [store.has(f"clip{n}", "deadly") for n in range(3)] == [True, False, True]
    written = tree(cache)
    common = [path for path in reference if re.search(r"features/logmel.*clip[02]", path)]
    assert len(common) == 2
    assert all(written[path] == reference[path] for path in common)
    assert not any(finding.problem for finding in verify_cache(cache))
    assert load_streams.cache_info().misses == 0  # the weights were loaded by the workers only


def test_encoders_whose_loading_kills_processes_end_the_run_with_a_message(videos, tmp_path):
    streams = deadly_options("loading", 9, tmp_path).streams
    chosen = settings_of(tmp_path / "c", streams)
    with pytest.raises(ConfigError, match=r"died \(signal 9, SIGKILL\) while it loaded the encod"):
        list(run_extraction(find_dataset(videos), chosen, jobs=2))
    assert deadly.Deadly.deaths(tmp_path) == 2  # and once more


def test_errors_of_loading_are_the_same_from_a_worker(videos, tmp_path):
    with pytest.raises(ConfigError, match="no encoder `logmell`; did you mean logmel"):
        run(videos, tmp_path / "cache", streams="logmell", jobs=2)


def begin_extraction(videos, cache, folder):
    words = ("extract", "--videos", videos, "--cache", cache, "--faces", "frame", "--jobs", 1)
    return Child(words, folder)


@pytest.fixture(scope="module")
def many(videos, tmp_path_factory):
    """Enough clips for a run that lasts a while."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(COPIES):
        shutil.copy(videos / f"clip{number % 3}.mp4", folder / f"copy{number:02d}.mp4")
    return folder


@pytest.fixture(scope="module")
def many_reference(many, tmp_path_factory):
    cache = tmp_path_factory.mktemp("reference") / "cache"
    run(many, cache)
    return tree(cache)


def wait_for_shards(child, cache, count):
    while not child.ended() and len(list(cache.glob("features/*/*.h5"))) < count:
        time.sleep(0.005)


@pytest.mark.parametrize(
    "how", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_an_interrupted_run_says_what_is_left_and_continues(many, tmp_path, many_reference, how):
    cache = tmp_path / "cache"
    child = begin_extraction(many, cache, tmp_path)
    wait_for_shards(child, cache, 4)
    child.signal(how)
    result = child.result()
    assert result["code"] == 130
    assert not result["trace"]
    assert re.search(
        rf"\nstopped: \d+ of {COPIES} videos are done and stay in .*; the same command cont",
        result["said"],
    )
    run(many, cache)
    assert tree(cache) == many_reference


_STOPPED_TWICE = """
import os, signal, sys, time
from vapipe.commands.batch import stoppable
signal.signal(signal.SIGINT, signal.default_int_handler)
before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
with stoppable():
    pass
assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
with stoppable():
    try:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
"""


@pytest.mark.parametrize("first", ["SIGINT", "SIGTERM"])
def test_a_second_request_to_stop_ends_at_once(first):
    done = subprocess.run([sys.executable, "-c", _STOPPED_TWICE, first], check=False, timeout=30)
    assert done.returncode == -signal.SIGTERM


def kill_and_continue(videos, cache, reference, seed, after=(0, 8, 16)):
    """Kill extraction at random moments after so many shards, then let it get through."""
    rng = random.Random(seed)
    kills = 0
    for done in after:
        child = begin_extraction(videos, cache, cache.parent)
        wait_for_shards(child, cache, rng.randint(done, done + 7))
        time.sleep(rng.uniform(0, 0.02))
        child.signal(signal.SIGKILL)
        kills += child.result() is None
        if (cache / "vapipe-cache.json").exists():
            assert not [finding.problem for finding in verify_cache(cache) if finding.problem]
    assert begin_extraction(videos, cache, cache.parent).result()["code"] == 0
    assert tree(cache) == reference
    return kills


def test_a_killed_run_continues_to_the_same_bytes(many, tmp_path, many_reference):
    assert kill_and_continue(many, tmp_path / "cache", many_reference, seed=0, after=(2,)) > 0


@pytest.mark.slow
def test_runs_killed_again_and_again_continue_to_the_same_bytes(many, tmp_path, many_reference):
    kills = sum(
        kill_and_continue(many, tmp_path / f"cache{seed}", many_reference, seed=seed)
        for seed in range(10)
    )
    assert kills >= 10
