"""TAGF against its equations, evaluated by straight loops, and its LSTM against torch's."""

import math

import pytest
import torch
from joint_loops import (
    HOLES,
    difference,
    dot,
    float32_difference,
    gradients_are_right,
    inputs,
    lstm,
    make,
    recur,
    weigh,
)
from loops import linear, softmax
from torch.utils.flop_counter import FlopCounterMode

from vapipe.fusion.models.heads.recursion_lstm import RecursionLSTM, mean_of_unit

PAPER = {"variant": "paper"}
FREE = {"variant": "paper", "mixing": "channels"}
VARIANTS = [
    pytest.param({}, id="official"),
    pytest.param(PAPER, id="paper"),
    pytest.param(FREE, id="paper channels"),
]


def tagf(head, x, exists, mutation=""):
    steps = recur(head, x, exists, mutation)
    return [
        [
            value
            for role in x
            for value in fuse_frame(head, role, [step[role][i] for step in steps], mutation)
        ]
        for i in range(len(exists))
    ]


def fuse_frame(head, role, steps, mutation):
    """x^0 .. x^M [d_m] of one frame."""
    encoder = head.encoder[role]
    start = [[0.0] * len(steps[0])] * 4
    if head.variant == "official" and mutation != "starts from zeros":
        start = encoder.init_hidden.tolist()
    if mutation == "states of the start swapped":
        start = [start[2], start[3], start[0], start[1]]
    forth = lstm(encoder.rnn, steps, "", start[0], start[2])
    back = lstm(encoder.rnn, steps[::-1], "_reverse", start[1], start[3])[::-1]
    if mutation == "one direction only":
        back = [[0.0] * len(row) for row in back]
    scores = []
    for x, past, future in zip(steps, forth, back, strict=True):
        if head.variant == "paper":
            scores.append(dot(encoder.linear.weight[0].tolist(), past + future))
            continue
        parts = x + past + future if mutation == "input first" else past + future + x
        z = linear(encoder.linear, parts)
        length = 1.0 if mutation == "no unit norm" else math.sqrt(dot(z, z))
        temperature = 1.0 if mutation == "no temperature" else 0.1
        scores.append(sum(z) / len(z) / length / temperature)
    weights = softmax(scores)
    if mutation == "gate order":
        weights.reverse()
    out = weigh(weights, steps)
    return [max(value, 0.0) for value in out] if mutation == "ReLU" else out


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("recursions", [1, 2, 3])
@pytest.mark.parametrize("holes", HOLES)
def test_tagf_computes_its_equations(options, recursions, holes):
    assert difference(make("tagf", recursions=recursions, **options), tagf, holes=holes) < 1e-9


def test_tagf_computes_its_equations_for_three_streams():
    assert difference(make("tagf", dims={"video": 3, "audio": 2, "text": 2}), tagf) < 1e-9


@pytest.mark.parametrize(
    "mutation",
    [
        "no l2 norm",
        "starts from zeros",
        "states of the start swapped",
        "one direction only",
        "input first",
        "no unit norm",
        "no temperature",
        "gate order",
        "ReLU",
    ],
)
def test_a_changed_equation_is_noticed(mutation):
    assert difference(make("tagf"), tagf, mutation) > 1e-4


@pytest.mark.parametrize(
    "mutation", ["no l2 norm", "one direction only", "gate order", "ReLU", "no residual"]
)
def test_a_changed_equation_of_the_paper_is_noticed(mutation):
    assert difference(make("tagf", **PAPER), tagf, mutation) > 1e-4


@pytest.mark.parametrize("options", VARIANTS)
def test_gradients_are_right_and_float32_is_close(options):
    head = make("tagf", **options)
    assert gradients_are_right(head)
    assert float32_difference(head) < 1e-4


def test_gates_weigh_the_input_and_every_recursion():
    head = make("tagf", recursions=3)
    gates = head.gates(inputs(head))
    assert set(gates) == {"video", "audio"}
    for weights in gates.values():
        assert weights.shape == (2, 6, 4)
        assert torch.allclose(weights.sum(-1), torch.ones(2, 6, dtype=torch.float64))


def lstm_case(steps=3, size=4, sequences=5):
    torch.manual_seed(8)
    module = RecursionLSTM(size).double()
    x = [torch.randn(sequences, size, dtype=torch.float64) for _ in range(steps)]
    return module, [step.requires_grad_() for step in x], torch.randn(4, size).double()


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_lstm_over_recursions_is_torchs(steps):
    module, x, start = lstm_case(steps)
    start.requires_grad_()
    out = torch.stack([torch.cat(both, dim=1) for both in module(x, start)])
    states = (part[:, None].expand(-1, 5, -1).contiguous() for part in start.split(2))
    expected = torch.nn.LSTM.forward(module, torch.stack(x), tuple(states))[0]
    assert torch.allclose(out, expected, atol=1e-12)
    weights = torch.randn_like(out)
    wanted = [*x, start, *module.parameters()]
    ours = torch.autograd.grad((out * weights).sum(), wanted)
    theirs = torch.autograd.grad((expected * weights).sum(), wanted)
    for own, other in zip(ours, theirs, strict=True):
        assert torch.allclose(own, other, atol=1e-12)


def test_the_lstm_over_recursions_can_go_back_twice():
    module, x, start = lstm_case()
    total = sum(out.square().sum() for both in module(x, start) for out in both)
    first = torch.autograd.grad(total, x, retain_graph=True)
    again = torch.autograd.grad(total, x)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_the_mean_of_a_zero_vector_has_a_finite_gradient():
    projection = torch.nn.Linear(2, 4)
    torch.nn.init.zeros_(projection.bias)
    x = torch.zeros(1, 2, requires_grad=True)
    score = mean_of_unit(projection, [x])
    assert score.item() == 0
    score.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(projection.weight.grad).all()


def test_the_first_step_costs_no_recurrent_product():
    head = make("tagf", dims={"video": 4, "audio": 4}, recursions=2)
    encoder, x = head.encoder["video"], [torch.randn(10, 4).double() for _ in range(3)]
    with FlopCounterMode(display=False) as counter:
        encoder(x)
    inputs_and_recurrent = 2 * 2 * 10 * 4 * 16 * (3 + 2)  # multiply-adds of two directions
    projected = 2 * 10 * 12 * 8 * 3
    assert counter.get_total_flops() == inputs_and_recurrent + projected


@pytest.mark.parametrize("options", VARIANTS)
def test_tagf_trains_under_autocast(options):
    head = make("tagf", **options).float()
    x = {role: v.float() for role, v in inputs(head).items()}
    exact = head(x)
    with torch.autocast("cpu", torch.bfloat16):
        out = head(x)
    assert (out - exact).abs().max() < 0.05 * (1 + exact.abs().max())
    out.float().square().sum().backward()
    assert all(p.grad.dtype == torch.float32 for p in head.parameters())


def test_compiled_scores_have_the_same_gradients():
    encoder = make("tagf").encoder["video"]
    x = [torch.randn(5, 4, dtype=torch.float64) for _ in range(3)]
    results = []
    for run in (encoder, torch.compile(encoder, backend="aot_eager")):
        encoder.zero_grad()
        run(x).square().sum().backward()
        results.append([p.grad.clone() for p in encoder.parameters()])
    for own, compiled in zip(*results, strict=True):
        assert torch.allclose(own, compiled, atol=1e-9)
