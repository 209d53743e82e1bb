"""A finished extraction leaves few files, and nothing that keeps it from packing ends it."""

import pytest
from clips import PAL, Sound, constant_times, write_clip
from damage import flip
from terminal import vapipe_

from vapipe.cache import FeatureStore
from vapipe.cache.locks import upkeep
from vapipe.extract import run as run_module

VIDEOS = 4


@pytest.fixture
def videos(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "LOOSE", 2)
    folder = tmp_path / "videos"
    (folder / "labels").mkdir(parents=True)
    for number in range(VIDEOS):
        write_clip(folder / f"v{number}.mp4", times=constant_times(PAL, 10), sound=Sound())
        text = "valence,arousal\n" + "0,0\n" * 10
        (folder / "labels" / f"v{number}.csv").write_text(text)
    return folder


def extract(videos, cache, *words):
    words = ("--videos", videos, "--cache", cache, "--streams", "logmel", *words)
    result = vapipe_("extract", *words)
    assert result.exit_code == 0, result.output
    return result


def shards(cache):
    return sorted(path.parent.name.split("-")[0] for path in cache.rglob("*.h5"))


def test_many_shards_are_packed_at_the_end_and_served_as_before(videos, tmp_path):
    cache = tmp_path / "cache"
    for part in (1, 2):  # parts leave packing to a run over all
        extract(videos, cache, "--partition", f"{part}/2")
    store = FeatureStore.open(cache)
    before = {video: store.read(video, "logmel").tobytes() for video in store.videos()}
    assert len(shards(cache)) == 3 * VIDEOS
    assert f"{VIDEOS} complete before" in extract(videos, cache).stdout
    assert shards(cache) == ["labels", "logmel", "timeline"]
    store = FeatureStore.open(cache)
    assert {video: store.read(video, "logmel").tobytes() for video in store.videos()} == before
    assert f"{VIDEOS} complete before" in extract(videos, cache).stdout


def test_who_else_packs_is_left_alone(videos, tmp_path):
    cache = tmp_path / "cache"
    extract(videos, cache, "--partition", "1/2")
    with upkeep(cache, "something else"):
        result = extract(videos, cache)
    assert "warning" not in result.output
    assert len(shards(cache)) == 3 * VIDEOS
    assert (cache / "index.json").exists()


def test_a_damaged_shard_is_told_but_does_not_end_the_run(videos, tmp_path):
    cache = tmp_path / "cache"
    extract(videos, cache, "--partition", "1/1")
    victim = next(cache.glob("features/*/v0-*"))
    flip(victim)
    said = extract(videos, cache).stderr
    assert "warning: all that was extracted is in the cache, but not packed: damaged shard" in said
    assert str(victim) in said
