"""CCC, MSE and PCC are what others compute; intervals come from whole videos."""

import dataclasses
import math

import audmetric
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import ConfigError
from vapipe.fusion import ccc, mse, pcc, score
from vapipe.fusion.evaluation.metrics import bootstrap, concordance, moments

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


def videos_of(rng, count, noise=0.3):
    """Predictions and annotation of some videos of different length, [T, 2] each."""
    pairs = []
    for _ in range(count):
        t = rng.normal(size=(rng.integers(3, 40), 2)) * 0.3 + rng.normal(size=2) * 0.3
        pairs.append((0.7 * t + noise * rng.normal(size=t.shape), t))
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


def test_intervals_are_those_of_resampled_frames_of_whole_videos():
    """The slow way: draw videos, concatenate their frames, measure, sort."""
    pairs = videos_of(np.random.default_rng(1), 9)
    found = bootstrap(np.stack([moments(*pair) for pair in pairs]), resamples=200, seed=5)
    times = np.random.default_rng(5).multinomial(9, np.full(9, 1 / 9), size=200)
    drawn = []
    for row in times:
        p, t = (
            np.concatenate(
                [pair[side] for pair, n in zip(pairs, row, strict=True) for _ in range(n)]
            )
            for side in (0, 1)
        )
        both = [audmetric.concordance_cc(t[:, c], p[:, c]) for c in (0, 1)]
        drawn.append([*both, sum(both) / 2])
    expected = np.quantile(drawn, [0.025, 0.975], axis=0).T
    assert np.allclose(found, expected, atol=1e-9)


def test_a_seed_repeats_the_intervals_and_another_does_not():
    sums = np.stack([moments(*pair) for pair in videos_of(np.random.default_rng(2), 8)])
    assert np.array_equal(bootstrap(sums), bootstrap(sums))
    assert not np.array_equal(bootstrap(sums), bootstrap(sums, seed=1))


def test_one_video_has_no_interval_and_equal_videos_a_narrow_one():
    (pair,) = videos_of(np.random.default_rng(3), 1)
    assert bootstrap(moments(*pair)[None]) is None
    low, high = bootstrap(np.stack([moments(*pair)] * 5)).T
    assert np.allclose(low, high, atol=1e-12)
    assert low[0] == pytest.approx(ccc(pair[0][:, 0], pair[1][:, 0]), abs=1e-9)


def test_resamples_without_a_target_are_left_out():
    rng = np.random.default_rng(4)
    (p, t), (q, u) = videos_of(rng, 2)
    t, u = t.copy(), u.copy()
    t[:, 0] = u[:, 1] = np.nan
    bounds = bootstrap(np.stack([moments(p, t), moments(q, u)]))
    assert bounds[0] == pytest.approx(ccc(q[:, 0], u[:, 0]), abs=1e-9)
    assert bounds[1] == pytest.approx(ccc(p[:, 1], t[:, 1]), abs=1e-9)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    """Coverage over 200 studies of 40 videos whose quality differs by video."""
    rng = np.random.default_rng(6)

    def sums(count):
        """Moments of videos with a bias of their own, without drawing frames one by one."""
        t = rng.normal(size=(count, 50, 1)) * 0.3
        p = t + rng.normal(size=(count, 1, 1)) * 0.2 + rng.normal(size=t.shape) * 0.1
        x = np.stack([np.ones_like(t), p, t], axis=2)[..., 0]
        return np.einsum("vti,vtj->vij", x, x)[:, None]

    truth = concordance(sums(20_000).sum(axis=0))[0]
    studies = [bootstrap(sums(40), resamples=300)[0] for _ in range(200)]
    covered = np.mean([low <= truth <= high for low, high in studies])
    assert 0.88 <= covered <= 0.99


def test_subjects_of_one_file_are_drawn_together(make_store):
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
    expected = bootstrap(np.stack([merged["a"] + merged["b"], merged["c"]]))
    assert np.allclose(list(together.intervals.values()), expected, atol=1e-12)
    assert together.intervals != alone.intervals
    assert dataclasses.replace(alone, files=dict.fromkeys(labels, "one")).intervals is None
