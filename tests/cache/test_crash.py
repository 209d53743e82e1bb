"""A writer killed at any moment leaves a readable cache; a rerun completes it to the same bytes.

The writer is a real process that is killed with SIGKILL: at every call that touches the disk
(counted in the forked child), and at random times.
"""

import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from caches import add_video

from vapipe.cache import FeatureStore
from vapipe.cache.durable import PARTIAL_SUFFIX
from vapipe.cache.index import open_catalog, write_index
from vapipe.cache.layout import create_cache, write_current
from vapipe.cache.pack import pack_cache
from vapipe.cache.verify import verify_cache

VIDEOS = {f"video{number}": 40 + 10 * number for number in range(4)}
STREAMS = {"onet": 16, "logmel": 8}


def extract(root):
    """What extraction does to a cache: everything that is missing, video by video."""
    create_cache(root)
    write_current(root, {"onet": "a", "logmel": "b"})
    store = FeatureStore.open(root)
    for number, (video, rows) in enumerate(VIDEOS.items()):
        if video in store.videos() and np.isfinite(store.labels(video)).any():
            continue  # labels are written last
        rng = np.random.default_rng(number)
        features = {name: rng.normal(size=(rows, dim)) for name, dim in STREAMS.items()}
        add_video(root, video, features, labels=rng.uniform(-1, 1, (rows, 2)), partition="train")
    write_index(root)


def pack(root):
    list(pack_cache(root, max_bytes=4000))


def in_child(work, before=lambda: None):
    """Run in a forked process; it leaves without touching what it shares with the parent."""
    pid = os.fork()
    if pid == 0:
        try:
            before()
            work()
        finally:
            os._exit(0)
    return pid


def kill_at_call(number):
    """Kill this process before its call of that number to anything that changes the disk."""
    left = [number]

    def counted(function):
        def call(*args, **kwargs):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return call

    os.pwrite, os.fsync = counted(os.pwrite), counted(os.fsync)
    for name in ("replace", "unlink", "mkdir", "write_bytes"):
        setattr(Path, name, counted(getattr(Path, name)))


def killed(work, number):
    """Whether the work was killed at that call, rather than done before it."""
    _, status = os.waitpid(in_child(work, lambda: kill_at_call(number)), 0)
    return os.WIFSIGNALED(status)


def tree(root):
    """Every shard with its bytes."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.h5"))
    }


def values(root):
    store = FeatureStore.open(root)
    return {
        (video, stream): store.read(video, stream).tobytes()
        for video in store.videos()
        for stream in store.streams()
    }


def check_readable(root):
    """No damaged shard, no partial video visible, every byte as written."""
    if not (root / "vapipe-cache.json").exists():
        return
    assert open_catalog(root).damaged() == {}
    assert [f for f in verify_cache(root) if f.problem and "no timeline" not in f.problem] == []
    store = FeatureStore.open(root)
    for video in store.videos():
        for stream in store.streams():
            if store.has(video, stream):
                assert len(store.read(video, stream)) == VIDEOS[video]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    root = tmp_path_factory.mktemp("reference") / "cache"
    extract(root)
    unpacked = tree(root), values(root)
    pack(root)
    return *unpacked, tree(root), values(root)


def check_extract(root, reference):
    check_readable(root)
    extract(root)
    assert tree(root) == reference[0]


def check_pack(root, reference):
    check_readable(root)
    assert values(root) == reference[1]
    pack(root)
    assert values(root) == reference[1] == reference[3]
    check_readable(root)


def prepared(root, reference):
    """A complete unpacked cache."""
    extract(root)
    assert tree(root) == reference[0]
    return root


def kill_everywhere(tmp_path, reference, step):
    """Kill at every step-th call of extract and pack; the number of kills."""
    kills = 0
    for work, prepare, check in (
        (extract, lambda root, _: root, check_extract),
        (pack, prepared, check_pack),
    ):
        number = 1
        while True:
            root = prepare(tmp_path / f"{work.__name__}{number}", reference)
            if not killed(lambda root=root, work=work: work(root), number):
                break
            check(root, reference)
            kills += 1
            number += step
    return kills


def kill_at_random(tmp_path, reference, count, seed):
    """Kill extract and pack at random times; every kill that came in time is checked."""
    rng = random.Random(seed)
    for work, prepare, check in (
        (extract, lambda root, _: root, check_extract),
        (pack, prepared, check_pack),
    ):
        root = prepare(tmp_path / f"timed-{work.__name__}", reference)
        began = time.perf_counter()
        work(root)
        duration = time.perf_counter() - began
        for number in range(count):
            root = prepare(tmp_path / f"random-{work.__name__}{number}", reference)
            pid = in_child(lambda root=root, work=work: work(root))
            time.sleep(rng.uniform(0, duration))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            check(root, reference)


def test_a_kill_at_a_sample_of_disk_calls_loses_nothing(tmp_path, reference):
    assert kill_everywhere(tmp_path, reference, step=37) > 10


def test_kills_at_some_random_times_lose_nothing(tmp_path, reference):
    kill_at_random(tmp_path, reference, count=5, seed=1)


@pytest.mark.slow
def test_a_kill_at_every_disk_call_loses_nothing(tmp_path, reference):
    assert kill_everywhere(tmp_path, reference, step=1) > 100


@pytest.mark.slow
def test_kills_at_200_random_times_lose_nothing(tmp_path, reference):
    kill_at_random(tmp_path, reference, count=200, seed=2)


def test_partials_of_a_killed_writer_are_invisible(tmp_path, reference):
    root = tmp_path / "cache"
    assert killed(lambda: extract(root), 23)
    assert list(root.rglob(f"*{PARTIAL_SUFFIX}"))
    check_readable(root)


def test_of_two_writers_of_a_shard_the_last_complete_one_wins(tmp_path):
    root = tmp_path / "cache"
    create_cache(root)

    def write(value):
        for _ in range(20):
            add_video(root, "v", {"onet": np.full((50, 4), value)})

    children = [in_child(lambda value=value: write(value)) for value in (1.0, 2.0)]
    for _ in range(50):
        store = FeatureStore.open(root)
        if "onet" in store.streams() and "v" in store.videos() and store.has("v", "onet"):
            assert len(np.unique(store.read("v", "onet"))) == 1
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
    assert [f.problem for f in verify_cache(root) if f.problem] == []
