"""Curves under damage, and gates, stay with the run that they are of."""

import json
import shutil

import numpy as np
import pytest
from terminal import vapipe_

from vapipe.cache import ConfigError
from vapipe.fusion import Corruption, evaluate
from vapipe.fusion.evaluation.gates import read_gates
from vapipe.fusion.evaluation.robustness import read_points, record_points


@pytest.fixture
def run(fitted, tmp_path):
    """A copy of a finished run, to be written into."""
    return shutil.copytree(fitted.run_dir, tmp_path / "run")


def evaluate_(run, planted, *words):
    result = vapipe_("evaluate", run, "--cache", planted.root, "--device", "cpu", *words)
    assert result.exit_code == 0, result.output
    return result


def test_the_command_keeps_each_point_once(run, planted):
    assert read_points(run, "validation") == []
    evaluate_(run, planted, "--corrupt", "drop-audio=0,1")
    evaluate_(run, planted, "--corrupt", "drop-audio=1,0.5", "--corrupt", "noise-video=1", "--json")
    points = read_points(run, "validation")
    damage = [(p["corruption"]["kind"], p["corruption"]["severity"]) for p in points]
    assert damage == [
        ("drop-audio", 0), ("drop-audio", 1), ("drop-audio", 0.5), ("noise-video", 1)
    ]  # fmt: skip
    direct = evaluate(run, planted, device="cpu", corruption=Corruption("drop-audio", 0.5))
    assert points[2]["ccc"] == direct.ccc
    assert points[2]["ccc_interval"] == {n: list(pair) for n, pair in direct.intervals.items()}
    recorded = json.loads((run / "evaluation-validation.json").read_text())
    assert points[0]["ccc"] == pytest.approx(recorded["ccc"])
    assert read_points(run, "train") == []


def test_smoothed_points_and_other_seeds_are_points_of_their_own(run, planted):
    results = [
        evaluate(run, planted, device="cpu", corruption=Corruption("drop-video", 0.5, seed), **more)
        for seed, more in ((0, {}), (1, {}), (0, {"smoothing": 0.4}))
    ]
    record_points(run, results)
    assert len(read_points(run, "validation")) == 3
    record_points(run, results[:1])
    assert len(read_points(run, "validation")) == 3


@pytest.mark.parametrize("text", ["", "{}", '{"points": [{}]}', '{"points": 3}', "[]"])
def test_curves_that_cannot_be_read_say_how_to_measure_again(run, text):
    (run / "robustness-test.json").write_text(text)
    with pytest.raises(ConfigError, match=r"remove it, and `vapipe evaluate .* --corrupt"):
        read_points(run, "test")


def test_gates_of_an_older_run_are_made_by_the_command(run, planted):
    before = read_gates(run, "validation")
    (run / "gates-validation.safetensors").unlink()
    evaluate_(run, planted, "--gates")
    after = read_gates(run, "validation")
    assert after.groups == before.groups
    for video, values in before.values.items():
        assert np.allclose(after.values[video], values, atol=2e-3)
    evaluate_(run, planted, "--gates", "--partition", "train", "--json")
    assert len(read_gates(run, "train").values) == 6


def test_gates_and_damage_do_not_go_together(run, planted):
    result = vapipe_("evaluate", run, "--corrupt", "drop-audio=0", "--gates")
    assert result.exit_code == 2
    assert "leave out --out, --per-video and --gates" in result.stderr
