"""Smoothing is a centred mean over time, of the rows that are near in seconds at any rate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import ConfigError
from vapipe.fusion import evaluate, smooth


def clock(rng, rows):
    """Presentation times of a variable frame rate, in milliseconds' steps."""
    return np.cumsum(rng.choice([0.02, 0.033, 0.04, 0.5], rows))


@given(st.integers(1, 60), st.floats(0.001, 3), st.integers(0, 2**32 - 1))
def test_every_row_is_the_mean_of_the_rows_near_it(rows, seconds, seed):
    rng = np.random.default_rng(seed)
    pts, values = clock(rng, rows), rng.normal(size=(rows, 2))
    smoothed = smooth(values, pts, seconds)
    for row in range(rows):
        near = np.abs(pts - pts[row]) <= seconds / 2 + 1e-6
        assert np.allclose(smoothed[row], values[near].mean(axis=0), atol=1e-12)


def test_five_frames_at_25_hertz_are_two_tenths_of_a_second():
    values = np.eye(9, dtype=np.float32)[4][:, None]  # one impulse
    for seconds, width in ((0.16, 5), (0.2, 5), (0.079, 1), (0.08, 3)):
        smoothed = smooth(values, np.arange(9) / 25, seconds)[:, 0]
        assert smoothed.dtype == np.float32
        assert np.flatnonzero(smoothed).tolist() == list(range(4 - width // 2, 5 + width // 2))
        assert smoothed[4] == pytest.approx(1 / width)


@given(st.integers(1, 40), st.floats(0, 2), st.integers(0, 2**32 - 1))
def test_a_constant_stays_and_time_has_no_direction(rows, seconds, seed):
    rng = np.random.default_rng(seed)
    pts, values = clock(rng, rows), rng.normal(size=(rows, 2))
    assert np.allclose(smooth(np.full((rows, 2), 0.3), pts, seconds), 0.3, atol=1e-12)
    backwards = smooth(values[::-1], -pts[::-1], seconds)[::-1]
    assert np.allclose(smooth(values, pts, seconds), backwards, atol=1e-12)
    assert np.allclose(smooth(values, pts + 1000, seconds), smooth(values, pts, seconds))


def test_no_width_changes_nothing():
    values = np.random.default_rng(0).normal(size=(7, 2)).astype(np.float32)
    assert smooth(values, np.arange(7.0), 0) is values


@pytest.mark.parametrize("seconds", [-0.1, float("nan"), float("inf")])
def test_a_width_that_cannot_be_is_named(planted, fitted, seconds):
    with pytest.raises(ConfigError, match="smoothing takes a width in seconds, 0 or more; got"):
        smooth(np.zeros((2, 2)), np.arange(2.0), seconds)
    with pytest.raises(ConfigError, match="smoothing takes a width"):
        evaluate(fitted.run_dir, planted, smoothing=seconds)


def test_rows_that_are_missing_are_not_smoothed_over():
    values = np.zeros((4, 2))
    values[2, 1] = np.nan
    with pytest.raises(ConfigError, match="each of 4 frames; got 4 rows, 1 of them not finite"):
        smooth(values, np.arange(4.0), 1.0)
    with pytest.raises(ConfigError, match="each of 5 frames; got 4 rows, 0 of them not finite"):
        smooth(np.zeros((4, 2)), np.arange(5.0), 1.0)


def test_a_smoothed_evaluation_is_that_of_smoothed_predictions_and_says_so(planted, fitted):
    plain = evaluate(fitted.run_dir, planted, device="cpu")
    result = evaluate(fitted.run_dir, planted, device="cpu", smoothing=0.4)
    for video, values in plain.predictions.items():
        expected = smooth(values, planted.timeline(video).pts, 0.4)
        assert np.array_equal(result.predictions[video], expected)
    assert result.ccc != plain.ccc
    assert result.to_json()["smoothing"] == {"method": "centred moving average", "seconds": 0.4}
    assert "smoothing" not in plain.to_json()
