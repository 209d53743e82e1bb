"""CCC is the challenge's measure exactly; its loss is safe where CCC is not defined."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vapipe.cache import ConfigError
from vapipe.fusion import ccc, ccc_loss


def ccc_by_loops(prediction, target):
    n = len(prediction)
    mp, mt = math.fsum(prediction) / n, math.fsum(target) / n
    vp = math.fsum((p - mp) ** 2 for p in prediction) / n
    vt = math.fsum((t - mt) ** 2 for t in target) / n
    cov = math.fsum((p - mp) * (t - mt) for p, t in zip(prediction, target, strict=True)) / n
    return 2 * cov / (vp + vt + (mp - mt) ** 2)


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        ([1, 2, 3], [1, 2, 3], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 3], [2, 3, 4], 4 / 7),  # cov = var = 2/3, mean difference 1
        ([0, 0, 1, 1], [0, 1, 0, 1], 0.0),
        ([0, 2], [0, 1], 2 * 0.5 / (1 + 0.25 + 0.25)),
    ],
)
def test_ccc_equals_values_worked_out_by_hand(prediction, target, expected):
    assert ccc(np.array(prediction), np.array(target)) == pytest.approx(expected, abs=1e-15)


@given(hnp.arrays(np.float64, st.tuples(st.integers(2, 40), st.just(2)), elements=st.floats(-1, 1)))
def test_ccc_equals_a_loop(pairs):
    prediction, target = pairs.T
    if np.ptp(prediction) > 1e-3 and np.ptp(target) > 1e-3:
        assert ccc(prediction, target) == pytest.approx(ccc_by_loops(prediction, target), abs=1e-12)


def test_ccc_takes_numpy_and_torch_and_ignores_masked_values():
    rng = np.random.default_rng(0)
    p, t, m = rng.normal(size=(3, 20)), rng.normal(size=(3, 20)), rng.random((3, 20)) < 0.6
    p[~m], t[~m] = np.nan, np.inf
    expected = ccc_by_loops(p[m], t[m])
    assert ccc(p, t, m) == pytest.approx(expected, abs=1e-14)
    assert ccc(torch.tensor(p), torch.tensor(t), torch.tensor(m)) == pytest.approx(expected)
    assert isinstance(ccc(p, t, m), float)


def test_float32_input_is_measured_in_float64():
    rng = np.random.default_rng(1)
    t = (1000 + 1e-2 * rng.normal(size=500)).astype(np.float32)
    p = (t + 1e-3 * rng.normal(size=500)).astype(np.float32)
    expected = ccc_by_loops(p.astype(np.float64), t.astype(np.float64))
    assert ccc(p, t) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("prediction", "target"),
    [([0.1] * 7, [0.1] * 7), ([0.1] * 7, [0.3] * 7), ([0.2, 0.4], [0.3, 0.3]), ([0.5], [0.5])],
)
def test_a_constant_series_has_ccc_zero(prediction, target):
    assert ccc(np.array(prediction), np.array(target)) == 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.zeros(3), np.zeros(4)), r"prediction \(3,\) and target \(4,\) differ"),
        ((np.zeros(3), np.zeros(3), np.zeros(3)), r"mask must be bool \(3,\), got float64"),
        ((np.zeros(3), np.zeros(3), np.zeros(3, bool)), "no valid value"),
        ((np.array([0, np.nan, 1]), np.zeros(3)), "1 of 3 valid values are not finite"),
    ],
)
def test_what_has_no_ccc_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        ccc(*arguments)


def test_the_loss_is_one_minus_ccc_per_window_averaged():
    rng = np.random.default_rng(2)
    p, t = rng.normal(size=(4, 30)), rng.normal(size=(4, 30))
    m = rng.random((4, 30)) < 0.7
    m[2] = False
    expected = np.mean([1 - ccc_by_loops(p[i, m[i]], t[i, m[i]]) for i in (0, 1, 3)])
    loss = ccc_loss(torch.tensor(p), torch.tensor(t), torch.tensor(m))
    assert loss.item() == pytest.approx(expected, abs=1e-7)
    single = ccc_loss(torch.tensor(p).float(), torch.tensor(t).float(), torch.tensor(m))
    assert single.item() == pytest.approx(expected, abs=1e-5)
    assert ccc_loss(torch.tensor(p), torch.tensor(t)).item() == pytest.approx(
        np.mean([1 - ccc_by_loops(a, b) for a, b in zip(p, t, strict=True)]), abs=1e-7
    )


def test_nan_where_masked_poisons_neither_loss_nor_gradient():
    torch.manual_seed(0)
    p, t = torch.randn(3, 12), torch.randn(3, 12)
    m = torch.rand(3, 12) < 0.6
    clean = torch.where(m, p, 0.0).requires_grad_()
    dirty = torch.where(m, p, torch.nan).requires_grad_()
    losses = [ccc_loss(clean, t, m), ccc_loss(dirty, t.masked_fill(~m, torch.nan), m)]
    for loss in losses:
        loss.backward()
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(clean.grad, dirty.grad)
    assert not dirty.grad[~m].any()


@pytest.mark.parametrize("value", [0.0, 0.1, -0.7])
def test_constant_windows_keep_loss_and_gradient_finite_in_float32(value):
    target = torch.full((3, 300), value)
    p = torch.full((3, 300), value)
    p[1] += 1e-4
    p[2] += 0.1 * torch.randn(300)
    p.requires_grad_()
    loss = ccc_loss(p, target)
    loss.backward()
    assert loss.item() == pytest.approx(1.0, abs=1e-4)
    assert torch.isfinite(p.grad).all()
    assert p.grad.abs().max() < 1


def test_without_any_valid_frame_the_loss_is_zero_with_zero_gradients():
    p = torch.randn(2, 5, requires_grad=True)
    loss = ccc_loss(p, torch.full((2, 5), torch.nan), torch.zeros(2, 5, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert not p.grad.any()


def test_the_released_loss_divides_its_variances_by_one_less():
    """Checked with NumPy's own moments; so not even a perfect prediction costs nothing."""
    torch.manual_seed(0)
    p, t = torch.randn(2, 3, 40, dtype=torch.float64)
    mask = torch.rand(3, 40) < 0.8
    expected = []
    for x, y, m in zip(p.numpy(), t.numpy(), mask.numpy(), strict=True):
        x, y = x[m], y[m]
        covariance = np.cov(x, y, ddof=0)[0, 1]
        spread = x.var(ddof=1) + y.var(ddof=1) + (x.mean() - y.mean()) ** 2
        expected.append(1 - 2 * covariance / spread)
    assert ccc_loss(p, t, mask, ddof=1).item() == pytest.approx(np.mean(expected), abs=1e-7)
    assert ccc_loss(t, t, ddof=1).item() == pytest.approx(1 / 40, abs=1e-6)
    assert ccc_loss(p, t, torch.eye(3, 40).bool(), ddof=1).item() == pytest.approx(1)


def test_the_loss_keeps_float32_moments_for_bfloat16():
    torch.manual_seed(0)
    p, t = torch.randn(2, 300).bfloat16(), torch.randn(2, 300)
    assert ccc_loss(p, t).dtype == torch.float32
    assert torch.equal(ccc_loss(p, t), ccc_loss(p.float(), t))


def test_gradients_of_the_loss_are_right():
    torch.manual_seed(0)
    p = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    t, m = (
        torch.randn(2, 6, dtype=torch.float64),
        torch.tensor([[1] * 6, [1, 1, 0, 1, 0, 1]]).bool(),
    )
    assert torch.autograd.gradcheck(lambda x: ccc_loss(x, t, m), (p,))


def test_shapes_that_do_not_fit_the_loss_are_named():
    with pytest.raises(ConfigError, match=r"\[B, L\]; got \(2, 3\), \(2, 4\), \(2, 3\)"):
        ccc_loss(torch.zeros(2, 3), torch.zeros(2, 4))
