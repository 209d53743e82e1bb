"""JCA as its release runs and as its paper has it, evaluated by straight loops."""

import math

import numpy as np
import pytest
import torch
from joint_loops import (
    HOLES,
    difference,
    float32_difference,
    gradients_are_right,
    make,
    matrix,
    product,
    released_block,
    residual_bilstm,
    unit,
)
from loops import dot, linear, relu
from released_vectors import Vector

from vapipe.errors import ConfigError
from vapipe.fusion import count_parameters, create_head, describe_head
from vapipe.fusion.models.regressor import Regressor

OFFICIAL = {"joint_width": 7}  # 4 + 3 channels, so that leaving the BiLSTM out is seen
PAPER = {"variant": "paper", "width": 3, "k": 2}
BOTH = [pytest.param(OFFICIAL, id="official"), pytest.param(PAPER, id="paper")]


def official(head, x, exists, mutation=""):
    x = dict(x) if mutation == "no l2 norm" else unit(x)
    if mutation != "no guide":
        first = next(iter(x))
        x[first] = [linear(head.guide, row) for row in x[first]]
    attended = released_block(head.attention[0], x, exists, mutation)
    rows = [[v for role in x for v in attended[role][i]] for i in range(len(exists))]
    if mutation == "no BiLSTM":
        return rows
    found = residual_bilstm(head.joint, rows, exists, mutation)
    return [found.get(i, [0.0] * head.out_dim) for i in range(len(exists))]


def paper(head, x, exists, mutation=""):
    block, here = head.correlation, [i for i, counted in enumerate(exists) if counted]
    entered = {role: {i: linear(block.enter[role], x[role][i]) for i in here} for role in x}
    order = list(x) if mutation == "video first in J" else list(reversed(x))
    joint = {i: [v for role in order for v in entered[role][i]] for i in here}
    width, size = len(entered["video"][here[0]]), len(joint[here[0]])
    out = [[] for _ in exists]
    for role in x:
        mix, inner = matrix(block.affine[role]), matrix(block.project[role])
        outer, correlate = matrix(block.output[role]), matrix(block.correlate[role])
        u = entered[role]
        mixed = {j: [sum(mix[j, i] * joint[i][e] for i in here) for e in range(size)] for j in here}
        root = 1.0 if mutation == "no scale" else math.sqrt(size)
        hidden = []
        for c in range(width):
            scores = [sum(u[j][c] * mixed[j][e] for j in here) / root for e in range(size)]
            if mutation != "no tanh":
                scores = [math.tanh(score) for score in scores]
            own = [sum(inner[r, i] * u[i][c] for i in here) for r in range(len(inner))]
            if mutation == "no own term":
                own = [0.0] * len(inner)
            added = [a + b for a, b in zip(product(correlate, scores), own, strict=True)]
            hidden.append(added if mutation == "no ReLU" else relu(added))
        for i in here:
            kept = [0.0] * width if mutation == "no residual" else u[i]
            out[i] += [kept[c] + dot(outer[i], hidden[c]) for c in range(width)]
    return [row or [0.0] * head.out_dim for row in out]


@pytest.mark.parametrize("holes", HOLES)
@pytest.mark.parametrize("dims", [None, {"video": 3, "audio": 2, "text": 2}])
def test_jca_computes_its_equations(dims, holes):
    assert difference(make("jca", dims=dims, **OFFICIAL), official, holes=holes) < 1e-9
    assert difference(make("jca", dims=dims, **PAPER), paper, holes=holes) < 1e-9


@pytest.mark.parametrize(
    "mutation",
    [
        "no l2 norm",
        "no guide",
        "tanh before the product",
        "no residual",
        "no BiLSTM",
        "input last",
        "no unit norm",
        "starts from zeros",
    ],
)
def test_a_changed_equation_of_the_release_is_noticed(mutation):
    assert difference(make("jca", **OFFICIAL), official, mutation) > 1e-4


@pytest.mark.parametrize(
    "mutation", ["video first in J", "no scale", "no tanh", "no own term", "no ReLU", "no residual"]
)
def test_a_changed_equation_of_the_paper_is_noticed(mutation):
    assert difference(make("jca", **PAPER), paper, mutation) > 1e-4


@pytest.mark.parametrize("options", BOTH)
def test_gradients_are_right_and_float32_is_close(options):
    head = make("jca", **options)
    assert gradients_are_right(head)
    assert float32_difference(head) < 1e-4


@pytest.mark.parametrize("mutation", ["", "input last", "no unit norm", "starts from zeros"])
def test_the_bilstm_block_gives_the_released_numbers(mutation):
    vector = Vector("bilstm_residual")
    module = vector.module()
    found = residual_bilstm(module, vector.inputs["x"][0].tolist(), [True] * 12, mutation)
    error = np.abs(np.array([found[i] for i in range(12)]) - vector.output[0].numpy()).max()
    assert error > 1e-4 if mutation else error < 1e-12


def test_sizes_are_those_of_release_and_paper():
    dims = {"video": 512, "audio": 512}
    released, published = (
        create_head("jca", dims, length=16, variant=variant) for variant in ("official", "paper")
    )
    assert released.out_dim == 512
    assert count_parameters(released.attention) == 2_625_056
    assert count_parameters(released.joint) == 4_991_488
    assert published.out_dim == 256
    assert count_parameters(published) == 2 * (513 * 128 + 16 * 16 + 256 * 32 + 2 * 16 * 32)
    published = describe_head("jca").published
    assert (published["regressor"].value, published["hidden"].value) == ("relu", 128)


def test_the_released_regressor_is_linear_relu_dropout_linear():
    torch.manual_seed(0)
    regressor = Regressor("relu", in_dim=6, outputs=2, hidden=5).double().eval()
    assert regressor.dropout.p == 0.6
    x = torch.randn(1, 3, 6, dtype=torch.float64) * 10
    for row, out in zip(x[0].tolist(), regressor(x)[0].tolist(), strict=True):
        assert linear(regressor.output, relu(linear(regressor.hidden, row))) == pytest.approx(out)
    hidden = regressor.train().hidden(x).relu()
    assert (regressor(x) - regressor.output(hidden)).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"jca needs length=<frames per window>.*got None"),
        ({"length": 5, "width": 64}, r"jca: width=64 belongs to variant=paper; leave it out"),
        ({"length": 5, "k": 8}, r"jca: k=8 belongs to variant=paper"),
        ({"length": 5, "variant": "paper", "dropout": 0.1}, r"dropout=0.1 belongs to"),
        ({"length": 5, "variant": "paper", "joint_width": 8}, r"joint_width=8 belongs"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        create_head("jca", {"video": 4, "audio": 3}, **options)


@pytest.mark.parametrize("options", BOTH)
def test_a_window_longer_than_the_weights_is_refused(options):
    head = create_head("jca", {"video": 4, "audio": 3}, length=5, **options)
    x = {role: torch.randn(1, 6, dim) for role, dim in head.dims.items()}
    with pytest.raises(ConfigError, match=r"window of 6 frames meets weights made for length=5"):
        head(x)
