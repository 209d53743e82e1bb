"""The first thing that anybody types works, and shows what fusion is for."""

import re

import numpy as np
import pytest
from caches import add_video, make_cache
from terminal import vapipe_

from vapipe.cli import main
from vapipe.demo.steps import plan_steps


@pytest.mark.slow  # four minutes on two cores
def test_the_demo_learns_and_leaves_a_report(tmp_path):
    result = vapipe_("demo", "--folder", tmp_path / "demo")
    assert result.exit_code == 0, result.output
    evaluated = result.stdout[result.stdout.index("$ vapipe evaluate") :]
    mean = re.search(r"mean\s+(0\.\d+)", evaluated)
    assert mean, evaluated
    assert float(mean[1]) > 0.7
    page = tmp_path / "demo" / "runs" / "grjca-1" / "report.html"
    assert page.stat().st_size > 1e6  # the plotting library is in it
    assert str(page) in result.stdout


def steps_run(monkeypatch, tmp_path, capsys, steps):
    """Exit code and output of a demo of other commands, without clips."""
    monkeypatch.setattr("vapipe.demo.dataset.write_demo_set", lambda *_, **__: [])
    monkeypatch.setattr("vapipe.demo.steps.plan_steps", lambda *_, **__: steps)
    try:
        main(["demo", "--folder", str(tmp_path)], "vapipe")
    except SystemExit as end:
        return end.code or 0, capsys.readouterr().out


def test_every_step_is_run_and_said(monkeypatch, tmp_path, capsys):
    code, said = steps_run(
        monkeypatch, tmp_path, capsys, [["heads"], ["streams"], ["weights", "list"]]
    )
    assert code == 0
    places = [said.index(f"$ vapipe {name}") for name in ("heads", "streams", "weights list")]
    assert places == sorted(places)
    assert "the demo took" in said[places[-1] :]


def test_a_step_that_fails_ends_it_with_its_code(monkeypatch, tmp_path, capsys):
    absent = ["evaluate", str(tmp_path / "none")]
    code, said = steps_run(monkeypatch, tmp_path, capsys, [absent, ["streams"]])
    assert code == 1
    assert "$ vapipe streams" not in said


def test_a_repeated_demo_fits_its_own_streams_whatever_else_the_cache_holds(tmp_path):
    make_cache(tmp_path / "cache")
    rng = np.random.default_rng(0)
    for video, partition in (("a", "train"), ("b", "validation")):
        features = {name: rng.normal(size=(30, 3)) for name in ("onet", "logmel", "vad", "egemaps")}
        labels = rng.uniform(-1, 1, (30, 2)).astype(np.float32)
        add_video(tmp_path / "cache", video, features, labels=labels, partition=partition)
    _, fit, *_ = plan_steps(tmp_path, head="concat", seed=0, device="auto")
    result = vapipe_(*fit, "--set", "epochs=1", "--set", "tcn_channels.video=[4]")
    assert result.exit_code == 0, result.output
    assert "on video=onet, audio=logmel" in result.stdout
