"""fit learns what is planted, repeats itself, stops when it should, and loses nothing."""

import dataclasses
import json
import math
import random
import signal
import time

import numpy as np
import pytest
import torch
from children import Child
from fusion_caches import write_planted

from vapipe.cache import ConfigError, FeatureStore
from vapipe.cache.layout import write_labels
from vapipe.errors import DeviceError, TrainingDivergedError
from vapipe.fusion import Epoch, FitConfig, ccc, fit, load_run, resume


def quick(config, **changes):
    return dataclasses.replace(config, epochs=2, **changes)


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
    weights = [(run.run_dir / "model.safetensors").read_bytes() for run in runs]
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


@pytest.mark.parametrize(
    ("schedule", "targets", "epochs"),
    [
        ("plateau", "per_target", 3),
        pytest.param("plateau", "per_target", 5, marks=pytest.mark.slow),
        pytest.param("plateau", "joint", 5, marks=pytest.mark.slow),
        pytest.param("cosine", "per_target", 5, marks=pytest.mark.slow),
        pytest.param("cosine", "joint", 5, marks=pytest.mark.slow),
    ],
)
def test_an_interrupted_fit_goes_on_to_the_same_numbers(
    planted, small, tmp_path, schedule, targets, epochs
):
    config = dataclasses.replace(
        small,
        epochs=epochs,
        targets=targets,
        schedule=schedule,
        optimizer="adamw",
        modality_dropout=0.2,
        plateau_patience=0,
        plateau_factor=0.5,
    )
    whole = fit(planted, config, tmp_path / "whole")
    for stop in range(1, len(whole.epochs)):
        folder, seen = tmp_path / f"stopped-{stop}", []

        def interrupt(epoch, stop=stop, seen=seen):
            seen.append(epoch)
            if len(seen) == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fit(planted, config, folder, interrupt)
        torch.manual_seed(stop)  # the state of the process that goes on is another
        again = []
        resumed = resume(planted, folder, progress=again.append)
        assert len(again) == len(whole.epochs) - stop
        assert stripped(resumed.epochs) == stripped(whole.epochs)
        assert resumed.evaluation.ccc == whole.evaluation.ccc
        weights = [f / "model.safetensors" for f in (folder, whole.run_dir)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
        assert not (folder / "checkpoint.safetensors").exists()


def stripped(epochs):
    return [dataclasses.replace(epoch, seconds=0) for epoch in epochs]


def stopped_run(planted, config, folder):
    def interrupt(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(planted, config, folder, interrupt)
    return folder


def test_resuming_what_cannot_be_resumed_is_refused(planted, small, tmp_path, fitted, make_store):
    config = quick(small)
    folder = stopped_run(planted, config, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"another configuration \(batch: 4 then, 5 now\)"):
        resume(planted, folder, dataclasses.replace(config, batch=5))
    with pytest.raises(ConfigError, match=r"is finished; there is nothing to resume"):
        resume(planted, fitted.run_dir)
    with pytest.raises(ConfigError, match="is not a run"):
        resume(planted, tmp_path)
    (folder / "checkpoint.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ConfigError, match=r"cannot read the checkpoint .*; fit again into a new"):
        resume(planted, folder)
    record = folder / "cache.json"
    record.write_text(record.read_text().replace('"digest": "', '"digest": "0'))
    with pytest.raises(ConfigError, match=r"has changed since the run .* began"):
        resume(planted, folder)
    record.unlink()
    with pytest.raises(ConfigError, match=r"cannot read `digest` of the run .*cache.json "):
        resume(planted, folder)


def test_a_fit_interrupted_before_its_first_checkpoint_starts_again(planted, small, tmp_path):
    config = quick(small)
    folder = stopped_run(planted, config, tmp_path / "run")
    (folder / "checkpoint.safetensors").unlink()
    resumed = resume(planted, folder, config)
    assert stripped(resumed.epochs) == stripped(fit(planted, config, tmp_path / "w").epochs)


def count_lines(path):
    return path.read_text().count("\n") if path.exists() else 0


@pytest.mark.parametrize(
    ("seed", "most"),
    [(0, 2), *(pytest.param(seed, 6, marks=pytest.mark.slow) for seed in range(1, 20))],
)
def test_a_killed_fit_goes_on_to_the_same_numbers(planted, small, tmp_path, seed, most):
    """SIGKILL at random moments, again and again, until the fit gets through."""
    config = dataclasses.replace(small, epochs=6, targets="per_target")
    whole = fit(planted, config, tmp_path / "whole")
    (tmp_path / "config.json").write_text(json.dumps(config.to_json()))
    folder, rng, kills = tmp_path / "run", random.Random(seed), 0
    while not (folder / "model.safetensors").exists():
        started = folder / "config.json"
        options = ["--resume", folder] if started.exists() else ["--run", folder]
        if not started.exists():
            options += ["--config", tmp_path / "config.json"]
        child = Child(["fit", "--cache", planted.root, *options], tmp_path)
        # Killed after a few epochs and a random moment, so many times at most.
        if kills < most:
            epochs = rng.randint(1, 4) + count_lines(folder / "metrics.jsonl")
            while not child.ended() and count_lines(folder / "metrics.jsonl") < epochs:
                time.sleep(0.002)
            time.sleep(rng.uniform(0, 0.1))
            child.signal(signal.SIGKILL)
        result = child.result()
        kills += result is None
        assert result is None or result["code"] == 0, result
        assert result is None or (folder / "model.safetensors").exists(), result
    assert kills
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert stripped([Epoch(**record) for record in records]) == stripped(whole.epochs)
    weights = [f / "model.safetensors" for f in (folder, whole.run_dir)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_a_fit_that_diverges_later_keeps_the_weights_of_the_epoch_before(planted, small, tmp_path):
    folder = stopped_run(
        planted, quick(small, schedule="cosine", warmup_epochs=0), tmp_path / "run"
    )
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "learning_rate": 1e30}))
    checkpoint = (folder / "checkpoint.safetensors").read_bytes()
    with pytest.raises(
        TrainingDivergedError, match=r"in epoch 2, .*keeps the checkpoint of epoch 1"
    ):
        resume(planted, folder)
    assert (folder / "checkpoint.safetensors").read_bytes() == checkpoint
    assert not (folder / "model.safetensors").exists()


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
