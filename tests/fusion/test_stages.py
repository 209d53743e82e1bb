"""Training in stages: weights from an earlier run, parts that stay frozen, the best restored."""

import dataclasses
import json
import shutil

import pytest
import torch
from fitted import quick, stop_fit, weights_of
from safetensors.torch import load_file

from vapipe.errors import ConfigError
from vapipe.fusion import fit, resume
from vapipe.fusion.data.plan import plan_fit
from vapipe.fusion.training.checkpoint import read_checkpoint


def weights(run_dir):
    return load_file(run_dir / "model.safetensors")


def changed(before, after):
    """Names of tensors that differ, without the name of the network."""
    return {name.split(".", 2)[2] for name in before if not torch.equal(before[name], after[name])}


@pytest.mark.parametrize(
    "frozen", [("encoders.video",), ("encoders", "head"), ("regressor",), ("encoders.audio.tcn",)]
)
def test_frozen_parts_do_not_change_and_the_others_do(planted, small, fitted, tmp_path, frozen):
    config = quick(small, init_from=str(fitted.run_dir), freeze=frozen, weight_decay=0.1)
    begun = weights(fitted.run_dir)
    differing = changed(begun, weights(fit(planted, config, tmp_path / "run").run_dir))
    inside = {n for n in differing if any(n.startswith(f"{part}.") for part in frozen)}
    assert not inside
    trained = {n.split(".", 2)[2] for n in begun} - inside
    trained = {n for n in trained if not any(n.startswith(f"{part}.") for part in frozen)}
    # All that is left is trained; the normalisation of features is that of the earlier run.
    still = {n for n in trained - differing if not n.endswith((".mean", ".std"))}
    assert not still


def test_a_fit_begins_with_the_weights_of_the_run_and_says_so(planted, small, fitted, tmp_path):
    config = quick(small, init_from=str(fitted.run_dir), learning_rate=1e-12, epochs=1)
    (note,) = [n for n in plan_fit(planted, config).notes if "starts from" in n]
    assert "joint.encoders.video, joint.encoders.audio, joint.head, joint.regressor" in note
    assert "anew" not in note
    again = fit(planted, config, tmp_path / "run")
    assert again.epochs[0].ccc["mean"] == pytest.approx(fitted.evaluation.ccc["mean"], abs=0.05)
    card = (again.run_dir / "README.md").read_text()
    assert f"Started from the weights of {fitted.run_dir}." in card


def test_only_what_fits_by_name_and_shape_is_taken(planted, small, fitted, tmp_path):
    config = quick(small, head="lfan", head_options={}, init_from=str(fitted.run_dir), hidden=8)
    config = dataclasses.replace(config, regressor="mlp", tcn_norm=False)
    (note,) = [n for n in plan_fit(planted, config).notes if "starts from" in n]
    assert note.endswith(
        "joint.encoders.video, joint.encoders.audio, joint.regressor (2 of 9 tensors); "
        "anew: joint.head"
    )
    frozen = dataclasses.replace(config, freeze=("encoders",))
    after = weights(fit(planted, frozen, tmp_path / "run").run_dir)
    begun = weights(fitted.run_dir)
    for name in after:
        if ".encoders." in name:
            assert torch.equal(after[name], begun[name]), name


def test_what_cannot_begin_a_fit_is_refused(planted, small, fitted, tmp_path):
    with pytest.raises(ConfigError, match=r"init_from: cannot read .*nowhere.*a finished run"):
        plan_fit(planted, quick(small, init_from=str(tmp_path / "nowhere")))
    apart = quick(small, init_from=str(fitted.run_dir), targets="per_target")
    with pytest.raises(ConfigError, match=r"init_from: none of the \d+ tensors .*valence.head"):
        plan_fit(planted, apart)
    with pytest.raises(ConfigError, match=r"no part `encoder`; parts: encoders, encoders.video, "):
        plan_fit(planted, quick(small, freeze=("encoder",)))
    with pytest.raises(ConfigError, match="head, regressor, encoders is all of the network"):
        plan_fit(planted, quick(small, freeze=("head", "regressor", "encoders")))
    assert not (tmp_path / "run").exists()


def test_weights_of_another_revision_of_a_head_begin_nothing(planted, small, fitted, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(fitted.run_dir, old)
    environment = json.loads((old / "environment.json").read_text())
    (old / "environment.json").write_text(json.dumps({**environment, "head_revision": 0}))
    with pytest.raises(ConfigError, match=r"old was trained by .* other equations of head grjca"):
        fit(planted, quick(small, init_from=str(old)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_makes_a_start_doubtful_is_noted(planted, small, fitted, tmp_path):
    notes = plan_fit(planted, quick(small, freeze=("head",))).notes
    assert "head keeps its random start: init_from names no run" in notes
    assert plan_fit(planted, quick(small, init_from=str(fitted.run_dir))).notes[1:] == []
    swapped = tmp_path / "split.csv"
    swapped.write_text(
        "video,partition\n"
        + "".join(
            f"{v},{'validation' if v in ('video0', 'video1') else 'train'}\n"
            for v in planted.videos()
        )
    )
    config = quick(small, init_from=str(fitted.run_dir), split=str(swapped))
    assert any("trained on 2 of 2 validation videos" in n for n in plan_fit(planted, config).notes)


def test_an_epoch_that_was_no_better_is_undone(planted, small, tmp_path):
    """After every epoch the network has the best weights; at_end it goes on from the last."""
    config = quick(small, epochs=10, learning_rate=0.2, warmup_epochs=0, restore_best="each_epoch")
    seen = []

    def look(epoch):
        _, saved = read_checkpoint(tmp_path / "run")
        best = {n.removeprefix("networks.joint."): v for n, v in saved["model"].items()}
        seen.append((epoch.best, all(torch.equal(best[n], v) for n, v in saved["best"].items())))

    undone = fit(planted, config, tmp_path / "run", look)
    assert {best for best, _ in seen} == {True, False}
    assert all(same for _, same in seen)
    went_on = fit(planted, dataclasses.replace(config, restore_best="at_end"), tmp_path / "on")
    first = [epoch.best for epoch in undone.epochs].index(False) + 1
    losses = [[epoch.loss for epoch in run.epochs] for run in (undone, went_on)]
    assert losses[0][:first] == losses[1][:first]
    assert losses[0][first] != losses[1][first]


@pytest.mark.parametrize("clip", [0.0, 1e9, 1e-3])
def test_clipping_is_recorded_and_zero_switches_it_off(planted, small, tmp_path, clip):
    run = fit(planted, quick(small, clip_norm=clip), tmp_path / "run")
    assert [epoch.clipped for epoch in run.epochs] == [float(clip == 1e-3)] * 2
    assert all(epoch.gradient_norm > 1e-3 for epoch in run.epochs)
    lines = (run.run_dir / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["clipped"] for line in lines] == [e.clipped for e in run.epochs]
    if clip == 0:
        free = fit(planted, quick(small, clip_norm=1e9), tmp_path / "free")
        assert weights(free.run_dir).keys() == weights(run.run_dir).keys()
        assert not changed(weights(free.run_dir), weights(run.run_dir))


@pytest.mark.parametrize("missing", ["zero", "exclude"])
def test_with_all_of_it_an_interrupted_fit_goes_on_to_the_same_numbers(
    planted, small, fitted, tmp_path, missing
):
    config = quick(
        small,
        epochs=4,
        init_from=str(fitted.run_dir),
        freeze=("encoders.video.tcn", "head"),
        restore_best="each_epoch",
        missing=missing,
        loss_ddof=1,
        clip_norm=0,
        learning_rate=0.02,
        warmup_epochs=1,
        plateau_patience=0,
        modality_dropout=0.2,
    )
    whole = fit(planted, config, tmp_path / "whole")
    assert not all(epoch.best for epoch in whole.epochs)
    for stop in range(1, 4):
        folder = stop_fit(planted, config, tmp_path / f"stopped-{stop}", stop)
        resumed = resume(planted, folder)
        assert weights_of(folder) == weights_of(whole.run_dir)
        for ours, theirs in zip(resumed.epochs, whole.epochs, strict=True):
            assert dataclasses.replace(ours, seconds=0) == dataclasses.replace(theirs, seconds=0)


def test_a_fit_does_not_go_on_when_its_first_weights_have_changed(planted, small, tmp_path):
    first = fit(planted, quick(small, epochs=1), tmp_path / "first")

    stop_fit(planted, quick(small, init_from=str(first.run_dir)), tmp_path / "run")
    other = fit(planted, quick(small, epochs=1, seed=1), tmp_path / "other")
    (first.run_dir / "model.safetensors").write_bytes(weights_of(other.run_dir))
    with pytest.raises(ConfigError, match="has changed since the run"):
        resume(planted, tmp_path / "run")
