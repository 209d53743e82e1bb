"""A stream of several layers side by side is summed with learned weights in front of the TCN."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from caches import KEYS, add_features, add_video, make_cache
from terminal import vapipe_

from vapipe.cache import FeatureStore
from vapipe.fusion import FitConfig, describe_head, fit, list_heads
from vapipe.fusion.models.network import LayerSum, Model
from vapipe.fusion.runs.folder import load_run

LAYERS, WIDTH, ROWS = [2, 5, 12], 4, 60
STACKED = {"encoder": "wavlm", "options": {"layer": LAYERS, "stack": True}, "weights": {}}


def config(**changes):
    return FitConfig(
        **{
            "streams": {"video": "onet", "audio": "speech"},
            "window": 30,
            "stride": 20,
            "batch": 2,
            "head": "concat",
            "epochs": 12,
            "learning_rate": 0.02,
            "warmup_epochs": 0,
            "hidden": 8,
            "tcn_channels": {"video": (6,), "audio": (6,)},
            "device": "cpu",
            **changes,
        }
    )


def write_cache(root):
    rng = np.random.default_rng(0)
    make_cache(root)
    for video, partition in (("a", "train"), ("b", "train"), ("c", "validation")):
        labels = np.tanh(rng.normal(size=(ROWS, 2)).cumsum(0) / 4)
        add_video(root, video, {"onet": rng.normal(size=(ROWS, 3))}, labels=labels,
                  partition=partition)  # fmt: skip
        layers = rng.normal(size=(ROWS, len(LAYERS), WIDTH))
        layers[:, 1, :2] = labels  # only layer 5 knows anything
        rows = layers.reshape(ROWS, -1)
        add_features(root, video, "speech", rows, modality="audio", key=KEYS["audio"],
                     config=STACKED)  # fmt: skip
    return FeatureStore.open(root)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("layers")
    result = fit(write_cache(root / "cache"), config(), root / "run")
    return result.run_dir


def test_the_sum_is_the_softmax_of_a_weight_per_layer():
    layers = LayerSum(3).double()
    with torch.no_grad():
        layers.weight.copy_(torch.tensor([0.3, -1.0, 2.0]))
    x = torch.randn(2, 7, 3, WIDTH, dtype=torch.float64)
    powers = np.exp([0.3, -1.0, 2.0])
    expected = sum(p / powers.sum() * x[:, :, k] for k, p in enumerate(powers))
    torch.testing.assert_close(layers(x.flatten(2)), expected)
    torch.testing.assert_close(
        LayerSum(3)(x.float().flatten(2)), x.float().mean(dim=2)
    )  # at first all count the same


@pytest.mark.parametrize("head", list_heads())
def test_with_all_weight_on_one_layer_it_is_the_stream_of_that_layer(head):
    torch.manual_seed(0)
    roles = ("video", "audio", "audio2")[: max(2, describe_head(head).min_streams)]
    options = config(head=head, streams={role: role for role in roles}, window=20, stride=20,
                     targets="joint",
                     tcn_channels=dict.fromkeys(roles, (6,)))  # fmt: skip
    dims = dict.fromkeys(roles, WIDTH)
    single = Model(config=options, dims=dims).eval()
    stacked = Model(config=options, dims={**dims, "audio": 3 * WIDTH}, layers={"audio": 3}).eval()
    x = {role: torch.randn(2, 20, dim) for role, dim in {**dims, "audio": 3 * WIDTH}.items()}
    valid = {role: torch.rand(2, 20) < 0.8 for role in roles}
    mean, std = torch.randn(3 * WIDTH), torch.rand(3 * WIDTH) + 0.5
    layer = slice(WIDTH, 2 * WIDTH)
    state = single.state_dict()
    own = {name: value for name, value in stacked.state_dict().items() if name not in state}
    assert list(own) == ["networks.joint.encoders.audio.layers.weight"]
    one = torch.tensor([-1e4, 0.0, -1e4])
    place = "networks.joint.encoders.audio"
    stacked.load_state_dict(
        {**state, f"{place}.layers.weight": one, f"{place}.mean": mean, f"{place}.std": std}
    )
    single.load_state_dict({**state, f"{place}.mean": mean[layer], f"{place}.std": std[layer]})
    with torch.no_grad():
        expected = single({**x, "audio": x["audio"][..., layer]}, valid)
        torch.testing.assert_close(stacked(x, valid), expected, atol=1e-6, rtol=1e-5)


def test_a_fit_learns_the_layer_that_knows_and_keeps_what_it_learned(run):
    shares = json.loads((run / "layers.json").read_text())
    assert set(shares) == {"valence", "arousal"}
    for own in shares.values():
        assert list(own["audio"]) == ["2", "5", "12"]
        assert sum(own["audio"].values()) == pytest.approx(1)
        assert max(own["audio"], key=own["audio"].get) == "5"
    card = (run / "README.md").read_text()
    assert f"Layers of audio, network valence: 2 {shares['valence']['audio']['2']:.1%}, 5" in card
    weight = load_run(run, "cpu").model.get_parameter(
        "networks.valence.encoders.audio.layers.weight"
    )
    found = dict(zip(["2", "5", "12"], weight.softmax(0).tolist(), strict=True))
    assert found == pytest.approx(shares["valence"]["audio"])


def test_frozen_weights_stay_equal(run, tmp_path):
    store = FeatureStore.open(run.parent / "cache")
    frozen = config(freeze=("encoders.audio.layers",), epochs=1)
    shares = json.loads((fit(store, frozen, tmp_path / "run").run_dir / "layers.json").read_text())
    assert list(shares["valence"]["audio"].values()) == pytest.approx([1 / 3] * 3)


def test_such_a_run_is_evaluated_reported_packed_and_exported(run, tmp_path):
    before = vapipe_("evaluate", run)
    assert before.exit_code == 0, before.output
    for words in (
        ("report", run, "--out", tmp_path / "report.html"),
        ("export", run, "--to", "onnx", "--out", tmp_path / "run.onnx"),
        ("export", run, "--to", "huggingface", "--out", tmp_path / "shared"),
        ("cache", "pack", "--cache", run.parent / "cache"),
        ("cache", "report", "--cache", run.parent / "cache", "--out", tmp_path / "cache.html"),
    ):
        result = vapipe_(*words)
        assert result.exit_code == 0, result.output
    assert "layers.json" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "shared" / "layers.json").is_file()
    assert vapipe_("evaluate", run).stdout == before.stdout


def test_in_bfloat16_and_with_withheld_streams(run, tmp_path):
    store = FeatureStore.open(run.parent / "cache")
    changed = dataclasses.replace(
        config(), precision="bfloat16", modality_dropout=0.3, missing="zero", epochs=1
    )
    assert (fit(store, changed, tmp_path / "run").run_dir / "layers.json").is_file()
