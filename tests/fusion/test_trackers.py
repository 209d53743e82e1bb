"""Trackers are told the very numbers of metrics.jsonl, also of a run that is gone on with."""

import json
import sys

import pytest
from fitted import planted as planted

from vapipe.errors import ConfigError, FitInterrupted
from vapipe.fusion import FitConfig, fit, resume

CONFIG = FitConfig(
    head="concat", epochs=3, window=20, stride=20, hidden=8, targets="joint",
    tcn_channels={"video": (8,), "audio": (8,)},
)  # fmt: skip


@pytest.fixture
def tracked(planted, tmp_path, monkeypatch):
    """tracked(name): a run stopped after two of three epochs and gone on with, and its losses."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())

    def run(name):
        def stop(epoch):
            if epoch.epoch == 2:
                raise KeyboardInterrupt

        with pytest.raises(FitInterrupted):
            fit(planted, CONFIG, tmp_path / "run", stop, trackers=[name])
        resume(planted, tmp_path / "run", CONFIG, trackers=[name])
        lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
        return tmp_path / "run", [json.loads(line)["loss"] for line in lines]

    return run


def test_tensorboard(tracked):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run, losses = tracked("tensorboard")
    events = accumulator.EventAccumulator(str(run / "tensorboard")).Reload()
    told = {event.step: event.value for event in events.Scalars("joint/loss")}
    assert told == {n: pytest.approx(loss, rel=1e-6) for n, loss in enumerate(losses, start=1)}
    assert {"joint/validation CCC/valence", "joint/validation loss"} <= {*events.Tags()["scalars"]}


def test_mlflow(tracked):
    mlflow = pytest.importorskip("mlflow")
    _, losses = tracked("mlflow")
    (found,) = mlflow.search_runs(output_format="list")
    told = mlflow.MlflowClient().get_metric_history(found.info.run_id, "joint/loss")
    assert {each.step: each.value for each in told} == dict(enumerate(losses, start=1))
    assert (found.info.status, found.data.params["head"]) == ("FINISHED", "concat")


def test_wandb(tracked):
    pytest.importorskip("wandb")
    run, losses = tracked("wandb")
    files = sorted((run / "wandb").glob("offline-run-*/*.wandb"))
    assert len({file.name for file in files}) == 1  # the same run, gone on with
    told = b"".join(file.read_bytes() for file in files)
    assert all(f"{loss}".encode() in told for loss in losses)
    assert b"joint/validation CCC/valence" in told


def test_a_tracker_that_is_not_installed_is_named_with_its_extra(planted, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"--track wandb needs the package wandb, .*pe\[wandb\]"):
        fit(planted, CONFIG, tmp_path / "run", trackers=["wandb"])
    with pytest.raises(ConfigError, match="no tracker `comet`; there are: tensorboard, wandb, mlf"):
        fit(planted, CONFIG, tmp_path / "other", trackers=["comet"])
