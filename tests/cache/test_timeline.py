"""A timeline holds exact presentation times and refuses what would break alignment."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import CacheError, Timeline, Valid, usable

STEPS = st.lists(st.floats(0.001, 1.0), min_size=1, max_size=50)


@given(STEPS, st.floats(-5, 5))
def test_rate_is_the_mean_rate_over_the_times(steps, start):
    pts = start + np.cumsum([0, *steps])
    timeline = Timeline.from_pts(pts)
    assert timeline.fps == pytest.approx(len(steps) / sum(steps))
    assert len(timeline) == len(steps) + 1


@given(STEPS)
def test_edges_enclose_each_frame_until_the_next(steps):
    timeline = Timeline.from_pts(np.cumsum([0, *steps]))
    edges = timeline.edges()
    assert np.array_equal(edges[:-1], timeline.pts)
    assert edges[-1] == pytest.approx(timeline.pts[-1] + 1 / timeline.fps)


def test_one_frame_takes_the_nominal_rate():
    assert Timeline.from_pts(np.array([0.5]), nominal_fps=30).edges().tolist() == [
        0.5,
        0.5 + 1 / 30,
    ]


@pytest.mark.parametrize(
    ("pts", "fps", "message"),
    [
        ([], None, "0 frame"),
        ([0.1], None, "no rate is known"),
        ([0, np.nan], 25, r"pts\[1\] is nan"),
        ([0, 2, 1], 25, r"pts\[2\] = 1.0 is before pts\[1\] = 2.0"),
    ],
)
def test_unusable_times_are_named(pts, fps, message):
    with pytest.raises(CacheError, match=message):
        Timeline.from_pts(np.array(pts, float), fps)


def test_a_rate_must_be_positive():
    with pytest.raises(CacheError, match="fps must be positive"):
        Timeline(np.array([0.0, 1.0]), 0.0)


def test_shape_is_checked():
    with pytest.raises(CacheError, match=r"shape \[T\]"):
        Timeline(np.zeros((2, 2)), 25.0)


def test_every_code_is_either_usable_or_says_why_not():
    codes = np.array([code.value for code in Valid], np.uint8)
    names = [Valid(code).name for code in codes[usable(codes)]]
    assert names == ["DETECTED", "TRACKED", "CROPPED", "AUDIO", "IMAGE", "IMPORTED", "SILENCE"]
