"""The baseline head and the regressor against their equations, evaluated by straight loops."""

import math

import numpy as np
import pytest
import torch
from loops import linear

from vapipe.fusion import create_head
from vapipe.fusion.models.regressor import Regressor


def test_concat_concatenates_in_the_order_of_the_roles():
    head = create_head("concat", {"text": 1, "audio": 2, "video": 3})
    x = {role: torch.randn(2, 4, dim) for role, dim in head.dims.items()}
    assert torch.equal(head(x), torch.cat([x["video"], x["audio"], x["text"]], dim=-1))


@pytest.mark.parametrize("training", [True, False])
def test_the_regressor_computes_its_equations_over_existing_frames(training):
    torch.manual_seed(5)
    regressor = Regressor(in_dim=4, outputs=2, hidden=3).double()
    for parameter in regressor.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    norm = regressor.norm
    norm.running_mean += torch.randn(3)
    norm.running_var += torch.rand(3)
    running = norm.running_mean.clone(), norm.running_var.clone()
    regressor.train(training)
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0]]).bool()
    out = regressor(x.masked_fill(~mask[..., None], math.nan), mask)

    rows = [linear(regressor.hidden, row) for row in x[mask].tolist()]
    expected = []
    means = [sum(row[c] for row in rows) / len(rows) for c in range(3)]
    variances = [sum((row[c] - means[c]) ** 2 for row in rows) / len(rows) for c in range(3)]
    if not training:
        means, variances = (values.tolist() for values in running)
    for row in rows:
        hidden = []
        for c in range(3):
            normal = (row[c] - means[c]) / math.sqrt(variances[c] + norm.eps)
            value = norm.weight[c].item() * normal + norm.bias[c].item()
            hidden.append(value if value > 0 else 0.01 * value)
        expected.append([math.tanh(value) for value in linear(regressor.output, hidden)])
    assert np.abs(out[mask].detach().numpy() - np.array(expected)).max() < 1e-9
    assert torch.isfinite(out).all()
    if training:
        unbiased = np.array(variances) * len(rows) / (len(rows) - 1)
        assert np.allclose(norm.running_var, 0.9 * running[1].numpy() + 0.1 * unbiased, atol=1e-12)


def test_the_regressor_without_mask_uses_every_frame():
    torch.manual_seed(6)
    regressor = Regressor(in_dim=4, outputs=1, hidden=3)
    x = torch.randn(2, 5, 4)
    everything = torch.ones(2, 5, dtype=torch.bool)
    assert torch.allclose(regressor(x), regressor(x, everything), atol=1e-6)


def test_a_single_frame_in_training_is_normalised_with_the_running_statistics():
    torch.manual_seed(7)
    regressor = Regressor(in_dim=4, outputs=1, hidden=3)
    x = torch.randn(1, 2, 4)
    mask = torch.tensor([[True, False]])
    trained = regressor(x, mask)
    assert torch.equal(trained, regressor.eval()(x, mask))
