"""Gates per frame: those of a plain pass, merged as predictions are, stored beside them."""

import dataclasses

import numpy as np
import pytest
import torch

from vapipe.cache import ConfigError
from vapipe.fusion import FitConfig, Model
from vapipe.fusion.data.loader import BatchLoader
from vapipe.fusion.data.plan import make_windows
from vapipe.fusion.evaluation.gates import (
    GateGroup,
    Gates,
    gates_per_frame,
    read_gates,
    write_gates,
)
from vapipe.fusion.evaluation.scoring import predict, predict_gated


def build(planted, small, **changes):
    """A model with random weights and a loader of the planted cache."""
    config = dataclasses.replace(small, **changes).resolved()
    torch.manual_seed(0)
    model = Model(config=config, dims={role: planted.dim(s) for role, s in config.streams.items()})
    return model, BatchLoader(planted, config, torch.device("cpu"))


@pytest.mark.parametrize(
    ("head", "options", "groups"),
    [
        ("grjca", {}, [("joint", "video", (3,)), ("joint", "audio", (3,))]),
        ("lfan", {}, [("joint", "video", (2, 2)), ("joint", "audio", (2, 2))]),
        ("sage", {"variant": "paper"}, [
            ("joint", name, ()) for name in ("reliability", "layer1 attention", "layer2 attention")
        ]),
        ("concat", {}, []),
        ("transformer", {}, [("joint", f"layer{n} attention", ()) for n in (1, 2)]),
        ("dca", {"targets": "per_target"}, [
            (network, role, (2,)) for network in ("valence", "arousal")
            for role in ("video", "audio")
        ]),
    ],
)  # fmt: skip
def test_gates_per_frame_come_with_the_same_predictions(planted, small, head, options, groups):
    model, loader = build(planted, small, head=head, head_options={}, **options)
    videos = planted.videos()
    predictions, gates = predict_gated(model, loader, videos)
    assert gates.groups == [GateGroup(*group) for group in groups]
    for video, values in predict(model, loader, videos).items():
        assert np.allclose(predictions[video], values, atol=1e-6)
        if groups:
            width = sum(group.size for group in gates.groups)
            assert gates.values[video].shape == (planted.rows(video), width)
            assert np.isfinite(gates.values[video]).all()


def test_overlapping_windows_are_averaged(planted, small):
    """Each window alone, by the head's own `gates`, averaged in plain NumPy."""
    model, loader = build(planted, small)
    video = max(planted.videos(), key=planted.rows)
    _, gates = predict_gated(model, loader, [video])
    total, count = np.zeros((planted.rows(video), 6)), np.zeros((planted.rows(video), 1))
    for window in make_windows(planted, [video], loader.config):
        (batch,) = loader.batches([window])
        with torch.inference_mode():
            model.networks["joint"](batch.streams, batch.valid, batch.mask, own := {})
        values = torch.cat([own["video"], own["audio"]], dim=-1)[0].numpy()
        total[window.start : window.stop] += values[: window.stop - window.start]
        count[window.start : window.stop] += 1
    assert count.max() == 2
    assert np.allclose(gates.values[video], total / count, atol=1e-3)
    sums = gates.values[video].astype(np.float64).reshape(-1, 2, 3).sum(-1)
    assert np.allclose(sums, 1, atol=2e-3)  # each gate is a softmax over the recursions


def test_a_file_gives_back_what_was_written(tmp_path):
    names = ["a", "<img src=x>", "../b\u2028"]
    rng = np.random.default_rng(0)
    gates = Gates(
        [GateGroup("joint", "video", (2, 2)), GateGroup("joint", "reliability", ())],
        {name: rng.random((n, 5)).astype(np.float16) for n, name in enumerate(names, start=1)},
    )
    write_gates(tmp_path, "test", gates)
    assert read_gates(tmp_path, "validation") is None
    again = read_gates(tmp_path, "test")
    assert again.groups == gates.groups
    assert all(np.array_equal(again.values[name], gates.values[name]) for name in names)
    write_gates(tmp_path, "test", Gates([], {}))
    assert read_gates(tmp_path, "test") == Gates([], {})


@pytest.mark.parametrize("content", [b"", b"no gates at all", None])
def test_a_file_that_is_no_such_file_names_the_command_that_makes_one(tmp_path, content):
    if content is None:
        from safetensors.numpy import save

        content = save({"a": np.zeros(3)})
    (tmp_path / "gates-test.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match=r"evaluate .* --partition test --gates` makes it anew"):
        read_gates(tmp_path, "test")


def test_a_fit_leaves_the_gates_of_its_validation(fitted, planted):
    gates = read_gates(fitted.run_dir, "validation")
    assert [group.gate for group in gates.groups] == ["video", "audio"]
    assert {v: len(x) for v, x in gates.values.items()} == {
        video: planted.rows(video) for video in fitted.evaluation.predictions
    }


def test_the_attention_that_a_frame_receives_is_its_share_of_what_all_others_give(planted, small):
    """By the weights of the head itself, frame by frame, in plain NumPy; also in short windows."""
    model, loader = build(planted, small, head="transformer", head_options={})
    windows = make_windows(planted, ["video2"], loader.config)  # 40 rows of a window of 50
    (batch,) = loader.batches(windows)
    found = {}
    with torch.inference_mode():
        model.eval()(batch.streams, batch.valid, batch.mask, found)
    _, gates = predict_gated(model, loader, ["video2"])
    rows = planted.rows("video2")
    for column, weights in enumerate(found["joint"].values()):
        exact = weights[0].double().numpy()  # [L, heads, L]
        share = exact[:rows, :, :rows].mean(axis=(0, 1)) * rows
        assert np.allclose(gates.values["video2"][:, column], share, atol=2e-3)
        assert share.mean() == pytest.approx(1)


@pytest.mark.parametrize(("head", "left"), [("grjca", ["video", "audio"]), ("jca", [])])
def test_scores_between_frames_that_are_no_weights_are_left_out(head, left):
    """Paper's joint cross-attention has scores [B, L, L], tanh of correlations."""
    config = FitConfig(
        head=head, variant="paper", window=12, stride=12, targets="joint",
        tcn_channels={"video": (8,), "audio": (8,)},
    ).resolved()  # fmt: skip
    model = Model(config=config, dims={"video": 4, "audio": 4}).eval()
    found = {}
    model({"video": torch.zeros(1, 12, 4), "audio": torch.zeros(1, 12, 4)}, None, None, found)
    assert [*gates_per_frame(found, None)["joint"]] == left
