"""HGRJCA and DCA against their equations, evaluated by straight loops."""

import pytest
import torch
from joint_loops import (
    HOLES,
    difference,
    float32_difference,
    gate,
    gradients_are_right,
    inputs,
    lstm,
    make,
    recur,
)
from loops import relu

PAPER = {"variant": "paper"}
FREE = {"variant": "paper", "mixing": "channels"}
VARIANTS = [
    pytest.param({}, id="official"),
    pytest.param(PAPER, id="paper"),
    pytest.param(FREE, id="paper channels"),
]


def hgrjca(head, x, exists, mutation=""):
    steps = recur(head, x, exists, mutation)
    last = len(steps) - 1
    from_start = head.variant == "official"
    out = []
    for i in range(len(exists)):
        row = []
        for role in x:
            own = [step[role][i] for step in steps]
            stages = []
            for t in range(1, last + 1):
                asked = own[t - 1 if mutation == "stages ask the step before" else t]
                seen = own[0 if from_start else t - 1 : t + 1]
                stage = gate(head.stage[t - 1][role], asked, seen, mutation)
                stages.append(stage if mutation == "stages without ReLU" else relu(stage))
            fused = stages[-1]
            if last > 1:
                asked = stages[-1] if mutation == "last gate asks the stages" else own[-1]
                fused = gate(head.gate[role], asked, stages, mutation)
            row += relu(fused)
        out.append(row)
    return out


def both_ways(module, rows, frames):
    """A BiLSTM over the frames given: frame -> past and future state."""
    past = lstm(module.past, [rows[i] for i in frames])
    future = lstm(module.future, [rows[i] for i in reversed(frames)])
    return dict(
        zip(frames, [p + f for p, f in zip(past, reversed(future), strict=True)], strict=True)
    )


def dca(head, x, exists, mutation=""):
    frames = [i for i, here in enumerate(exists) if here]
    if head.before is not None and mutation != "no BiLSTM before":
        states = {role: both_ways(head.before[role], rows, frames) for role, rows in x.items()}
        x = {
            role: [own.get(i, [0.0] * head.gate[role].in_features) for i in range(len(exists))]
            for role, own in states.items()
        }
    steps = recur(head, x, exists, mutation)
    out = []
    for i in range(len(exists)):
        row = []
        for role in x:
            old, new = steps[0][role][i], steps[-1][role][i]
            asked = old if mutation == "gate from the input" else new
            gated = gate(head.gate[role], asked, [old, new], mutation)
            row += gated if mutation == "no ReLU at the end" else relu(gated)
        out.append(row)
    if head.after is not None and mutation != "no BiLSTM after":
        after = both_ways(head.after, out, frames)
        out = [after.get(i, [0.0] * head.out_dim) for i in range(len(exists))]
    return out


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
    head = make("dca", recursions=recursions, lstm=lstm, **options)
    assert difference(head, dca, holes=holes) < 1e-9


@pytest.mark.parametrize(("name", "by_loops"), [("hgrjca", hgrjca), ("dca", dca)])
def test_heads_compute_their_equations_for_three_streams(name, by_loops):
    head = make(name, dims={"video": 3, "audio": 2, "text": 2})
    assert difference(head, by_loops) < 1e-9


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
    ],
)
def test_a_changed_equation_of_dca_is_noticed(options, mutation):
    head = make("dca", dims={"video": 4, "audio": 4}, **options)
    assert difference(head, dca, mutation) > 1e-4


@pytest.mark.parametrize("name", ["hgrjca", "dca"])
@pytest.mark.parametrize("options", VARIANTS)
def test_gradients_are_right_and_float32_is_close(name, options):
    head = make(name, **options)
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


def test_dca_has_its_bilstms_where_released_and_keeps_even_widths():
    dims = {"video": 4, "audio": 5}
    assert make("dca", dims=dims).out_dim == 4 + 6
    assert make("dca", dims=dims).before is not None
    assert make("dca", dims=dims, **PAPER).before is None
    assert make("dca", dims=dims, lstm=False).out_dim == 9


def test_the_gate_of_dca_is_between_two():
    head = make("dca", recursions=3)
    for weights in head.gates(inputs(head)).values():
        assert weights.shape == (2, 6, 2)
