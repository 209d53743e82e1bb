"""fit learns what is planted, repeats itself, stops when it should, and loses nothing."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from fitted import quick, weights_of
from fusion_caches import write_planted

from vapipe.cache import ConfigError, FeatureStore
from vapipe.cache.layout import write_labels
from vapipe.errors import DeviceError, TrainingDivergedError
from vapipe.fusion import FitConfig, ccc, fit, load_run


def test_what_is_planted_is_learned(fitted):
    assert fitted.evaluation.ccc["valence"] > 0.8
    assert fitted.evaluation.ccc["arousal"] > 0.8


def test_one_stream_alone_is_clearly_worse(planted, small, fitted, tmp_path):
    for role, stream in small.streams.items():
        config = dataclasses.replace(
            small, head="concat", head_options={}, streams={role: stream}, epochs=10
        )
        alone = fit(planted, config, tmp_path / role).evaluation
        assert alone.ccc["mean"] < fitted.evaluation.ccc["mean"] - 0.2


def test_a_seed_gives_the_same_numbers_and_another_seed_others(planted, small, tmp_path):
    runs = [
        fit(planted, quick(small, seed=seed), tmp_path / str(index))
        for index, seed in enumerate((3, 3, 4))
    ]
    losses = [[epoch.loss for epoch in run.epochs] for run in runs]
    assert losses[0] == losses[1] != losses[2]
    assert runs[0].evaluation.ccc == runs[1].evaluation.ccc
    weights = [weights_of(run.run_dir) for run in runs]
    assert weights[0] == weights[1] != weights[2]


def test_the_random_state_of_the_caller_is_left_alone(planted, small, tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fit(planted, quick(small), tmp_path / "run")
    assert torch.equal(torch.rand(3), expected)


def test_a_fit_computes_in_float32_whatever_the_caller_set_and_leaves_that(
    planted, small, tmp_path
):
    def precision():
        return torch._C._get_fp32_precision_getter("cuda", "rnn"), torch.backends.cudnn.benchmark

    before, seen = precision(), []
    fit(planted, quick(small), tmp_path / "run", progress=lambda epoch: seen.append(precision()))
    assert (set(seen), precision()) == ({("ieee", False)}, before)
    assert before[0] == "tf32"  # torch's default


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried ..."), "device cuda has too little mem"),
        (torch.AcceleratorError("CUDA error: launch failure"), "device cuda failed: CUDA error"),
    ],
)
def test_a_device_that_fails_in_a_fit_is_one_message(
    planted, small, tmp_path, monkeypatch, fault, words
):
    def fail(*_, **__):
        raise fault

    monkeypatch.setattr("vapipe.fusion.training.trainer.ccc_loss", fail)
    with pytest.raises(DeviceError, match=words):
        fit(planted, quick(small), tmp_path / "run")


def test_one_network_per_target_trains_each_on_its_own(planted, small, tmp_path):
    both = fit(planted, quick(small, targets="per_target"), tmp_path / "two")
    assert [(e.network, e.epoch) for e in both.epochs] == [
        ("valence", 1),
        ("valence", 2),
        ("arousal", 1),
        ("arousal", 2),
    ]
    assert set(both.epochs[0].ccc) == {"valence", "mean"}
    best = {e.network: e.ccc["mean"] for e in both.epochs if e.best}
    assert both.evaluation.ccc["arousal"] == pytest.approx(best["arousal"], abs=1e-12)
    assert both.evaluation.ccc["valence"] == pytest.approx(best["valence"], abs=1e-12)


def test_the_best_weights_are_kept(planted, small, tmp_path):
    result = fit(planted, dataclasses.replace(small, epochs=8, learning_rate=0.03), tmp_path / "r")
    best = max(result.epochs, key=lambda epoch: epoch.ccc["mean"])
    assert best.best
    assert result.evaluation.ccc["mean"] == pytest.approx(best.ccc["mean"], abs=1e-12)
    assert [e.best for e in result.epochs] == [
        e.ccc["mean"] > max((f.ccc["mean"] for f in result.epochs[:i]), default=-math.inf)
        for i, e in enumerate(result.epochs)
    ]


def test_training_stops_when_validation_stands_still(planted, small, tmp_path):
    # A vanishing learning rate after a vanishing warm-up: the first epochs decide.
    config = dataclasses.replace(
        small, epochs=30, learning_rate=1e-12, min_learning_rate=0.0, patience=2, warmup_epochs=0
    )
    result = fit(planted, config, tmp_path / "run")
    last_best = max(e.epoch for e in result.epochs if e.best)
    assert len(result.epochs) == last_best + 2 < 30


def test_the_learning_rate_warms_up_and_falls_on_a_plateau(planted, small, tmp_path):
    config = dataclasses.replace(
        small,
        epochs=12,
        learning_rate=0.02,
        warmup_epochs=2,
        plateau_patience=0,
        plateau_factor=0.5,
    )
    rates = [e.learning_rate for e in fit(planted, config, tmp_path / "run").epochs]
    assert rates[:3] == pytest.approx([0.01, 0.02, 0.02])
    assert rates == [*rates[:2], *sorted(rates[2:], reverse=True)]
    assert rates[-1] < 0.02


@pytest.mark.parametrize("missing", ["exclude", "token"])
def test_excluded_frames_do_not_count_in_the_loss_but_in_the_measure(
    planted, small, tmp_path, missing
):
    """Labels of frames without a face change nothing in training; on validation they still do."""
    other = write_planted(tmp_path / "cache")
    for video in other.videos():
        labels = other.labels(video).copy()
        labels[other.valid(video, "onet") == 0] = 0.9
        write_labels(other.root, video, labels, partition=other.partition(video), source={})
    runs = [
        fit(store, quick(small, missing=missing), tmp_path / str(index))
        for index, store in enumerate((planted, FeatureStore.open(other.root)))
    ]
    losses = [[epoch.loss for epoch in run.epochs] for run in runs]
    assert (losses[0] == losses[1]) == (missing == "exclude")
    assert runs[0].evaluation.ccc["mean"] != runs[1].evaluation.ccc["mean"]


def test_excluding_frames_without_a_face_needs_faces(planted, small, tmp_path):
    alone = dataclasses.replace(
        small, head="concat", head_options={}, streams={"audio": "logmel"}, missing="exclude"
    )
    with pytest.raises(ConfigError, match=r"missing = exclude leaves out .* no video stream"):
        fit(planted, alone, tmp_path / "run")


def test_validation_does_not_touch_the_statistics(planted, small, fitted):
    encoder = load_run(fitted.run_dir, "cpu").model.networks["joint"].encoders["video"]
    rows = np.concatenate(
        [
            planted.read(video, "onet")[planted.valid(video, "onet") > 0]
            for video in planted.videos()
            if planted.partition(video) == "train"
        ]
    ).astype(np.float64)
    assert np.allclose(encoder.mean, rows.mean(0), atol=1e-5)
    assert np.allclose(encoder.std, rows.std(0), atol=1e-5)


def test_a_run_explains_itself(planted, small, fitted):
    folder = fitted.run_dir
    assert FitConfig.load(folder / "config.json") == fitted.config
    assert fitted.config.streams == {"video": "onet", "audio": "logmel"}
    cache = json.loads((folder / "cache.json").read_text())
    assert cache["streams"]["video"]["key"] == planted.key("onet")
    assert cache["videos"]["validation"] == ["video6", "video7"]
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["torch"] == torch.__version__.partition("+")[0]
    assert environment["device"].startswith("cpu")
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines == [dataclasses.asdict(epoch) for epoch in fitted.epochs]
    evaluation = json.loads((folder / "evaluation-validation.json").read_text())
    assert evaluation["ccc"] == fitted.evaluation.ccc


def test_the_reported_ccc_is_that_of_the_predictions(planted, fitted):
    predictions = np.concatenate(list(fitted.evaluation.predictions.values()))
    labels = np.concatenate([planted.labels(v) for v in fitted.evaluation.predictions])
    assert fitted.evaluation.ccc["valence"] == ccc(predictions[:, 0], labels[:, 0])


def test_progress_is_told_of_every_epoch(planted, small, tmp_path):
    seen = []
    result = fit(planted, quick(small), tmp_path / "run", seen.append)
    assert seen == result.epochs


def test_a_run_never_overwrites_anything(planted, small, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not an empty folder; a run never overwrites"):
        fit(planted, quick(small), tmp_path)
    with pytest.raises(ConfigError, match=r"notes.txt exists and is not an empty folder"):
        fit(planted, quick(small), tmp_path / "notes.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_runs_without_a_name_take_the_next_free_one(planted, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vapipe-runs" / "grjca-1").mkdir(parents=True)
    assert fit(planted, quick(small)).run_dir.as_posix() == "vapipe-runs/grjca-2"
    assert fit(planted, quick(small)).run_dir.as_posix() == "vapipe-runs/grjca-3"


def test_a_configuration_that_fails_leaves_no_run(planted, small, tmp_path):
    with pytest.raises(ConfigError, match="no head is called `grjc`"):
        fit(planted, quick(small, head="grjc"), tmp_path / "run")
    with pytest.raises(ConfigError, match="no option drop"):
        fit(planted, quick(small, head_options={"drop": 1}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite_stops_with_the_batch_named(planted, small, tmp_path):
    config = dataclasses.replace(small, learning_rate=1e30, warmup_epochs=0)
    with pytest.raises(
        TrainingDivergedError,
        match=r"joint network diverged: .* in epoch \d+, batch \d+ \(windows video\d\[\d+:\d+\].*"
        r"learning rate 1e\+30; fit with a lower learning_rate",
    ):
        fit(planted, config, tmp_path / "run")
    with pytest.raises(ConfigError, match="is not finished"):
        load_run(tmp_path / "run")


@pytest.mark.parametrize("causal", [True, False])
def test_options_of_the_network_reach_it(planted, small, tmp_path, causal):
    config = quick(small, causal=causal, recursions=1, tcn_kernels=(3,), head="grjca")
    run = load_run(fit(planted, config, tmp_path / "run").run_dir, "cpu")
    network = run.model.networks["joint"]
    assert len(network.head.attention) == 1
    assert network.encoders["video"].tcn.receptive_field == 1 + 2 * 2 * 3
    assert network.encoders["video"].tcn.network[1].pad == ((4, 0) if causal else (2, 2))


@pytest.mark.slow  # torch.compile takes minutes on two cores
def test_a_compiled_fit_learns_the_same(planted, small, tmp_path):
    config = quick(small, head="concat", head_options={}, tcn_dropout=0.0, batch=2)
    plain = fit(planted, config, tmp_path / "plain")
    compiled = fit(planted, dataclasses.replace(config, compile=True), tmp_path / "compiled")
    for ours, theirs in zip(plain.epochs, compiled.epochs, strict=True):
        assert theirs.loss == pytest.approx(ours.loss, abs=1e-3)


def test_a_network_that_is_far_too_large_for_its_data_is_pointed_out(planted, small, tmp_path):
    wide = {"video": (256, 256), "audio": (64,)}
    large = dataclasses.replace(small, epochs=1, tcn_channels=wide)
    result = fit(planted, large, tmp_path / "large")
    (note,) = result.evaluation.conditions["notes"]
    frames = sum(
        int(np.isfinite(planted.labels(v)).any(axis=1).sum())
        for v in planted.videos()
        if planted.partition(v) == "train"
    )
    assert f"{result.parameters:,} parameters fitted to {frames:,} annotated frames" in note
    assert result.parameters > 100 * frames
    few = fit(planted, dataclasses.replace(small, epochs=1), tmp_path / "small")
    assert few.parameters < 100 * frames
    assert "notes" not in few.evaluation.conditions
