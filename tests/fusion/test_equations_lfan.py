"""LFAN against its equations, evaluated by straight loops."""

import math

import pytest
import torch
from loops import linear, softmax
from loops_attention import MASKS, add, dot, generic, largest_difference, layer_norm

from vapipe.fusion import create_head, describe_head

MUTATIONS = [
    "no scale",
    "no residual on V",
    "softmax over those who ask",
    "heads after modalities",
    "no layer norm",
    "leader last",
]


def lfan(streams=("video", "audio"), **options):
    dims = {"video": 4, "audio": 3, "audio2": 2, "text": 5}
    torch.manual_seed(3)
    options = {"width": 4, "heads": 2, **options}
    return generic(create_head("lfan", {role: dims[role] for role in streams}, **options))


def lfan_by_loops(head, x, exists, mutation):
    attention = head.layers.self_attn
    roles, heads = list(x), attention.heads
    out = {}
    for i in (i for i, here in enumerate(exists) if here):
        projected = {role: linear(attention.qkv_proj[role], x[role][i]) for role in roles}
        size = len(projected[roles[0]]) // (3 * heads)
        pieces = {}
        for head_number in range(heads):
            begin = 3 * size * head_number
            query, key, value = (
                {role: projected[role][begin + k * size : begin + (k + 1) * size] for role in roles}
                for k in range(3)
            )
            root = 1.0 if mutation == "no scale" else math.sqrt(size)
            for m, role in enumerate(roles):
                scores = [dot(query[role], key[other]) / root for other in roles]
                if mutation == "softmax over those who ask":
                    table = [
                        softmax([dot(query[asks], key[other]) / root for asks in roles])
                        for other in roles
                    ]
                    weights = [column[m] for column in table]
                else:
                    weights = softmax(scores)
                kept = [0.0] * size if mutation == "no residual on V" else value[role]
                attended = [
                    sum(w * value[other][c] for w, other in zip(weights, roles, strict=True))
                    for c in range(size)
                ]
                pieces[head_number, m] = add(attended, kept)
        order = sorted(pieces)
        if mutation == "heads after modalities":
            order.sort(key=lambda place: (place[1], place[0]))
        row = linear(attention.o_proj, [v for place in order for v in pieces[place]])
        if mutation != "no layer norm":
            row = layer_norm(head.layers.norm1, row)
        leader = x[roles[0]][i]
        out[i] = row + leader if mutation == "leader last" else leader + row
    return out


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("streams", [("video", "audio"), ("video", "audio", "audio2", "text")])
def test_lfan_computes_its_equations(streams, masks):
    assert largest_difference(lfan(streams), lfan_by_loops, masks=masks) < 1e-9
    assert largest_difference(lfan(streams), lfan_by_loops, masks=masks, dtype=torch.float32) < 1e-4


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_changed_equation_is_noticed(mutation):
    assert largest_difference(lfan(), lfan_by_loops, mutation=mutation) > 1e-4


def test_the_released_names_and_sizes():
    head = create_head("lfan", {"video": 128, "audio": 32, "audio2": 32})
    assert {name: list(value.shape) for name, value in head.state_dict().items()} == {
        "layers.self_attn.qkv_proj.video.weight": [96, 128],
        "layers.self_attn.qkv_proj.video.bias": [96],
        "layers.self_attn.qkv_proj.audio.weight": [96, 32],
        "layers.self_attn.qkv_proj.audio.bias": [96],
        "layers.self_attn.qkv_proj.audio2.weight": [96, 32],
        "layers.self_attn.qkv_proj.audio2.bias": [96],
        "layers.self_attn.o_proj.weight": [96, 96],
        "layers.self_attn.o_proj.bias": [96],
        "layers.norm1.weight": [96],
        "layers.norm1.bias": [96],
    }
    assert head.out_dim == 128 + 96


def test_without_video_the_first_stream_leads():
    head = lfan(("audio", "text"))
    x = {role: torch.randn(1, 3, dim, dtype=torch.float64) for role, dim in head.dims.items()}
    assert torch.equal(head(x)[..., :3], x["audio"])


def test_frames_do_not_see_each_other():
    head = lfan()
    x = {role: torch.randn(1, 6, dim, dtype=torch.float64) for role, dim in head.dims.items()}
    single = head({role: v[:, 4:5] for role, v in x.items()})
    assert torch.allclose(head(x)[:, 4:5], single, atol=1e-12)


def test_gates_say_how_much_each_modality_asks_of_each():
    head = lfan(("video", "audio", "text"))
    x = {role: torch.randn(2, 6, dim, dtype=torch.float64) for role, dim in head.dims.items()}
    gates = head.gates(x)
    assert {name: gate.shape for name, gate in gates.items()} == dict.fromkeys(x, (2, 6, 2, 3))
    # A modality that nobody can confuse with another gets all the weight.
    with torch.no_grad():
        for role, part in head.layers.self_attn.qkv_proj.items():
            part.weight.zero_()
            part.bias.fill_(30.0 if role == "audio" else 1.0)
    assert torch.allclose(head.gates(x)["video"][..., 1], torch.ones((), dtype=torch.float64))


def test_the_recipe_is_the_published_one():
    recipe = {n: each.value for n, each in describe_head("lfan").published.items()}
    assert recipe["regressor"] == "linear"
    assert recipe["tcn_channels"]["video"] == (256, 256, 128, 128)
    assert recipe["tcn_channels"]["audio"] == (64, 64, 32, 32)
    assert recipe["tcn_channels"]["audio2"] == (32, 32, 32, 32)
