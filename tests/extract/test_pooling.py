import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.extract.encoders.pooling import IntervalMean


def brute_force(edges, shortest, pieces):
    """Means and covered parts by a plain loop over all rows and cells."""
    means, parts = [], []
    for start, stop in itertools.pairwise(edges):
        stop = max(stop, start + shortest)
        total, covered = 0.0, 0.0
        for lows, highs, values in pieces:
            for low, high, value in zip(lows, highs, values, strict=True):
                shared = max(0.0, min(high, stop) - max(low, start))
                total, covered = total + shared * value, covered + shared
        means.append(total / covered if covered > 0 else np.zeros(values.shape[1]))
        parts.append(covered / (stop - start))
    return np.array(means), np.array(parts)


def pooled(edges, shortest, pieces, dim):
    pool = IntervalMean(edges, dim=dim, shortest=shortest)
    taken = []
    for low, high, values in pieces:
        taken += list(pool.take(low[0]))
        pool.push(low, high, values)
    taken += list(pool.take(np.inf))
    return np.concatenate([m for m, _ in taken]), np.concatenate([c for _, c in taken])


steps = st.lists(
    st.one_of(st.just(0.0), st.floats(0.01, 0.5), st.floats(1, 40)), min_size=1, max_size=25
)


@settings(max_examples=150, deadline=None)
@given(
    rows=steps,
    first=st.floats(-20, 20),
    pieces=st.lists(st.tuples(st.floats(0, 30), st.integers(1, 12), st.floats(0.5, 9)), max_size=5),
    seed=st.integers(0, 99),
)
def test_means_equal_a_plain_loop(rows, first, pieces, seed):
    rng = np.random.default_rng(seed)
    edges = first + np.concatenate([[0.0], np.cumsum(rows)])
    time, cells = 0.0, []
    for hole, count, width in pieces or [(0.0, 1, 1.0)]:
        bounds = time + hole + np.arange(count + 1) * width
        cells.append((bounds[:-1], bounds[1:], rng.lognormal(sigma=6, size=(count, 3))))
        time = bounds[-1]
    means, parts = pooled(edges, 0.25, cells, 3)
    expected, covered = brute_force(edges, 0.25, cells)
    assert means.shape == (len(edges) - 1, 3)
    np.testing.assert_allclose(parts, covered, atol=1e-9)
    np.testing.assert_allclose(means[covered > 1e-6], expected[covered > 1e-6], rtol=1e-6)
    assert (means[covered == 0] == 0).all()


def test_silence_after_a_loud_stretch_stays_exact():
    low = np.arange(10_000.0)
    values = np.where(low < 5000, 1e6, 1e-6)[:, None]
    means, _ = pooled(np.arange(0, 10_001, 1.7), 0.1, [(low, low + 1, values)], 1)
    np.testing.assert_allclose(means[-2000:], 1e-6, rtol=1e-12)


def test_rows_are_given_out_as_soon_as_they_are_past_and_memory_is_freed():
    pool = IntervalMean(np.arange(100_001.0), dim=4, shortest=0.1)
    given = 0
    for start in range(0, 100_000, 1000):
        low = np.arange(start, start + 1000.0)
        given += sum(len(means) for means, _ in pool.take(low[0]))
        pool.push(low, low + 1, np.ones((1000, 4)))
        assert given == start
        assert len(pool._covered) <= 2000


@pytest.mark.parametrize("shortest", [0.5, 1.0])
def test_rows_without_length_take_what_is_sounding_then(shortest):
    edges = np.array([0.0, 2.25, 2.25, 2.25, 5.0])
    low = np.arange(5.0)
    means, parts = pooled(edges, shortest, [(low, low + 1, low[:, None])], 1)
    assert parts == pytest.approx(np.ones(4))
    assert means[1] == means[2] == pytest.approx(2.0 if shortest == 0.5 else 2.25)
