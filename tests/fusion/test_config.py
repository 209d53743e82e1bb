"""A configuration survives JSON, and refuses what cannot work with the value named."""

import dataclasses
import json
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Union, get_args, get_origin

import pytest

from vapipe.cache import ConfigError
from vapipe.fusion import FitConfig, describe_head, list_heads
from vapipe.fusion.acting import idle_options, own_options
from vapipe.fusion.config import ROLES, option_types
from vapipe.fusion.typed import read_value, types_of


def test_the_defaults_follow_the_papers():
    config = FitConfig()
    assert (config.head, config.window, config.stride) == ("grjca", 300, 200)
    config = config.resolved()
    assert (config.batch, config.learning_rate, config.patience) == (12, 1e-4, 10)
    assert (config.weight_decay, config.plateau_factor, config.plateau_patience) == (1e-3, 0.1, 5)
    assert config.tcn_channels["video"] == (512, 512, 256, 256)
    assert config.tcn_channels["audio"] == (128,) * 4
    assert config.networks() == {"valence": ("valence",), "arousal": ("arousal",)}


def test_a_configuration_survives_json(small):
    config = dataclasses.replace(small, recursions=3)
    assert FitConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_options_left_out_take_their_defaults():
    assert FitConfig.from_json({"head": "concat"}) == FitConfig(head="concat")


def test_a_configuration_is_read_from_a_file(tmp_path):
    path = tmp_path / "config.json"
    path.write_text('{"epochs": 3}')
    assert FitConfig.load(path).epochs == 3
    path.write_text('{"epochs": 3')
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*config.json"):
        FitConfig.load(path)
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*none.json"):
        FitConfig.load(tmp_path / "none.json")
    path.write_text("[1]")
    with pytest.raises(ConfigError, match=r"maps options to values; got \[1\]"):
        FitConfig.load(path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "no option of fit is called `epoch`; did you mean `epochs`?"),
        ({"zzz": 3}, "called `zzz`; options: head, variant"),
        ({"targets": "both"}, "targets must be one of per_target, joint or none, got 'both'"),
        ({"device": "tpu"}, "device is `tpu`; it may be auto, cpu, cuda"),
        ({"batch": 0}, "batch must be a whole number >= 1 or none, got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be a finite number > 0 or none, got -1.0"),
        (
            {"learning_rate": float("nan")},
            "learning_rate must be a finite number > 0 or none, got nan",
        ),
        ({"clip_norm": float("inf")}, "clip_norm must be a finite number >= 0 or none, got inf"),
        ({"weight_decay": -1.0}, "weight_decay must be a finite number >= 0 or none, got -1.0"),
        ({"tcn_dropout": 1.0}, "tcn_dropout must be a finite number >= 0 and < 1, got 1.0"),
        ({"window": 10, "stride": 11}, "stride 11 is longer than the window of 10 rows"),
        ({"streams": {"face": "onet"}}, "every name in streams must be one of video, .* 'face'"),
        ({"tcn_channels": {"face": [1]}}, "every name in tcn_channels must be one of video"),
        ({"streams": "onet"}, "streams must be a table {.*} whose values are text, got 'onet'"),
        ({"tcn_kernels": [3, 0]}, r"tcn_kernels must be a list .* numbers >= 1, got \[3, 0\]"),
        ({"precision": "float16"}, "precision must be one of float32, bfloat16, got 'float16'"),
        ({"regressor": "mean"}, "regressor must be one of mlp, linear, gelu, relu, got 'mean'"),
        ({"epochs": "3"}, "epochs must be a whole number >= 1 or none, got '3'"),
        ({"epochs": 2.5}, "epochs must be a whole number >= 1 or none, got 2.5"),
        ({"epochs": True}, "epochs must be a whole number >= 1 or none, got True"),
        ({"seed": 10**30}, "seed must be a whole number >= 0 and < 9.2.*, got 10{30}"),
        ({"head": "nothing"}, "no head is called `nothing`"),
        ({"head_options": {"drop": 1}}, "head grjca has no option drop; its options: dropout"),
        ({"head_options": {"dropout": "x"}}, "head_options.dropout must be a finite .*, got 'x'"),
    ],
)
def test_values_that_cannot_work_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        FitConfig.from_json(values)


OTHERS = {
    str: [3, 2.5, True, ["a"], {"a": 1}, None],
    int: [2.5, "3", True, [3], {"a": 1}, None],
    float: ["1", True, [1.0], {"a": 1}, None, float("inf")],
    bool: [0, 1, 2.5, "maybe", [True], {"a": True}, None],
}


def others(kind):
    """Values of other types than the annotated one."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return others(inner[0])
    if origin in (Union, UnionType):
        return [value for value in others(inner[0]) if value is not None]
    if origin is tuple:
        return [3, "3", {"a": 1}, None, *([value] for value in others(inner[0]))]
    if origin is Mapping:
        return [3, "a", [1], None, True, *({"video": value} for value in others(inner[1]))]
    return OTHERS.get(kind, [])


@pytest.mark.parametrize("option", [field.name for field in dataclasses.fields(FitConfig)])
def test_every_option_refuses_other_types_with_its_name(option):
    values = others(option_types()[option])
    assert values
    for value in values:
        with pytest.raises(ConfigError, match=rf"^{option}(\.video)? must be "):
            FitConfig.from_json({option: value})
        with pytest.raises(ConfigError, match=rf"^{option}(\.video)? must be "):
            FitConfig().changed({option: value})


@pytest.mark.parametrize(
    ("typed", "option", "value"),
    [
        ("False", "causal", False),
        ("true", "compile", True),
        ("off", "views", False),
        ("none", "recursions", None),
        ("3", "recursions", 3),
        ("1e2", "epochs", 100),
        ("none", "batch", None),
        ("0", "clip_norm", 0.0),
        ("zero", "missing", "zero"),
        ('["head", "encoders.video"]', "freeze", ("head", "encoders.video")),
        ("1", "learning_rate", 1.0),
        ("[3, 7]", "tcn_kernels", (3, 7)),
        ("onet", "streams.video", "onet"),
        ("onet@1a2b", "streams.video", "onet@1a2b"),
        ("[8]", "tcn_channels.audio", (8,)),
        ('{video = "onet"}', "streams", {"video": "onet"}),
        ('{"video": [8, 8]}', "tcn_channels", {"video": (8, 8)}),
        ("False", "head_options.normalize", False),
        ("0", "head_options.dropout", 0.0),
    ],
)
def test_one_parser_reads_the_command_line_and_files(typed, option, value, tmp_path):
    """Typed text, TOML and JSON give the same, and what is stored reads back as the same."""
    config = FitConfig().changed({option: read_value(typed)})
    name, _, entry = option.partition(".")
    found = getattr(config, name)
    assert (found[entry] if entry else found) == value
    assert type(found[entry] if entry else found) is type(value)
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    assert FitConfig.load(tmp_path / "config.json") == config
    if value is not None:
        literal = typed if isinstance(read_value(typed), (int, float, list)) else repr(typed)
        if not typed.startswith("{"):
            (tmp_path / "config.toml").write_text(f"{option} = {literal}\n")
            assert FitConfig.load(tmp_path / "config.toml") == config


@pytest.mark.parametrize("name", list_heads())
def test_every_option_of_every_head_refuses_other_types(name):
    for option, kind in describe_head(name).types.items():
        assert others(kind), f"{name}: {option} has no type that can be checked"
        for value in others(kind):
            with pytest.raises(ConfigError, match=rf"^head_options\.{option} must be "):
                FitConfig(head=name, head_options={option: value})


def test_types_of_options_are_read_at_run_time():
    def constructor(width): ...

    constructor.__annotations__ = {"width": "Missing"}  # as `from __future__` leaves it
    with pytest.raises(ConfigError, match=r"'Missing' is not defined.*outside of TYPE_CHECKING"):
        types_of(constructor)


def test_what_is_left_open_comes_from_the_head_and_the_users_word_wins():
    resolved = FitConfig(head="grjca", tcn_channels={"audio": (4, 5)}).resolved()
    assert resolved.recursions == 2
    assert (resolved.tcn_kernels, resolved.regressor) == ((5,), "mlp")
    assert resolved.tcn_channels["video"] == (512, 512, 256, 256)
    assert resolved.tcn_channels["audio"] == (4, 5)
    assert resolved.resolved() == resolved
    own = FitConfig(recursions=3, tcn_kernels=(3, 7), regressor="gelu").resolved()
    assert (own.recursions, own.tcn_kernels, own.regressor) == (3, (3, 7), "gelu")


@pytest.mark.parametrize("name", list_heads())
def test_what_a_run_records_can_be_asked_for_again(name):
    """A run's config.json as --config: nothing in it does nothing."""
    for roles in (ROLES[:1], ROLES[:2], ROLES):
        streams = dict.fromkeys(roles, "onet")
        config = FitConfig(head=name, streams=streams).resolved()
        assert set(config.tcn_channels) == set(roles)
        assert idle_options(config, own_options(config)) == {}
