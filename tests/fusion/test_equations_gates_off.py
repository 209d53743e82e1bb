"""Heads whose gates are replaced for ablations: the same equations with weights that are known."""

import pytest
import torch
from joint_loops import HOLES, SMALL, dca, difference, grjca, hgrjca, inputs, make, recur

from vapipe.errors import ConfigError
from vapipe.fusion import count_parameters, create_head

KINDS = ("uniform", "none")
RECURSIVE = ("grjca", "hgrjca", "tagf", "dca")
VARIANTS = [{}, {"variant": "paper"}, {"variant": "paper", "mixing": "channels"}]


def tagf(head, x, exists, mutation=""):
    steps = recur(head, x, exists, mutation)
    rows = []
    for i in range(len(exists)):
        own = {role: [step[role][i] for step in steps] for role in x}
        chosen = {
            role: [sum(v) / len(s) for v in zip(*s, strict=True)]
            if head.gate[role].kind == "uniform"
            else s[-1]
            for role, s in own.items()
        }
        rows.append([v for role in x for v in chosen[role]])
    return rows


BY_LOOPS = {"grjca": grjca, "hgrjca": hgrjca, "tagf": tagf, "dca": dca}


def without_gate(name, kind, **options):
    return make(name, gate=kind, **(SMALL if name == "dca" else {}), **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RECURSIVE)
@pytest.mark.parametrize("options", VARIANTS, ids=["official", "paper", "channels"])
def test_the_equations_hold_with_known_weights(name, kind, options):
    for recursions, holes in zip((1, 2, 3), HOLES, strict=True):
        head = without_gate(name, kind, recursions=recursions, **options)
        assert difference(head, BY_LOOPS[name], holes=holes) < 1e-9


@pytest.mark.parametrize("name", RECURSIVE)
def test_the_kinds_are_three_different_models(name):
    x = inputs(without_gate(name, "none"))
    outputs = [without_gate(name, kind)(x) for kind in ("learned", *KINDS)]
    for one in range(3):
        for two in range(one):
            assert (outputs[one] - outputs[two]).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", RECURSIVE)
def test_known_weights_are_shown_and_have_no_parameters(name, kind):
    head = without_gate(name, kind, recursions=2)
    gates = {k: v for k, v in head.gates(inputs(head)).items() if "attention" not in k}
    assert gates
    for weights in gates.values():
        expected = torch.full_like(weights, 1 / weights.shape[-1])
        if kind == "none":
            expected = torch.zeros_like(weights)
            expected[..., -1] = 1
        assert torch.allclose(weights, expected)
    assert not [key for key in head.state_dict() if "gate" in key or "stage" in key]
    learned = without_gate(name, "learned", recursions=2)
    assert count_parameters(head) < count_parameters(learned)


def test_grjca_without_gates_is_rjca_on_unit_streams_behind_a_relu():
    gated = make("grjca", gate="none")
    plain = create_head("rjca", gated.dims, length=6).double().eval()
    plain.load_state_dict(gated.state_dict())
    x = inputs(gated)
    units = {role: v / v.norm(dim=-1, keepdim=True) for role, v in x.items()}
    assert torch.allclose(gated(x), plain(units).relu(), atol=1e-12)


@pytest.mark.parametrize("name", ["grjca", "hgrjca", "dca", "tagf"])
def test_a_temperature_without_a_gate_is_refused(name):
    with pytest.raises(ConfigError, match=r"temperature=0.5 belongs to gate=learned; .* gate=none"):
        make(name, gate="none", temperature=0.5)


def test_a_kind_that_does_not_exist_is_named():
    with pytest.raises(ConfigError, match=r"head_options.gate must be one of learned, uniform, no"):
        make("grjca", gate="off")
