"""Fits that are interrupted or killed go on to the same numbers, or say why they cannot."""

import dataclasses
import json
import random
import signal
import time

import pytest
import torch
from children import Child
from fitted import quick, stop_fit, weights_of

from vapipe.cache import ConfigError
from vapipe.errors import TrainingDivergedError
from vapipe.fusion import Epoch, fit, resume


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
        folder = stop_fit(planted, config, tmp_path / f"stopped-{stop}", stop)
        torch.manual_seed(stop)  # the state of the process that goes on is another
        again = []
        resumed = resume(planted, folder, progress=again.append)
        assert len(again) == len(whole.epochs) - stop
        assert stripped(resumed.epochs) == stripped(whole.epochs)
        assert resumed.evaluation.ccc == whole.evaluation.ccc
        assert weights_of(folder) == weights_of(whole.run_dir)
        assert not (folder / "checkpoint.safetensors").exists()


def stripped(epochs):
    return [dataclasses.replace(epoch, seconds=0) for epoch in epochs]


def test_resuming_what_cannot_be_resumed_is_refused(planted, small, tmp_path, fitted, make_store):
    config = quick(small)
    folder = stop_fit(planted, config, tmp_path / "run")
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
    folder = stop_fit(planted, config, tmp_path / "run")
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
    assert weights_of(folder) == weights_of(whole.run_dir)


def test_a_fit_that_diverges_later_keeps_the_weights_of_the_epoch_before(planted, small, tmp_path):
    folder = stop_fit(planted, quick(small, schedule="cosine", warmup_epochs=0), tmp_path / "run")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "learning_rate": 1e30}))
    checkpoint = (folder / "checkpoint.safetensors").read_bytes()
    with pytest.raises(
        TrainingDivergedError, match=r"in epoch 2, .*keeps the checkpoint of epoch 1"
    ):
        resume(planted, folder)
    assert (folder / "checkpoint.safetensors").read_bytes() == checkpoint
    assert not (folder / "model.safetensors").exists()
