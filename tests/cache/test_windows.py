"""Windows cover every row, and batches hold what the store holds."""

import numpy as np
import pytest
from caches import add_video, make_cache
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import ConfigError, FeatureStore, Valid, Window, WindowReader, cut_windows, gather


@given(st.integers(1, 3000), st.integers(1, 400), st.data())
def test_windows_cover_every_row_and_end_at_the_last(rows, length, data):
    stride = data.draw(st.integers(1, length))
    windows = cut_windows(rows, length, stride)
    covered = np.zeros(rows, bool)
    for start, stop in windows:
        assert 0 <= start < stop <= rows
        assert stop - start == min(length, rows)
        covered[start:stop] = True
    assert covered.all()
    assert windows[-1][1] == rows
    assert len(set(windows)) == len(windows)


def test_the_papers_windows_worked_out_by_hand():
    assert cut_windows(73) == [(0, 73)]
    assert cut_windows(300) == [(0, 300)]
    assert cut_windows(301) == [(0, 300), (1, 301)]
    assert cut_windows(700) == [(0, 300), (200, 500), (400, 700)]
    assert cut_windows(750) == [(0, 300), (200, 500), (400, 700), (450, 750)]


@pytest.mark.parametrize(("rows", "length", "stride"), [(0, 3, 1), (5, 3, 4), (5, 3, 0)])
def test_windows_that_would_leave_rows_out_are_refused(rows, length, stride):
    with pytest.raises(ConfigError, match="0 < stride <= length"):
        cut_windows(rows, length, stride)


def test_a_batch_holds_the_rows_and_marks_the_padding(tmp_path):
    root = make_cache(tmp_path / "cache")
    rng = np.random.default_rng(1)
    faces, sound = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
    codes = np.full(9, Valid.DETECTED, np.uint8)
    codes[7] = Valid.NO_FACE
    labels = rng.uniform(-1, 1, size=(9, 2))
    add_video(root, "v", {"onet": faces, "logmel": sound}, labels=labels, valid={"onet": codes})
    store = FeatureStore.open(root)
    windows = [Window("v", 0, 4), Window("v", 6, 9)]
    batch = gather(store, windows, {"video": "onet", "audio": "logmel"}, length=4)
    assert batch.mask.tolist() == [[True] * 4, [True, True, True, False]]
    assert batch.valid["video"].tolist() == [[True] * 4, [True, False, True, False]]
    assert np.array_equal(batch.features["audio"][1, :3], sound[6:].astype(np.float16))
    assert not batch.features["video"][1, 3].any()
    assert np.allclose(batch.labels[0], labels[:4])
    assert np.isnan(batch.labels[1, 3]).all()
    assert batch.windows == windows


@pytest.fixture
def store(tmp_path):
    root = make_cache(tmp_path / "cache")
    rng = np.random.default_rng(2)
    for video, rows in (("long", 50), ("short", 7)):
        features = {"onet": rng.normal(size=(rows, 4)), "logmel": rng.normal(size=(rows, 2))}
        add_video(root, video, features, labels=rng.uniform(-1, 1, size=(rows, 2)))
    return FeatureStore.open(root)


STREAMS = {"video": "onet", "audio": "logmel"}


def same(one, other):
    for role in STREAMS:
        assert np.array_equal(one.features[role], other.features[role])
        assert np.array_equal(one.valid[role], other.valid[role])
    assert np.array_equal(one.mask, other.mask)
    assert np.array_equal(one.labels, other.labels, equal_nan=True)
    assert one.windows == other.windows


@pytest.mark.parametrize("policy", ["map", "ram"])
def test_buffers_used_again_hold_nothing_of_earlier_batches(store, policy):
    reader = WindowReader(store, STREAMS, length=10, batch=3, policy=policy)
    rng = np.random.default_rng(0)
    for _ in range(20):
        windows = []
        for _ in range(rng.integers(1, 4)):
            video, rows = [("long", 50), ("short", 7)][rng.integers(2)]
            start = int(rng.integers(0, rows - 1))
            windows.append(Window(video, start, min(rows, start + int(rng.integers(1, 11)))))
        same(reader.read(windows), gather(store, windows, STREAMS, 10))


def test_a_batch_stays_until_the_read_after_the_next(store):
    reader = WindowReader(store, STREAMS, length=5, batch=1)
    first = reader.read([Window("long", 0, 5)])
    kept = {role: values.copy() for role, values in first.features.items()}
    reader.read([Window("long", 20, 25)])
    assert all(np.array_equal(first.features[role], kept[role]) for role in STREAMS)


def test_a_private_copy_no_longer_needs_the_map(store):
    mapped = WindowReader(store, STREAMS, length=5, batch=1)
    private = WindowReader(store, STREAMS, length=5, batch=1, policy="ram")
    for reader in (mapped, private):
        reader.read([Window("long", 0, 5)])
    view, key = store.read("long", "onet"), ("long", ("onet", "logmel"))
    assert np.shares_memory(mapped._rows[key].features[0], view)
    assert not np.shares_memory(private._rows[key].features[0], view)


def test_an_unknown_policy_is_refused(store):
    with pytest.raises(ConfigError, match="`disk` is none of map, ram"):
        WindowReader(store, STREAMS, length=5, batch=1, policy="disk")


def test_each_window_can_be_read_from_streams_of_its_own(tmp_path):
    root = make_cache(tmp_path / "cache")
    add_video(root, "v", {"onet": np.zeros((9, 2)), "onet~flip": np.ones((9, 2))})
    reader = WindowReader(FeatureStore.open(root), {"video": "onet"}, length=3, batch=2)
    windows = [Window("v", 0, 3), Window("v", 0, 3)]
    batch = reader.read(windows, [{"video": "onet"}, {"video": "onet~flip"}])
    assert batch.features["video"].mean(axis=(1, 2)).tolist() == [0, 1]
