"""Checkpoints with the released names load, and compute what the released modules computed."""

import re

import pytest
import torch
from released_vectors import CASES, Vector
from torch import nn

from vapipe.errors import ConfigError
from vapipe.fusion import TCN, create_head, load_released
from vapipe.fusion.models.heads.lstm import ResidualBiLSTM


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_released_numbers_and_gradients_come_out(name, dtype, tolerance):
    vector = Vector(name)
    errors = vector.errors(vector.module(dtype), dtype)
    assert max(errors.values()) < tolerance, errors


@pytest.mark.parametrize("name", CASES)
def test_every_entry_matters(name):
    vector = Vector(name)
    for key in vector.state:
        if "regressor" in key or (name == "rjca3" and "query_linear" in key) or ".net." in key:
            continue  # not a part of the head, unused, and listed twice
        module = vector.case.make().double().eval()
        changed = {**vector.state, key: vector.state[key] + torch.randn_like(vector.state[key])}
        for twin, place in (("conv1", "net.0"), ("conv2", "net.4")):
            other = key.replace(twin, place)
            if other != key:
                changed[other] = changed[key]
        load_released(module, changed, dict(vector.case.modalities))
        streams = vector.streams()
        out = module(streams) if vector.case.roles else module(streams["x"])
        reference = vector.module()
        expected = reference(streams) if vector.case.roles else reference(streams["x"])
        assert not torch.equal(out, expected), key


SWAPS = {
    "gates": ("grjca", r"_gating_fc_layer\.(weight|bias)"),
    "columns of a BiLSTM's linear": ("tagf", r"temporal_encoder\.linear\.weight"),
    "columns of the block's linear": ("bilstm_residual", r"linear\.weight"),
    "columns of the joint": ("rjca2", r"query_linear\.weight"),
    "first states": ("tagf", r"init_hidden"),
}


@pytest.mark.parametrize("swap", SWAPS)
def test_weights_in_other_places_are_noticed(swap):
    name, pattern = SWAPS[swap]
    vector = Vector(name)
    for key in [key for key in vector.state if re.search(pattern, key)]:
        along = 0 if "gat" in key or "init" in key else 1
        vector.state[key] = vector.state[key].flip(along)
    assert max(vector.errors(vector.module()).values()) > 1e-4


@pytest.mark.parametrize("name", CASES)
def test_the_prefix_of_data_parallel_is_taken_off(name):
    vector, module = Vector(name), CASES[name].make().double().eval()
    state = {f"module.{key}": value for key, value in vector.state.items()}
    load_released(module, state, dict(vector.case.modalities))
    assert max(vector.errors(module).values()) < 1e-12


def test_what_released_modules_carry_without_using_it_is_left_out():
    vector = Vector("grjca")
    unused = ("Joint.rnn.weight_ih_l0", "vregressor.0.weight", "aregressor.3.bias")
    vector.state |= {key: torch.zeros(3) for key in (*unused, "text_gating_fc_layer.weight")}
    assert max(vector.errors(vector.module()).values()) < 1e-12


def released_names(module, prefix=""):
    """The state of a `ResidualBiLSTM` under its released names."""
    state = {f"{prefix}{key}": value for key, value in module.state_dict().items()}
    out = {}
    for key, value in state.items():
        for layer in (0, 1):
            for place, suffix in (("past", ""), ("future", "_reverse")):
                start = f"{prefix}layers.{layer}.{place}."
                if key.startswith(start):
                    key = f"{prefix}rnn.{key.removeprefix(start).replace('_l0', f'_l{layer}')}"
                    key += suffix
        out[key] = value
    return out


def block(i=0):
    """Our name -> released name in an attention."""
    own = f"coattn.dcn_layers.{i}."
    names = {f"attention.{i}.joint": f"{own}dense_coattn.query_linear"}
    for m, role in enumerate(("video", "audio")):
        names[f"attention.{i}.key.{role}"] = f"{own}dense_coattn.key{m + 1}_linear"
        names[f"attention.{i}.value.{role}"] = f"{own}dense_coattn.value{m + 1}_linear"
        names[f"attention.{i}.output.{role}"] = f"{own}linears.{m}.0"
    return names


@pytest.mark.parametrize("name", ["jca", "dca"])
def test_whole_released_networks_load(name):
    torch.manual_seed(0)
    theirs = create_head(name, {"video": 6, "audio": 6}, length=5, joint_width=4).double().eval()
    for parameter in theirs.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    modules = {**block(0), "guide": "video_attn.attn.affine_feat"}
    state = released_names(theirs.joint, "Joint.")
    if name == "dca":
        modules |= {**block(1), "gate.video": "video_gating_fc_layer"}
        modules["gate.audio"] = "audio_gating_fc_layer"
        for role, part in theirs.before.items():
            state |= released_names(part, f"{role}_extract.")
    for ours, released in modules.items():
        for end in ("weight", "bias"):
            state[f"{released}.{end}"] = theirs.get_parameter(f"{ours}.{end}").detach()
    state["video_attn.attn.affine_g.weight"] = state["vregressor.0.weight"] = torch.zeros(2)
    torch.manual_seed(1)
    ours = create_head(name, {"video": 6, "audio": 6}, length=5, joint_width=4).double().eval()
    load_released(ours, state)
    x = {role: torch.randn(2, 5, 6, dtype=torch.float64) for role in ("video", "audio")}
    assert torch.equal(ours(x), theirs(x))
    with pytest.raises(ConfigError, match=r"unknown entries: Joint.init_hidden"):
        load_released(create_head("dca", {"video": 6, "audio": 6}, length=5, lstm=False), state)


def test_entries_listed_twice_must_agree():
    vector = Vector("tcn")
    short = {key: value for key, value in vector.state.items() if ".net." not in key}
    load_released(vector.case.make().double(), short)
    key = "network.0.net.0.weight_v"
    with pytest.raises(ConfigError, match=rf"differ from an earlier one .*{key}"):
        load_released(vector.case.make().double(), {**vector.state, key: vector.state[key] + 1})


def test_lfan_names_other_modalities_on_request_only():
    vector = Vector("lfan")
    with pytest.raises(ConfigError, match=r"unknown entries: .*qkv_proj\.logmel"):
        load_released(vector.case.make(), vector.state)


def test_what_does_not_fit_is_listed_and_nothing_is_loaded():
    vector = Vector("grjca")
    state, head = vector.state, vector.case.make().double()
    before = {key: value.clone() for key, value in head.state_dict().items()}
    lost = "coattn.dcn_layers.1.dense_coattn.key2_linear.bias"
    short = {key: value for key, value in state.items() if key != lost}
    with pytest.raises(
        ConfigError, match=r"does not fit the GRJCA: missing: attention.1.key.audio"
    ):
        load_released(head, short)
    with pytest.raises(ConfigError, match=r"unknown entries: backbone.weight, coattn.other;"):
        load_released(head, {**short, "backbone.weight": state[lost], "coattn.other": state[lost]})
    dims = {"video": 10, "audio": 6}
    with pytest.raises(ConfigError, match=r"shape: .*key1_linear.weight \[12, 12\], here \[9, 9\]"):
        load_released(create_head("grjca", dims, length=9), state)
    with pytest.raises(
        ConfigError, match=r"unknown entries: .*dcn_layers.1.*length and recursions"
    ):
        load_released(create_head("grjca", dims, length=12, recursions=1), state)
    with pytest.raises(ConfigError, match=r"unknown entries: .*key3_linear"):
        load_released(create_head("rjca", dims, length=12), Vector("rjca3").state)
    assert all(torch.equal(value, before[key]) for key, value in head.state_dict().items())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Linear(2, 2), "load_released takes .* got Linear$"),
        (
            create_head("grjca", {"video": 6, "audio": 4}, length=7, variant="paper"),
            r"got GRJCA \(variant paper\)",
        ),
    ],
)
def test_modules_that_were_never_released_are_refused(module, message):
    with pytest.raises(ConfigError, match=message):
        load_released(module, {})


def test_what_can_be_loaded_is_named_where_it_is_refused():
    with pytest.raises(ConfigError) as refusal:
        load_released(nn.Linear(2, 2), {})
    for name in ("TCN", "ResidualBiLSTM", "rjca", "jca", "dca", "grjca", "hgrjca", "tagf", "lfan"):
        assert name in str(refusal.value)
    assert {type(case.make()) for case in CASES.values()} >= {TCN, ResidualBiLSTM}
