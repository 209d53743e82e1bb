"""Heads and regressor against their published equations, evaluated by straight loops."""

import math

import numpy as np
import pytest
import torch
from loops import linear, relu, softmax

from vapipe.cache import ConfigError
from vapipe.fusion import count_parameters, create_head
from vapipe.fusion.heads.joint_attention import JointCrossAttention
from vapipe.fusion.regressor import Regressor


def block_by_loops(block, x, exists, mutation=""):
    """One recursion on one window; x role -> [L][d_m]; sums run over existing frames only."""
    frames = [i for i, here in enumerate(exists) if here]
    size = sum(len(rows[0]) for rows in x.values())
    joint = {i: linear(block.joint, [v for rows in x.values() for v in rows[i]]) for i in frames}
    out = {}
    for role, rows in x.items():
        mix = block.key[role].weight.detach().numpy()
        bias = block.key[role].bias.detach().numpy()
        channels = len(rows[0])
        key = [
            {j: bias[j] + sum(mix[j, i] * rows[i][c] for i in frames) for j in frames}
            for c in range(channels)
        ]
        root = 1.0 if mutation == "no scale" else math.sqrt(size)
        scores = [
            [sum(key[c][j] * joint[j][e] for j in frames) / root for e in range(size)]
            for c in range(channels)
        ]
        if mutation != "no tanh of the scores":
            scores = [[math.tanh(value) for value in row] for row in scores]
        out[role] = [[0.0] * channels for _ in rows]
        for i in frames:
            value = linear(block.value[role], rows[i])
            if block.tanh == "value":
                value = [math.tanh(v) for v in value]
            hidden = [sum(value[c] * scores[c][e] for c in range(channels)) for e in range(size)]
            if block.tanh == "product":
                hidden = [math.tanh(h) for h in hidden]
            added = relu(linear(block.output[role], relu(hidden)))
            kept = [0.0] * channels if mutation == "no residual" else rows[i]
            out[role][i] = [k + a for k, a in zip(kept, added, strict=True)]
    return out


def grjca_by_loops(head, x, exists, mutation=""):
    """One window; x role -> [L][d_m] -> [L][sum of d_m], zeros where nothing exists."""
    steps = [{}]
    for role, rows in x.items():
        norms = [
            1.0 if mutation == "no l2 norm" else math.sqrt(sum(v * v for v in row)) for row in rows
        ]
        steps[0][role] = [[v / norm for v in row] for row, norm in zip(rows, norms, strict=True)]
    for block in head.attention:
        steps.append(block_by_loops(block, steps[-1], exists, mutation))
    out = []
    for i, here in enumerate(exists):
        row = []
        for role in x:
            channels = len(steps[0][role][i])
            asked = steps[0 if mutation == "gate from the input" else -1][role][i]
            temperature = 1.0 if mutation == "no temperature" else 0.1
            gate = softmax([v / temperature for v in linear(head.gate[role], asked)])
            if mutation == "gate order":
                gate.reverse()
            row += relu(
                [
                    sum(g * step[role][i][c] for g, step in zip(gate, steps, strict=True))
                    for c in range(channels)
                ]
            )
        out.append(row if here else [0.0] * len(row))
    return np.array(out)


MUTATIONS = [
    "no scale",
    "no tanh of the scores",
    "no residual",
    "no l2 norm",
    "gate from the input",
    "no temperature",
    "gate order",
]


def grjca(recursions=2, tanh="value", dims=None, length=6):
    torch.manual_seed(3)
    head = create_head(
        "grjca", dims or {"video": 4, "audio": 3}, length=length, recursions=recursions, tanh=tanh
    )
    head = head.double().eval()
    for parameter in head.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return head


def inputs(head, batch=2, frames=6):
    torch.manual_seed(4)
    return {
        role: torch.randn(batch, frames, dim, dtype=torch.float64)
        for role, dim in head.dims.items()
    }


def difference(head, mutation="", holes=()):
    x = inputs(head)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, list(holes)] = False
    out = head(x, mask if holes else None).detach().numpy()
    return max(
        np.abs(
            out[b]
            - grjca_by_loops(head, {r: v[b].tolist() for r, v in x.items()}, mask[b], mutation)
        ).max()
        for b in range(2)
    )


@pytest.mark.parametrize("recursions", [1, 2, 3])
@pytest.mark.parametrize("tanh", ["value", "product"])
@pytest.mark.parametrize("holes", [(), (4, 5), (0, 2)])
def test_grjca_computes_its_equations(recursions, tanh, holes):
    assert difference(grjca(recursions, tanh), holes=holes) < 1e-9


def test_grjca_computes_its_equations_for_three_streams():
    assert difference(grjca(dims={"video": 3, "audio": 2, "text": 2})) < 1e-9


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_changed_equation_is_noticed(mutation):
    assert difference(grjca(), mutation) > 1e-4


def test_grjca_in_float32_is_close():
    head = grjca()
    x = inputs(head)
    exact = head(x)
    out = head.float()({role: v.float() for role, v in x.items()})
    assert (out - exact).abs().max() < 1e-4


def test_grjca_gates_weigh_the_input_and_every_recursion():
    head = grjca(recursions=3)
    gates = head.gates(inputs(head))
    assert set(gates) == {"video", "audio"}
    for gate in gates.values():
        assert gate.shape == (2, 6, 4)
        assert torch.allclose(gate.sum(-1), torch.ones(2, 6, dtype=torch.float64))


def test_the_block_has_the_published_number_of_parameters():
    head = create_head("grjca", {"video": 256, "audio": 128}, length=300, recursions=2)
    assert count_parameters(head.attention) == 1_117_168
    assert head.out_dim == 384


def test_a_window_longer_than_the_weights_is_refused():
    head = grjca(length=5)
    with pytest.raises(ConfigError, match=r"window of 6 frames meets weights made for length=5"):
        head(inputs(head))


def test_the_block_starts_as_released():
    block = JointCrossAttention(dims={"video": 8, "audio": 4}, length=20)
    assert not block.joint.bias.any()
    assert block.joint.weight.abs().max() <= math.sqrt(6 / 24)


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
