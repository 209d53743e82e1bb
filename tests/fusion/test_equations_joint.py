"""RJCA and GRJCA against their equations, evaluated by straight loops."""

import math

import pytest
import torch
from joint_loops import (
    FREE,
    HOLES,
    PAPER,
    VARIANTS,
    difference,
    float32_difference,
    gradients_are_right,
    grjca,
    inputs,
    make,
    recur,
    released_difference,
)

from vapipe.cache import ConfigError
from vapipe.fusion import count_parameters, create_head
from vapipe.fusion.models.heads.frame_attention import FrameAttention
from vapipe.fusion.models.heads.joint_attention import JointCrossAttention


def rjca(head, x, exists, mutation=""):
    last = recur(head, x, exists, mutation)[-1]
    return [[v for role in x for v in last[role][i]] for i in range(len(exists))]


HEADS = [pytest.param("rjca", rjca, id="rjca"), pytest.param("grjca", grjca, id="grjca")]


@pytest.mark.parametrize(("name", "by_loops"), HEADS)
@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("recursions", [1, 2, 3])
@pytest.mark.parametrize("holes", HOLES)
def test_heads_compute_their_equations(name, by_loops, options, recursions, holes):
    head = make(name, recursions=recursions, **options)
    assert difference(head, by_loops, holes=holes) < 1e-9


@pytest.mark.parametrize(("name", "by_loops"), HEADS)
@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("dims", [(3, 2, 2), (2, 3, 1, 2)], ids=["three", "four"])
def test_heads_compute_their_equations_for_more_streams(name, by_loops, options, dims):
    roles = ("video", "audio", "audio2", "text")
    head = make(name, dims=dict(zip(roles, dims, strict=False)), recursions=1, **options)
    assert difference(head, by_loops) < 1e-9


@pytest.mark.parametrize("normalize", [True, False])
def test_the_inputs_are_normalised_on_request(normalize):
    assert difference(make("rjca", normalize=normalize), rjca) < 1e-9
    assert difference(make("grjca", normalize=normalize), grjca) < 1e-9


@pytest.mark.parametrize(
    ("name", "by_loops"), [("rjca2", rjca), ("rjca2_m1", rjca), ("rjca3", rjca), ("grjca", grjca)]
)
def test_the_equations_give_the_released_numbers(name, by_loops):
    assert released_difference(name, by_loops) < 1e-12


COMMON = ["no scale", "no tanh of the scores", "no residual"]
BLOCK = ["tanh before the product", *COMMON]
GATED = ["no l2 norm", "gate from the input", "no temperature", "gate order"]


@pytest.mark.parametrize("mutation", COMMON + GATED)
@pytest.mark.parametrize("options", VARIANTS)
def test_a_changed_equation_of_grjca_is_noticed(options, mutation):
    assert difference(make("grjca", **options), grjca, mutation) > 1e-4


@pytest.mark.parametrize("mutation", BLOCK)
@pytest.mark.parametrize("name", ["rjca2", "rjca2_m1", "rjca3"])
def test_a_changed_equation_of_the_released_attention_is_noticed(name, mutation):
    assert released_difference(name, rjca, mutation) > 1e-4


@pytest.mark.parametrize("mutation", BLOCK + GATED)
def test_a_changed_equation_of_the_released_grjca_is_noticed(mutation):
    assert released_difference("grjca", grjca, mutation) > 1e-4


@pytest.mark.parametrize("mutation", [*COMMON, "scores transposed", "no ReLU"])
@pytest.mark.parametrize("options", [PAPER, FREE], ids=["frames", "channels"])
def test_a_changed_equation_of_the_papers_attention_is_noticed(options, mutation):
    assert difference(make("rjca", **options), rjca, mutation) > 1e-4


@pytest.mark.parametrize("name", ["rjca", "grjca", "tagf"])
@pytest.mark.parametrize("options", VARIANTS)
def test_gradients_are_right_and_float32_is_close(name, options):
    head = make(name, normalize=True, **options)
    assert gradients_are_right(head)
    assert float32_difference(head) < 1e-4


@pytest.mark.parametrize("name", ["grjca", "tagf"])
def test_gates_weigh_the_input_and_every_recursion(name):
    head = make(name, recursions=3)
    gates = head.gates(inputs(head))
    assert set(gates) == {"video", "audio"}
    for weights in gates.values():
        assert weights.shape == (2, 6, 4)
        assert torch.allclose(weights.sum(-1), torch.ones(2, 6, dtype=torch.float64))


@pytest.mark.parametrize("options", [PAPER, FREE], ids=["frames", "channels"])
def test_the_papers_scores_are_given_and_spare_masked_frames(options):
    head = make("rjca", **options)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[1, [0, 4]] = False
    scores = head.gates(inputs(head), mask)
    assert set(scores) == {f"{role}_attention_{t}" for role in ("video", "audio") for t in (1, 2)}
    for correlation in scores.values():
        assert correlation.shape == (2, 6, 6)
        assert not correlation[1, ~mask[1]].any()
        assert not correlation[1, :, ~mask[1]].any()
        assert correlation[0].all()


def test_mixing_channels_takes_windows_of_any_length():
    head = make("grjca", length=None, **FREE)
    assert head(inputs(head, frames=50)).shape == (2, 50, 7)


def test_three_streams_have_no_linear_in_their_joint_as_released():
    dims = {"video": 4, "audio": 3, "text": 2}
    assert not any("joint" in name for name in make("rjca", dims=dims).state_dict())
    assert any("joint" in name for name in make("rjca", dims=dims, **PAPER).state_dict())
    assert any("joint" in name for name in make("grjca", dims=dims).state_dict())


@pytest.mark.parametrize("name", ["rjca", "grjca", "hgrjca", "tagf"])
def test_the_recursions_have_the_published_number_of_parameters(name):
    head = create_head(name, {"video": 256, "audio": 128}, length=300, recursions=2)
    assert count_parameters(head.attention) == 1_117_168
    assert head.out_dim == 384


@pytest.mark.parametrize("options", [{}, PAPER], ids=["official", "paper"])
def test_a_window_longer_than_the_weights_is_refused(options):
    head = make("grjca", length=5, **options)
    with pytest.raises(ConfigError, match=r"window of 6 frames meets weights made for length=5"):
        head(inputs(head))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"rjca needs length=<frames per window>.*got None"),
        (PAPER, r"rjca needs length=<frames per window>.*got None"),
        ({"length": 5, "mixing": "channels"}, "mixing='channels' belongs to variant=paper; leave"),
        ({"length": 5, "mixing": "rows", **PAPER}, "one of frames, channels, got 'rows'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        create_head("rjca", {"video": 4, "audio": 3}, **options)


def test_the_papers_block_says_when_it_needs_a_length():
    with pytest.raises(ConfigError, match=r'mixing="frames" needs a length; mixing="channels"'):
        FrameAttention(dims={"video": 8, "audio": 4}, length=None)


def test_the_block_starts_as_released():
    block = JointCrossAttention(dims={"video": 8, "audio": 4}, length=20)
    assert not block.joint.bias.any()
    assert block.joint.weight.abs().max() <= math.sqrt(6 / 24)
