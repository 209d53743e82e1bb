"""The TCN computes Bai et al.'s equations, knows its field, and respects masks."""

import math

import numpy as np
import pytest
import torch

from vapipe.cache import ConfigError
from vapipe.fusion import TCN, count_parameters


def leaky(value):
    return value if value > 0 else 0.01 * value


def kernel(conv):
    """Weight-normed kernel [O, I, k]: g v / |v|, norms over each output's weights."""
    state = conv.state_dict()
    g, v = (state[f"parametrizations.weight.original{i}"].numpy() for i in (0, 1))
    return np.stack([g[o, 0, 0] * v[o] / math.sqrt((v[o] ** 2).sum()) for o in range(len(v))])


def convolve_by_loops(x, weight, bias, dilation, before):
    """x [L, I] -> [L, O]; tap k looks at frame l - before + k dilation, zeros outside."""
    out = np.zeros((len(x), len(weight)))
    for frame in range(len(x)):
        for o in range(len(weight)):
            total = bias[o]
            for tap in range(weight.shape[2]):
                source = frame - before + tap * dilation
                if 0 <= source < len(x):
                    for i in range(x.shape[1]):
                        total += weight[o, i, tap] * x[source, i]
            out[frame, o] = total
    return out


def tcn_by_loops(tcn, x, mask, causal):
    """One window x [L, D]; rows that do not exist are zeros wherever they are read."""
    act = np.vectorize(leaky)
    for level, block in enumerate(tcn.network):
        x = x * mask[:, None]
        dilation, taps = 2**level, tcn.kernel_size
        before = (taps - 1) * dilation if causal else (taps - 1) * dilation // 2
        y = x
        for conv in (block.conv1, block.conv2):
            y = act(
                convolve_by_loops(y, kernel(conv), conv.bias.detach().numpy(), dilation, before)
            )
            y = y * mask[:, None]
        if block.downsample is None:
            residual = x
        else:
            weight, bias = (
                p.detach().numpy() for p in (block.downsample.weight, block.downsample.bias)
            )
            residual = convolve_by_loops(x, weight, bias, 1, 0)
        x = act(y + residual)
    return x * mask[:, None]


def make(causal=True, **options):
    torch.manual_seed(0)
    tcn = TCN(in_dim=3, channels=(4, 4, 2), kernel_size=3, causal=causal, **options)
    for parameter in tcn.parameters():  # g away from |v|, so that the norm matters
        parameter.data += 0.1 * torch.randn_like(parameter)
    return tcn.eval()


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("holes", [[], [6, 7, 8], [0, 3, 8]])
def test_the_equations_by_loops(causal, holes):
    tcn = make(causal).double()
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, holes] = False
    out = tcn(x, mask if holes else None).detach().numpy()
    for window in range(2):
        expected = tcn_by_loops(tcn, x[window].numpy(), mask[window].numpy(), causal)
        assert np.abs(out[window] - expected).max() < 1e-9
    single = tcn.float()(x.float(), mask).detach().numpy()
    assert np.abs(single - out).max() < 1e-4


def test_published_sizes_and_receptive_field():
    video = TCN(in_dim=512, channels=(512, 512, 256, 256))
    assert count_parameters(video) == pytest.approx(7.02e6, abs=5e3)
    assert count_parameters(TCN(in_dim=128, channels=(128,) * 4)) == pytest.approx(0.66e6, abs=5e3)
    assert video.receptive_field == 121


@pytest.mark.parametrize("causal", [True, False])
def test_an_output_depends_on_exactly_the_receptive_field(causal):
    torch.manual_seed(0)
    tcn = TCN(in_dim=2, channels=(3, 3, 3), kernel_size=3, causal=causal).double().eval()
    x = torch.randn(1, 80, 2, dtype=torch.float64, requires_grad=True)
    tcn(x)[0, 40].sum().backward()
    seen = x.grad[0].abs().sum(1).nonzero().flatten().tolist()
    field = tcn.receptive_field
    assert field == 1 + 2 * 2 * 7
    first = 40 - (field - 1) if causal else 40 - (field - 1) // 2
    assert (seen[0], seen[-1]) == (first, first + field - 1)


def test_causal_means_that_the_future_changes_nothing():
    tcn = make()
    x = torch.randn(1, 20, 3)
    y = x.clone()
    y[:, 12:] = torch.randn(1, 8, 3) * 100
    assert torch.equal(tcn(x)[:, :12], tcn(y)[:, :12])


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("filler", [math.nan, math.inf, 1e30])
def test_rows_that_do_not_exist_never_matter(causal, filler):
    tcn = make(causal).train()
    x = torch.randn(3, 15, 3)
    mask = torch.rand(3, 15) < 0.6
    torch.manual_seed(1)
    clean = tcn(x, mask)
    dirty = x.masked_fill(~mask[..., None], filler).requires_grad_()
    torch.manual_seed(1)
    out = tcn(dirty, mask)
    assert torch.equal(out, clean)
    assert not out[~mask].any()
    out.square().sum().backward()
    assert torch.isfinite(dirty.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in tcn.parameters())


@pytest.mark.parametrize("causal", [True, False])
def test_padding_equals_a_shorter_window(causal):
    tcn = make(causal)
    x = torch.randn(2, 15, 3)
    mask = torch.arange(15).expand(2, 15) < 11
    assert torch.allclose(tcn(x, mask)[:, :11], tcn(x[:, :11]), atol=1e-6)


def test_gradients_are_right():
    tcn = make().double()
    x = torch.randn(2, 5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(tcn, (x,))


def test_a_level_that_keeps_its_channels_has_no_residual_convolution():
    levels = make().network
    assert [level.downsample is None for level in levels] == [False, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": ()}, "at least one level"),
        ({"channels": (4, 0)}, r"channels \[4, 0\]"),
        ({"channels": (4,), "kernel_size": 4, "causal": False}, "odd kernel, got 4"),
    ],
)
def test_impossible_networks_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        TCN(in_dim=3, **options)
