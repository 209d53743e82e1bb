"""CCC, MSE and PCC are what others compute; intervals come from whole videos."""

import dataclasses
import math

import audmetric
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vapipe.cache import ConfigError
from vapipe.fusion import ccc, mse, pcc, score
from vapipe.fusion.evaluation.metrics import (
    concordance,
    holm,
    moments,
    over_videos,
    t_interval,
    t_test,
    with_mean,
)

# Worked out by hand. Means 2 and 3, squared deviations 2 and 2, products of deviations 2: with four
# values p = 1 2 3 2, t = 2 3 4 3 the covariance and both variances are 1/2, the distance is 1.
BY_HAND = ([1, 2, 3, 2], [2, 3, 4, 3], {ccc: 2 * 0.5 / (0.5 + 0.5 + 1), mse: 1.0, pcc: 1.0})
# p = 0 1, t = 1 0: covariance -1/4, variances 1/4, equal means.
OPPOSED = ([0, 1], [1, 0], {ccc: -1.0, mse: 1.0, pcc: -1.0})
# p = 0 0 3, t = 0 3 3: means 1 and 2, variances 2 and 2, covariance (0 + 0 + 9) / 3 - 2 = 1.
ASKEW = ([0, 0, 3], [0, 3, 3], {ccc: 2 / (2 + 2 + 1), mse: 3.0, pcc: 0.5})


@pytest.mark.parametrize(("p", "t", "expected"), [BY_HAND, OPPOSED, ASKEW])
def test_values_worked_out_by_hand(p, t, expected):
    for measure, value in expected.items():
        assert measure(np.array(p), np.array(t)) == pytest.approx(value, abs=1e-15)


@given(
    st.integers(2, 400),
    st.floats(0.05, 3),
    st.floats(-2, 2),
    st.floats(-1, 1),
    st.integers(0, 2**32 - 1),
)
def test_measures_equal_those_of_an_independent_package(n, scale, offset, slope, seed):
    rng = np.random.default_rng(seed)
    t = rng.normal(size=n)
    p = slope * t + scale * rng.normal(size=n) + offset
    assert ccc(p, t) == pytest.approx(audmetric.concordance_cc(t, p), abs=1e-12)
    assert mse(p, t) == pytest.approx(audmetric.mean_squared_error(t, p), rel=1e-12)
    assert pcc(p, t) == pytest.approx(audmetric.pearson_cc(t, p), abs=1e-9)


def test_masked_values_do_not_count_and_may_be_nan():
    rng = np.random.default_rng(0)
    p, t, mask = rng.normal(size=50), rng.normal(size=50), rng.random(50) < 0.5
    holes = np.where(mask, t, np.nan)
    for measure in (mse, pcc):
        assert measure(p, holes, mask) == pytest.approx(measure(p[mask], t[mask]), abs=1e-15)


@pytest.mark.parametrize(("measure", "name"), [(mse, "mse"), (pcc, "pcc")])
def test_what_cannot_be_measured_is_named(measure, name):
    with pytest.raises(ConfigError, match=rf"{name}: prediction \(3,\) and target \(2,\) differ"):
        measure(np.zeros(3), np.zeros(2))
    with pytest.raises(ConfigError, match=f"{name}: no valid value; {name.upper()} is undefined"):
        measure(np.zeros(2), np.zeros(2), np.zeros(2, bool))
    with pytest.raises(ConfigError, match=f"{name}: 1 of 2 valid values are not finite"):
        measure(np.array([0, np.nan]), np.zeros(2))


def test_a_constant_correlates_with_nothing():
    assert pcc(np.full(5, 0.1), np.arange(5)) == 0.0
    assert pcc(np.arange(5), np.full(5, 0.1)) == 0.0


# -- intervals -------------------------------------------------------------------------------------


def videos_of(rng, count):
    """Predictions and annotation of some videos of different length, [T, 2] each."""
    pairs = []
    for _ in range(count):
        t = rng.normal(size=(rng.integers(3, 40), 2)) * 0.3 + rng.normal(size=2) * 0.3
        pairs.append((0.7 * t + 0.3 * rng.normal(size=t.shape), t))
    return pairs


@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_moments_add_up_to_the_concatenated_ccc(count, seed):
    rng = np.random.default_rng(seed)
    pairs = videos_of(rng, count)
    for _, t in pairs:
        t[rng.random(t.shape) < 0.3] = np.nan
        t[0] = rng.normal(size=2)
    p, t = (np.concatenate(values) for values in zip(*pairs, strict=True))
    kept = np.isfinite(t)
    found = concordance(sum(moments(*pair) for pair in pairs))
    for c in range(2):
        expected = audmetric.concordance_cc(t[kept[:, c], c], p[kept[:, c], c])
        if not math.isnan(expected):  # a single frame
            assert found[c] == pytest.approx(expected, abs=1e-9)


def test_moments_without_rows_or_without_spread():
    empty = moments(np.zeros((3, 1)), np.full((3, 1), np.nan))
    assert np.isnan(concordance(empty)).all()
    flat = moments(np.full((3, 1), 0.1), np.full((3, 1), 0.1))
    assert concordance(flat) == ccc(np.full(3, 0.1), np.full(3, 0.1)) == 0.0


def interval(sums):
    return t_interval(*over_videos(sums, with_mean), len(sums))


def test_errors_are_those_of_leaving_out_the_frames_of_one_video():
    """The slow way: concatenate the frames of all videos but one, measure, and compare."""
    pairs = videos_of(np.random.default_rng(1), 9)

    def measure(chosen):
        p, t = (np.concatenate([pair[side] for pair in chosen]) for side in (0, 1))
        both = [audmetric.concordance_cc(t[:, c], p[:, c]) for c in (0, 1)]
        return np.array([*both, sum(both) / 2])

    left = np.array([measure(pairs[:i] + pairs[i + 1 :]) for i in range(9)])
    value, error = over_videos(np.stack([moments(*pair) for pair in pairs]), with_mean)
    assert np.allclose(value, measure(pairs), atol=1e-9)
    assert np.allclose(error, np.sqrt(8 * left.var(axis=0)), atol=1e-9)
    expected = stats.t(df=8, loc=value, scale=error).interval(0.95)
    assert np.allclose(t_interval(value, error, 9).T, expected, atol=1e-12)


def test_of_means_the_errors_and_tests_are_those_of_students_t():
    """Where the statistic is a mean, leaving one out gives the textbook's standard error."""
    values = np.random.default_rng(2).normal(size=(7, 1)) + 0.5
    value, error = over_videos(np.c_[values, np.ones(7)], lambda sums: sums[:, :1] / sums[:, 1:])
    known = stats.ttest_1samp(values[:, 0], 0)
    low, high = known.confidence_interval()
    assert t_interval(value, error, 7)[0] == pytest.approx((low, high))
    assert t_test(float(value[0]), float(error[0]), 7) == pytest.approx(known.pvalue)


def test_one_video_has_no_interval_and_equal_videos_a_narrow_one():
    (pair,) = videos_of(np.random.default_rng(3), 1)
    assert np.isnan(interval(moments(*pair)[None])).all()
    low, high = interval(np.stack([moments(*pair)] * 5)).T
    assert np.allclose(low, high, atol=1e-7)
    assert low[0] == pytest.approx(ccc(pair[0][:, 0], pair[1][:, 0]), abs=1e-7)


def test_a_target_annotated_in_one_video_only_has_no_interval():
    (p, t), (q, u) = videos_of(np.random.default_rng(4), 2)
    t = t.copy()
    t[:, 0] = np.nan
    low, _ = interval(np.stack([moments(p, t), moments(q, u)])).T
    assert np.isnan(low).tolist() == [True, False, True]


def studies(rng, count, videos, *, level, bias, heads=1):
    """[count, V, heads, 1, 3, 3]: moments of videos with a level, and errors of their own.

    Every head's prediction follows the label, off by a bias of the video and by noise per frame.
    """
    frames = 40
    truth = level * rng.normal(size=(count, videos, 1, 1))
    truth = truth + np.sqrt(1 - level**2) * rng.normal(size=(count, videos, 1, frames))
    off = bias * rng.normal(size=(count, videos, heads, 1))
    p = 0.6 * (truth + off) + 0.4 * rng.normal(size=(count, videos, heads, frames))
    x = np.stack([np.ones_like(p), p, np.broadcast_to(truth, p.shape)], axis=-2)
    return (x @ x.swapaxes(-1, -2))[..., None, :, :]


@pytest.mark.parametrize(("level", "bias"), [(0.5, 0.5), (0.8, 1.0), (0.8, 0.3)])
@pytest.mark.parametrize("videos", [3, 5, 10, 20])
def test_intervals_cover_the_truth_about_as_often_as_they_say(videos, level, bias):
    rng = np.random.default_rng(6)
    truth = concordance(studies(rng, 1, 50_000, level=level, bias=bias).sum(1))[0, 0, 0]
    covered = []
    for sums in studies(rng, 800, videos, level=level, bias=bias)[:, :, 0]:
        low, high = interval(sums)[0]
        covered.append(low <= truth <= high)
    assert 0.88 <= np.mean(covered) <= 0.99


@pytest.mark.parametrize("videos", [5, 20])
def test_two_equally_good_heads_differ_at_five_percent_in_five_percent(videos):
    def gain(sums):
        ccc = concordance(sums)[..., 0]
        return ccc[:, :1] - ccc[:, 1:]

    rng = np.random.default_rng(7)
    ps = []
    for sums in studies(rng, 1500, videos, level=0.6, bias=0.5, heads=2):
        value, error = over_videos(sums, gain)
        ps.append(t_test(float(value[0]), float(error[0]), videos))
    assert 0.03 <= np.mean(np.array(ps) < 0.05) <= 0.075


@given(ps=st.lists(st.floats(0, 1), min_size=1, max_size=9), level=st.floats(0.001, 0.999))
def test_the_correction_rejects_what_holms_procedure_rejects(ps, level):
    """Step down from the smallest p: go on while it is within the level / tests that remain."""
    rejected = set()
    for rank, i in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        if ps[i] * (len(ps) - rank) > level:
            break
        rejected.add(i)
    assert {i for i, p in enumerate(holm(ps)) if p <= level} == rejected
    assert np.isnan(holm([math.nan, *ps])[0])
    assert holm([math.nan, *ps])[1:] == holm(ps)


def test_subjects_of_one_file_are_counted_together(make_store):
    rng = np.random.default_rng(7)
    labels = {name: rng.normal(size=(30, 2)).astype(np.float32) for name in ("a", "b", "c")}
    store = make_store(
        {
            name: {"features": {"onet": np.zeros((30, 1))}, "labels": values}
            for name, values in labels.items()
        }
    )
    predictions = {name: values + 0.3 for name, values in labels.items()}
    alone = score(store, predictions, partition="test")
    together = dataclasses.replace(alone, files={"a": "one", "b": "one", "c": "two"})
    merged = {name: moments(predictions[name], labels[name]) for name in labels}
    expected = interval(np.stack([merged["a"] + merged["b"], merged["c"]])).clip(-1, 1)
    assert np.allclose(list(together.intervals.values()), expected, atol=1e-12)
    assert together.intervals != alone.intervals
    assert dataclasses.replace(alone, files=dict.fromkeys(labels, "one")).intervals is None
