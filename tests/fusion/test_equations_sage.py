"""SAGE against its equations, evaluated by straight loops."""

import pytest
import torch
from joint_loops import inputs
from loops import softmax
from loops_attention import MASKS, dot, encoder, generic, largest_difference

from vapipe.fusion import create_head

VARIANTS = ["paper", "scaled", "per_modality"]
MUTATIONS = [
    *((variant, mutation) for variant in VARIANTS for mutation in ("no gate", "raw scores")),
    ("paper", "scaled by T"),
    ("scaled", "T counts padding"),
    ("paper", "padding is seen"),
    ("per_modality", "one gate for all"),
    ("scaled", "no residual"),
    ("scaled", "no layer norm"),
    ("scaled", "no scale"),
]


def sage(variant, streams=("video", "audio"), **options):
    dims = {"video": 3, "audio": 2, "text": 2}
    torch.manual_seed(3)
    options = {"heads": 2, **options}
    return generic(
        create_head("sage", {role: dims[role] for role in streams}, variant=variant, **options)
    )


def sage_by_loops(head, x, exists, mutation):
    frames = [i for i, here in enumerate(exists) if here]
    joint = [[v for rows in x.values() for v in rows[i]] for i in range(len(exists))]
    seen = range(len(exists)) if mutation == "padding is seen" else frames
    alphas = []
    for row in head.reliability.weight.detach().numpy():
        scores = [dot(row, joint[i]) + 0.7 for i in seen]  # b of the equations
        values = scores if mutation == "raw scores" else softmax(scores)
        alphas.append(dict(zip(seen, values, strict=True)))
    if head.variant != "per_modality" or mutation == "one gate for all":
        alphas = [alphas[0]] * len(x)
    count = len(exists) if mutation == "T counts padding" else len(frames)
    factor = 1 if head.variant == "paper" and mutation != "scaled by T" else count
    weighed = [
        [
            v * (1.0 if mutation == "no gate" else factor * alpha.get(i, 0.0))
            for alpha, rows in zip(alphas, x.values(), strict=True)
            for v in rows[i]
        ]
        for i in range(len(exists))
    ]
    return encoder(head.encoder, weighed, exists, mutation)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("streams", [("video",), ("video", "audio"), ("video", "audio", "text")])
def test_sage_computes_its_equations(variant, streams, masks):
    assert largest_difference(sage(variant, streams), sage_by_loops, masks=masks) < 1e-9


@pytest.mark.parametrize("variant", VARIANTS)
def test_sage_in_float32_is_close(variant):
    head = sage(variant)
    assert largest_difference(head, sage_by_loops, masks="holes", dtype=torch.float32) < 1e-4


@pytest.mark.parametrize(("variant", "mutation"), MUTATIONS)
def test_a_changed_equation_is_noticed(variant, mutation):
    head = sage(variant)
    assert largest_difference(head, sage_by_loops, masks="holes", mutation=mutation) > 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_reliabilities_sum_to_one_over_the_existing_frames(variant):
    head = sage(variant)
    mask = torch.tensor([[1, 0, 1, 1], [0, 0, 0, 0]]).bool()
    gates = head.gates(inputs(head, frames=4), mask)
    names = ["video", "audio"] if variant == "per_modality" else ["reliability"]
    assert sorted(gates) == sorted([*names, "layer1", "layer2"])
    for name in names:
        assert gates[name].shape == (2, 4)
        assert not gates[name][~mask].any()
        assert gates[name].sum(dim=1).tolist() == pytest.approx([1, 0])


def test_equal_reliabilities_leave_a_scaled_window_as_it_was():
    head = sage("scaled", layers=0)
    with torch.no_grad():
        head.reliability.weight.zero_()
    x = inputs(head, frames=7)
    assert torch.allclose(head(x), torch.cat(list(x.values()), dim=-1), atol=1e-12)


def test_only_reliabilities_per_modality_rebalance_modalities():
    for variant, rebalances in (("scaled", False), ("per_modality", True)):
        head = sage(variant, layers=0)
        x = inputs(head, frames=7)
        ratio = {role: part / x[role] for role, part in head_parts(head, x).items()}
        same = torch.allclose(ratio["video"][..., 0], ratio["audio"][..., 0])
        assert same != rebalances


def head_parts(head, x):
    parts = head(x).split(list(head.dims.values()), dim=-1)
    return dict(zip(x, parts, strict=True))


def test_as_printed_long_windows_shrink_to_the_eps_of_layer_norm():
    shrunken, scaled = (sage(variant, layers=0) for variant in ("paper", "scaled"))
    scaled.load_state_dict(shrunken.state_dict())
    x = inputs(shrunken, frames=300)
    with torch.no_grad():
        shrunken.reliability.weight.mul_(0.1)
        scaled.reliability.weight.mul_(0.1)
    assert shrunken(x).var() < 2e-5
    assert 0.5 < scaled(x).var() < 2


# -- without gates ---------------------------------------------------------------------------------

KINDS = ("uniform", "none")


def uniform(head, x, exists, mutation=""):
    """Every alpha is 1 / T: Z is X, in the variant `paper` divided by T."""
    factor = 1 / sum(exists) if head.variant == "paper" and head.gate == "uniform" else 1.0
    scaled = {role: [[v * factor for v in row] for row in rows] for role, rows in x.items()}
    head.reliability = torch.nn.Linear(head.out_dim, len(x), bias=False)  # not looked at
    try:
        return sage_by_loops(head, scaled, exists, "no gate")
    finally:
        head.reliability = None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("variant", ["paper", "scaled", "per_modality"])
@pytest.mark.parametrize("masks", MASKS)
def test_sage_with_equal_or_no_reliabilities(variant, kind, masks):
    head = sage(variant, gate=kind)
    assert largest_difference(head, uniform, masks=masks) < 1e-9


@pytest.mark.parametrize("variant", ["paper", "per_modality"])
def test_sage_shows_equal_reliabilities_and_none(variant):
    head = sage(variant, gate="uniform")
    x = {role: torch.randn(1, 5, dim).double() for role, dim in head.dims.items()}
    own = {k: v for k, v in head.gates(x).items() if not k.startswith("layer")}
    assert len(own) == (2 if variant == "per_modality" else 1)
    assert all(torch.allclose(v, torch.full_like(v, 1 / v.shape[1])) for v in own.values())
    nothing = sage(variant, gate="none").gates(x)
    assert all(name.startswith("layer") for name in nothing)
