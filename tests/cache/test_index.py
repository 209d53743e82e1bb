"""The index only ever saves time: with it, without it, or with a wrong one, the same is served."""

import os
import time

import numpy as np
import pytest
from caches import add_features, add_video, make_cache

from vapipe.cache import FeatureStore
from vapipe.cache.index import INDEX, open_catalog, write_index


@pytest.fixture
def root(tmp_path):
    root = make_cache(tmp_path / "cache")
    for number in range(3):
        add_video(root, f"v{number}", {"onet": np.full((5, 2), number)}, partition="train")
    write_index(root)
    return root


def listing(root):
    store = FeatureStore.open(root)
    return {
        video: (store.read(video, "onet").tolist(), store.partition(video), store.rows(video))
        for video in store.videos()
    }


def headers_read(root, monkeypatch):
    """How many headers opening reads."""
    from vapipe.cache import catalog

    read, count = catalog.read_header, []
    monkeypatch.setattr(catalog, "read_header", lambda path: count.append(path) or read(path))
    open_catalog(root)
    monkeypatch.undo()
    return len(count)


def test_opening_with_an_index_reads_no_headers(root, monkeypatch):
    assert headers_read(root, monkeypatch) == 0


def test_only_changed_folders_are_listed_anew(root, monkeypatch):
    add_features(root, "v0", "onet", np.full((5, 2), 9.0))
    assert headers_read(root, monkeypatch) == 3
    assert listing(root)["v0"][0] == [[9, 9]] * 5


@pytest.mark.parametrize(
    "content", ["", "{", "vapipe-index 3 00\n[]", "vapipe-index 1 00\n[]", '{"format": 1}']
)
def test_a_broken_or_foreign_index_is_passed_over(root, content):
    before = listing(root)
    (root / INDEX).write_text(content)
    assert listing(root) == before


def test_without_an_index_the_same_is_served(root):
    before = listing(root)
    (root / INDEX).unlink()
    assert listing(root) == before


def test_coarse_file_times_hide_no_shard_of_another_host(tmp_path):
    """A file system of whole seconds: the folder's time is the same before and after."""
    root = make_cache(tmp_path / "cache")
    add_video(root, "v0", {"onet": np.zeros((5, 2))}, partition="train")
    second = time.time_ns() // 10**9 * 10**9

    def coarse():
        for folder in (root / "timeline", root / "labels", *(root / "features").iterdir()):
            os.utime(folder, ns=(second, second))

    coarse()
    write_index(root)
    add_video(root, "v1", {"onet": np.ones((5, 2))}, partition="test")  # added
    add_features(root, "v0", "onet", np.full((5, 2), 9.0))  # replaced
    coarse()
    assert listing(root)["v1"] == ([[1, 1]] * 5, "test", 5)
    assert listing(root)["v0"][0] == [[9, 9]] * 5
    write_index(root)
    next((root / "features").glob("onet-*/v1-*")).unlink()  # removed
    coarse()
    assert not FeatureStore.open(root).has("v1", "onet")


def test_an_index_written_right_after_a_change_is_believed_as_long_as_nothing_else_changes(
    root, monkeypatch
):
    add_features(root, "v0", "onet", np.full((5, 2), 9.0))
    write_index(root)
    assert headers_read(root, monkeypatch) == 0
    add_features(root, "v0", "onet", np.full((5, 2), 8.0))
    assert headers_read(root, monkeypatch) == 3


def test_a_shard_truncated_behind_the_index_is_noticed_on_reading(root):
    from vapipe.errors import DamagedShardError

    (victim,) = (root / "features").glob("onet-*/v1-*")
    with victim.open("r+b") as handle:
        handle.truncate(600)
    store = FeatureStore.open(root)
    assert store.read("v0", "onet").shape == (5, 2)
    with pytest.raises(DamagedShardError, match="v1-"):
        store.read("v1", "onet")
