"""A configuration survives JSON, and refuses what cannot work with the value named."""

import dataclasses
import json

import pytest

from vapipe.cache import ConfigError
from vapipe.fusion import FitConfig


def test_the_defaults_follow_the_papers():
    config = FitConfig()
    assert (config.head, config.window, config.stride, config.batch) == ("grjca", 300, 200, 12)
    assert (config.weight_decay, config.plateau_factor, config.plateau_patience) == (1e-3, 0.1, 5)
    assert config.resolved().tcn_channels["video"] == (512, 512, 256, 256)
    assert config.resolved().tcn_channels["audio"] == (128,) * 4
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
        ({"targets": "both"}, "targets is `both`; it may be per_target, joint"),
        ({"device": "tpu"}, "device is `tpu`; it may be auto, cpu, cuda"),
        ({"batch": 0}, "batch must be a whole number >= 1, got 0"),
        ({"learning_rate": -1.0}, r"learning_rate must be in \[1e-12, inf\), got -1.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be in .*, got nan"),
        ({"weight_decay": -1.0}, r"weight_decay must be in \[0, inf\), got -1.0"),
        ({"tcn_dropout": 1.0}, r"tcn_dropout must be in \[0, 1\), got 1.0"),
        ({"window": 10, "stride": 11}, "stride 11 is longer than the window of 10 rows"),
        ({"streams": {"face": "onet"}}, "streams: no role is called face; roles: video"),
        ({"tcn_channels": {"face": [1]}}, "tcn_channels: no role is called face"),
        ({"streams": "onet"}, "streams must map names to values, got 'onet'"),
        ({"tcn_kernels": [3, 0]}, r"tcn_kernels must be whole numbers >= 1, got \(3, 0\)"),
        ({"precision": "float16"}, "precision is `float16`; it may be float32, bfloat16"),
        ({"regressor": "mean"}, "regressor is `mean`; it may be mlp, linear, gelu"),
        ({"modality_dropout": 1.0}, r"modality_dropout must be in \[0, 1\), got 1.0"),
        ({"epochs": "3"}, "epochs must be a whole number >= 1, got '3'"),
    ],
)
def test_values_that_cannot_work_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        FitConfig.from_json(values)


def test_what_is_left_open_comes_from_the_head_and_the_users_word_wins():
    resolved = FitConfig(head="grjca", tcn_channels={"audio": (4, 5)}).resolved()
    assert resolved.recursions == 2
    assert (resolved.tcn_kernels, resolved.regressor) == ((5,), "mlp")
    assert resolved.tcn_channels["video"] == (512, 512, 256, 256)
    assert resolved.tcn_channels["audio"] == (4, 5)
    assert resolved.resolved() == resolved
    own = FitConfig(recursions=3, tcn_kernels=(3, 7), regressor="gelu").resolved()
    assert (own.recursions, own.tcn_kernels, own.regressor) == (3, (3, 7), "gelu")
