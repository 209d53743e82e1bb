"""What is stored was made of the file whose digest stands beside it; streams stand alone."""

import os
import shutil
import time

import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from extraction import settings_of
from plugged import forget_afterwards

from vapipe.cache import FeatureStore
from vapipe.cache.durable import digest_file
from vapipe.cache.timeline import Valid
from vapipe.cache.verify import verify_cache
from vapipe.extract import plan as plan_module
from vapipe.extract.attempts import Policy
from vapipe.extract.dataset import find_dataset
from vapipe.extract.encoders import AudioEncoder, register_encoder
from vapipe.extract.options import StreamConfig
from vapipe.extract.run import run_extraction

ROWS = 20
meddle = []  # what happens in the middle of an extraction


@pytest.fixture(autouse=True)
def encoders(monkeypatch):
    forget_afterwards(monkeypatch)
    meddle.clear()

    @register_encoder("even")
    class Even(AudioEncoder):
        """The row's number, times a value; something happens before the last row."""

        def __init__(self, *, value: float = 1.0, device: str = "cpu") -> None:
            self.dim, self._value = 2, value

        def encode(self, blocks, timeline):
            rows = np.arange(len(timeline), dtype=np.float32)[:, None].repeat(2, 1)
            codes = np.full(len(timeline), Valid.AUDIO, np.uint8)
            yield self._value * rows[:-1], codes[:-1]
            for deed in meddle:
                deed()
            yield self._value * rows[-1:], codes[-1:]


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a", "b"):
        write_clip(folder / f"{name}.mp4", times=constant_times(PAL, ROWS), sound=Sound())
        long_ago = time.time_ns() - 10**12
        os.utime(folder / f"{name}.mp4", ns=(long_ago, long_ago))
    return folder


def run(videos, cache, values=(("even", 1.0),), **options):
    streams = tuple(StreamConfig(name, "even", (("value", value),)) for name, value in values)
    dataset = find_dataset(videos)
    outcomes = run_extraction(dataset, settings_of(cache, streams), **options)
    return {outcome.video: outcome for outcome in outcomes}


def overwrite(path):
    """Other content of the same size and time, in place."""
    facts = path.stat()
    data = bytearray(path.read_bytes())
    data[-20] ^= 0xFF
    with path.open("r+b") as file:
        file.write(data)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))


def replace(path):
    """Another file under its name, as old as the first."""
    facts, other = path.stat(), path.with_name("new")
    other.write_bytes(path.read_bytes() + b"\0" * 8)
    os.utime(other, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    other.replace(path)


def grow(path):
    with path.open("ab") as file:
        file.write(b"\0" * 8)


@pytest.mark.parametrize("change", [overwrite, replace, grow, os.unlink])
@pytest.mark.parametrize("retries", [0, 1])
def test_a_file_that_changes_while_it_is_extracted_is_not_stored(videos, tmp_path, change, retries):
    done = []

    def deed():
        if not done:
            done.append(change(videos / "a.mp4"))

    meddle.append(deed)
    cache = tmp_path / "cache"
    outcomes = run(videos, cache, policy=Policy(retries=retries))
    store = FeatureStore.open(cache)
    assert outcomes["b"].status == "extracted"
    if change is not os.unlink and not retries:
        assert outcomes["a"].status == "failed"
        assert "a.mp4: changed while it was read; nothing made of it" in outcomes["a"].problems[0]
        assert not store.has("a", "even")
        assert run(videos, cache)["a"].status == "extracted"  # it is not passed over
        store = FeatureStore.open(cache)
    elif change is os.unlink:
        assert outcomes["a"].status == "failed"
        assert not store.has("a", "even")
        return
    assert store.has("a", "even")
    assert store.source("a")["sha256"] == digest_file(videos / "a.mp4")


def test_a_file_that_is_only_touched_or_linked_meanwhile_is_stored(videos, tmp_path):
    meddle.append(lambda: (videos / "a.mp4").touch())
    meddle.append(lambda: (tmp_path / str(time.time_ns())).hardlink_to(videos / "b.mp4"))
    assert {o.status for o in run(videos, tmp_path / "cache").values()} == {"extracted"}


def test_a_stream_that_overflows_costs_no_other_and_is_not_tried_again(videos, tmp_path):
    cache = tmp_path / "cache"
    both = (("fits", 1.0), ("large", 1e5))
    for outcome in run(videos, cache, both).values():
        assert outcome.status == "extracted"
        assert outcome.units == 1
        (problem,) = outcome.problems
        assert "large: feature 0 of row 1 is 100000.0, which float16 cannot hold" in problem
    store = FeatureStore.open(cache)
    assert store.streams() == ["fits"]
    assert store.read("a", "fits")[:, 0].tolist() == list(range(ROWS))
    assert not [p for p in cache.rglob("*") if p.name.endswith(".partial")]
    again = run(videos, cache, both)
    assert {outcome.status for outcome in again.values()} == {"quarantined"}
    assert "which float16 cannot hold" in again["a"].problems[0]
    assert {o.status for o in run(videos, cache, both[:1]).values()} == {"complete"}


def hashed(monkeypatch):
    """The files of which digests are made from now on, while planning."""
    found, digest = [], plan_module.digest_file
    monkeypatch.setattr(plan_module, "digest_file", lambda p: found.append(p.name) or digest(p))
    return found


def test_a_touched_or_copied_video_is_read_once_and_never_again(videos, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    run(videos, cache)
    rows = FeatureStore.open(cache).timeline("a").pts.copy()
    (videos / "a.mp4").touch()
    found = hashed(monkeypatch)
    assert {o.status for o in run(videos, cache).values()} == {"complete"}
    assert found == ["a.mp4"]
    assert {o.status for o in run(videos, cache).values()} == {"complete"}
    assert found == ["a.mp4"]
    store = FeatureStore.open(cache)
    assert store.source("a")["modified_ns"] == (videos / "a.mp4").stat().st_mtime_ns
    assert np.array_equal(store.timeline("a").pts, rows)


def test_a_lost_timeline_is_made_again_and_the_features_are_not(videos, tmp_path):
    cache = tmp_path / "cache"
    run(videos, cache)
    before = {p: (p.stat().st_ino, p.read_bytes()) for p in cache.glob("features/*/*.h5")}
    timelines = {p.name: p.read_bytes() for p in cache.glob("timeline/*.h5")}
    (damaged,) = cache.glob("timeline/a-*.h5")
    damaged.write_bytes(b"")
    moved = [finding.path for finding in verify_cache(cache, repair=True) if finding.moved_to]
    assert moved == [damaged]
    outcomes = run(videos, cache)
    assert (outcomes["a"].status, outcomes["a"].units) == ("extracted", 0)
    assert {p.name: p.read_bytes() for p in cache.glob("timeline/*.h5")} == timelines
    assert {p: (p.stat().st_ino, p.read_bytes()) for p in before} == before
    assert {o.status for o in run(videos, cache).values()} == {"complete"}


def test_a_lost_timeline_of_another_file_does_not_bring_old_rows_back(videos, tmp_path):
    cache = tmp_path / "cache"
    run(videos, cache)
    shutil.rmtree(cache / "timeline")
    grow(videos / "a.mp4")
    outcomes = run(videos, cache)
    assert (outcomes["a"].units, outcomes["b"].units) == (1, 0)
    assert FeatureStore.open(cache).has("a", "even")
