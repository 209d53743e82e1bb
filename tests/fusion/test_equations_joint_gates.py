"""HGRJCA and DCA against their equations, evaluated by straight loops."""

import pytest
import torch
from joint_loops import (
    HOLES,
    PAPER,
    SMALL,
    VARIANTS,
    dca,
    difference,
    float32_difference,
    gradients_are_right,
    hgrjca,
    inputs,
    make,
    released_difference,
)

from vapipe.fusion import count_parameters, create_head


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("recursions", [1, 2, 3])
@pytest.mark.parametrize("holes", HOLES)
def test_hgrjca_computes_its_equations(options, recursions, holes):
    head = make("hgrjca", recursions=recursions, **options)
    assert difference(head, hgrjca, holes=holes) < 1e-9


@pytest.mark.parametrize("options", VARIANTS)
@pytest.mark.parametrize("lstm", [None, True, False])
@pytest.mark.parametrize("recursions", [1, 2])
@pytest.mark.parametrize("holes", HOLES)
def test_dca_computes_its_equations(options, lstm, recursions, holes):
    head = make("dca", recursions=recursions, lstm=lstm, **SMALL, **options)
    assert difference(head, dca, holes=holes) < 1e-9


@pytest.mark.parametrize(("name", "by_loops"), [("hgrjca", hgrjca), ("dca", dca)])
def test_heads_compute_their_equations_for_three_streams(name, by_loops):
    options = SMALL if name == "dca" else {}
    assert difference(make(name, dims={"video": 3, "audio": 2, "text": 2}, **options), by_loops) < (
        1e-9
    )


def test_the_equations_give_the_released_numbers():
    assert released_difference("hgrjca", hgrjca) < 1e-12
    assert released_difference("dca_gate", dca) < 1e-12


@pytest.mark.parametrize(
    ("mutation", "also_dca"),
    [
        ("tanh before the product", True),
        ("no l2 norm", True),
        ("no temperature", True),
        ("gate order", True),
        ("stages ask the step before", False),
        ("stages without ReLU", False),
        ("last gate asks the stages", False),
    ],
)
def test_a_changed_equation_of_the_release_is_noticed(mutation, also_dca):
    assert released_difference("hgrjca", hgrjca, mutation) > 1e-4
    assert not also_dca or released_difference("dca_gate", dca, mutation) > 1e-4


@pytest.mark.parametrize(
    ("options", "mutation"),
    [
        ({}, "no l2 norm"),
        ({}, "no temperature"),
        ({}, "gate order"),
        ({}, "stages ask the step before"),
        ({}, "stages without ReLU"),
        ({}, "last gate asks the stages"),
        (PAPER, "gate order"),
        (PAPER, "stages ask the step before"),
        (PAPER, "stages without ReLU"),
        (PAPER, "no residual"),
    ],
)
def test_a_changed_equation_of_hgrjca_is_noticed(options, mutation):
    assert difference(make("hgrjca", recursions=3, **options), hgrjca, mutation) > 1e-4


@pytest.mark.parametrize(
    ("options", "mutation"),
    [
        *(({}, m) for m in ("no BiLSTM before", "no temperature", "gate order", "no residual")),
        *((PAPER, m) for m in ("no temperature", "gate order", "no ReLU at the end")),
        *(({}, m) for m in ("gate from the input", "no ReLU at the end", "no BiLSTM after")),
        *(({}, m) for m in ("no guide", "input last", "no unit norm", "starts from zeros")),
        *(({}, m) for m in ("no l2 norm", "one direction only", "states of the start swapped")),
    ],
)
def test_a_changed_equation_of_dca_is_noticed(options, mutation):
    assert difference(make("dca", **SMALL, **options), dca, mutation) > 1e-4


@pytest.mark.parametrize("name", ["hgrjca", "dca"])
@pytest.mark.parametrize("options", VARIANTS)
def test_gradients_are_right_and_float32_is_close(name, options):
    head = make(name, **options, **(SMALL if name == "dca" else {}))
    assert gradients_are_right(head)
    assert float32_difference(head) < 1e-4


@pytest.mark.parametrize(
    ("options", "ways"), [({}, (2, 3, 4)), (PAPER, (2, 2, 2))], ids=["official", "paper"]
)
def test_gates_of_hgrjca_span_what_they_choose_from(options, ways):
    head = make("hgrjca", recursions=3, **options)
    gates = {k: v for k, v in head.gates(inputs(head)).items() if "attention" not in k}
    shapes = {key: weights.shape[-1] for key, weights in gates.items()}
    assert shapes == {
        f"{role}{key}": size
        for role in ("video", "audio")
        for key, size in zip(("", "_stage1", "_stage2", "_stage3"), (3, *ways), strict=True)
    }
    for weights in gates.values():
        assert torch.allclose(weights.sum(-1), torch.ones(2, 6, dtype=torch.float64))


def test_a_single_recursion_leaves_the_last_gate_of_hgrjca_nothing_to_choose():
    head = make("hgrjca", recursions=1)
    assert set(head.gates(inputs(head))) == {"video_stage1", "audio_stage1"}


def test_dca_has_its_bilstms_where_released():
    dims = {"video": 4, "audio": 5}
    assert make("dca", dims=dims).out_dim == 512
    assert make("dca", dims=dims, joint_width=7).out_dim == 7
    assert make("dca", dims=dims, **PAPER).before is None
    assert make("dca", dims=dims, lstm=False).out_dim == 9


def test_dca_has_the_released_number_of_parameters():
    head = create_head("dca", {"video": 512, "audio": 512}, length=16)
    assert len(head.attention) == 2

    def lstm(entering, hidden):
        return 2 * (4 * hidden * (entering + hidden) + 2 * 4 * hidden)

    def block(entering, width):
        hidden = width // 2
        own = lstm(entering, hidden) + lstm(width, hidden) + 8 * hidden
        return own + (entering + width + 1) * width

    attention = 1024 * 1025 + 2 * (16 * 17 + 512 * 513 + 1025 * 512)
    assert count_parameters(head.attention) == 2 * attention == 5_250_112
    assert count_parameters(head.before) == 2 * block(512, 512) == 7_361_536
    assert count_parameters(head.joint) == block(1024, 512) == 4_991_488
    assert count_parameters(head.guide) == 512 * 513
    assert count_parameters(head.gate) == 2 * 2 * 513


def test_the_gate_of_dca_is_between_two():
    head = make("dca", recursions=3)
    for weights in head.gates(inputs(head)).values():
        assert weights.shape == (2, 6, 2)
