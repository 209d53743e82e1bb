"""Windows cover every row, and batches hold what the store holds."""

import numpy as np
import pytest
from caches import add_video, make_cache
from hypothesis import given
from hypothesis import strategies as st
from vapipe.cache import ConfigError, FeatureStore, Valid, Window, cut_windows, gather


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
