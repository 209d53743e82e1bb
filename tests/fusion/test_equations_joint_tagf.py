"""TAGF against its equations, evaluated by straight loops."""

import math

import pytest
import torch
from joint_loops import (
    HOLES,
    PAPER,
    VARIANTS,
    difference,
    inputs,
    make,
    recur,
    released_difference,
    residual_bilstm,
    weighted_sum,
)
from loops import bilstm, dot, softmax

from vapipe.errors import ConfigError
from vapipe.fusion import create_head


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
    encoder, everything = head.encoder[role], [True] * len(steps)
    if head.variant == "paper":
        found = bilstm(encoder[0], steps, everything)
        if mutation == "one direction only":
            size = len(steps[0])
            found = {t: row[:size] + [0.0] * size for t, row in found.items()}
        scores = [dot(encoder[1].weight[0].tolist(), found[t]) for t in range(len(steps))]
    else:
        found = residual_bilstm(encoder, steps, everything, mutation)
        temperature = 1.0 if mutation == "no temperature" else 0.1
        scores = [sum(found[t]) / len(found[t]) / temperature for t in range(len(steps))]
    weights = softmax(scores)
    if mutation == "gate order":
        weights.reverse()
    out = weighted_sum(weights, steps)
    return [max(value, 0.0) for value in out] if mutation == "ReLU" else out


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("recursions", [1, 2, 3])
@pytest.mark.parametrize("holes", HOLES)
def test_tagf_computes_its_equations(options, recursions, holes):
    assert difference(make("tagf", recursions=recursions, **options), tagf, holes=holes) < 1e-9


def test_tagf_computes_its_equations_for_three_streams():
    assert difference(make("tagf", dims={"video": 3, "audio": 2, "text": 2}), tagf) < 1e-9


MUTATIONS = [
    "tanh before the product",
    "no l2 norm",
    "starts from zeros",
    "states of the start swapped",
    "one direction only",
    "input last",
    "no unit norm",
    "no temperature",
    "gate order",
    "ReLU",
]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_changed_equation_is_noticed(mutation):
    assert difference(make("tagf"), tagf, mutation) > 1e-4
    assert released_difference("tagf", tagf, mutation) > 1e-4


def test_the_equations_give_the_released_numbers():
    assert released_difference("tagf", tagf) < 1e-12


@pytest.mark.parametrize(
    "mutation", ["no l2 norm", "one direction only", "gate order", "ReLU", "no residual"]
)
def test_a_changed_equation_of_the_paper_is_noticed(mutation):
    assert difference(make("tagf", **PAPER), tagf, mutation) > 1e-4


def test_the_first_states_start_xavier_uniform():
    states = create_head("tagf", {"video": 40, "audio": 20}, length=5).encoder["video"].init_hidden
    bound = math.sqrt(6 / (4 + 40))
    assert states.shape == (4, 40)
    assert 0.9 * bound < states.abs().max() <= bound


def test_the_papers_scores_take_no_temperature():
    with pytest.raises(ConfigError, match=r"tagf: temperature=1.0 belongs to variant=official"):
        create_head("tagf", {"video": 4, "audio": 3}, length=5, temperature=1.0, **PAPER)


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
