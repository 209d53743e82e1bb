"""Among good videos one of every bad kind, through the command line, on both engines."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from cluster import check_sound, dask_cluster, run, shards, write_videos
from vapipe.cache import FeatureStore
from vapipe.extract.failures import read_failures

pytest.importorskip("distributed")

FIRST = 20  # frames of the first video; every other has one more than the one before it
LIMIT_S = 45  # seconds of grace, starting a process included; the clips add one or two each
POISON = {
    "v03": ("segfault", r"its worker process died (signal 11, SIGSEGV), also when nothing else"),
    "v08": ("hang", "timed out after 4"),
    "v13": ("hoard", "GB of memory, more than the 1.50 GB allowed"),
    "v17": ("raise", f"unexpected ValueError: no good: {FIRST + 17} rows"),
    "v21": ("scribble", "`features` reads back differently from what was written"),
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("clips"), range(FIRST, FIRST + 25))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all runs, since its name is part of the key; it holds the cache of the last."""
    return tmp_path_factory.mktemp("runs")


def extract(clips, folder, plan, *words):
    shutil.rmtree(folder / "cache", ignore_errors=True)
    (folder / "plan").write_text(plan)
    config = folder / "streams.toml"
    config.write_text(f'[streams.logmel]\n[streams.bad]\nencoder = "unruly"\ndeeds = "@{folder}"\n')
    given = ("--videos", clips, "--cache", folder / "cache", "--config", config)
    return run("extract", *given, "--time-limit", 1, "--memory-limit", 1.5, *words)


@pytest.fixture(scope="module")
def reference(clips, folder):
    """The shards of all videos, none of them bad."""
    code, text = extract(clips, folder, "", "--jobs", 2)
    assert code == 0, text
    return shards(folder / "cache")


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "dask"])
def test_the_good_are_extracted_and_the_bad_have_their_reasons(
    engine, clips, reference, folder, tmp_path, monkeypatch
):
    monkeypatch.setitem(__import__("cluster").ENVIRONMENT, "VAPIPE_GRACE", str(LIMIT_S))
    deeds = ",".join(f"{FIRST + int(v[1:])}={deed}" for v, (deed, _) in POISON.items())
    began = time.monotonic()
    if engine == "local":
        code, text = extract(clips, folder, deeds, "--jobs", 2)
    else:
        with dask_cluster(tmp_path, workers=2) as cluster:
            words = ("--scheduler", cluster.address)
            code, text = extract(clips, folder, deeds, *words)
    took = time.monotonic() - began
    print(f"\n{engine}: {took:.0f} s\n{text}")
    assert code == 3, text
    cache = folder / "cache"
    check_sound(cache)
    store = FeatureStore.open(cache)
    done = {video for video in store.videos() if store.has(video, "bad")}
    assert done == {f"v{n:02d}" for n in range(25)} - set(POISON)
    reasons = {video: failure.reason for video, failure in read_failures(cache).items()}
    assert sorted(reasons) == sorted(POISON)
    for video, (_, reason) in POISON.items():
        assert reason in reasons[video]
        assert video in reasons[video]
    # Those of the good are as if nothing had happened; the bad have a timeline at most.
    assert {n for n in shards(cache) if n.startswith("features")} == {
        n for n in reference if n.startswith("features") and Path(n).name[:3] not in POISON
    }
    assert all(reference[name] == content for name, content in shards(cache).items())
    # Each hang costs its limit twice, once of one process; all else is a few starts of processes.
    assert took < 2 * (LIMIT_S + 2) + 200
