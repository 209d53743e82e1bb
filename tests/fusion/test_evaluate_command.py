"""`vapipe evaluate` as users type it: tables of 80 columns, JSON, curves, and what it refuses."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
from terminal import vapipe_

from vapipe.fusion import evaluate, fit, load_run
from vapipe.fusion.evaluation.corruption import KINDS


@pytest.fixture(scope="module")
def runs(planted, small, fitted, tmp_path_factory):
    """Two runs that commands may write into, the second with a long name and without sound."""
    folder = tmp_path_factory.mktemp("command") / "a-run-with-a-long-name"
    first = shutil.copytree(fitted.run_dir, folder.parent / fitted.run_dir.name)
    config = dataclasses.replace(
        small, epochs=3, head="concat", head_options={}, streams={"video": "onet"}
    )
    return first, fit(planted, config, folder).run_dir


@pytest.fixture
def command(planted):
    """Run `vapipe evaluate`; the result has .exit_code, .stdout and .stderr."""

    def invoke(*words):
        return vapipe_("evaluate", *words, "--cache", planted.root, "--device", "cpu")

    return invoke


def lines_of(result):
    assert result.exit_code == 0, result.stderr
    *lines, cache = result.stdout.splitlines()
    assert cache.startswith("cache: ")
    assert max(map(len, lines)) <= 80
    return lines


def cell(value, bounds):
    return f"{value:.3f} [{bounds[0]:.2f}, {bounds[1]:.2f}]"


def test_one_run_is_a_table_of_measures(command, runs, fitted):
    head, titles, *rows = lines_of(command(runs[0]))
    assert head == "validation: 2 videos, 225 annotated frames"
    assert titles.split() == ["valence", "arousal", "mean"]
    result = fitted.evaluation
    for target in result.ccc:
        assert cell(result.ccc[target], result.intervals[target]) in rows[0]
    assert rows[1].split() == ["MSE", *(f"{value:.4f}" for value in result.mse.values())]
    assert rows[2].split() == ["PCC", *(f"{value:.3f}" for value in result.pcc.values())]
    assert rows[3] == "[a, b]: 95 % interval over videos; 2 are few (below 30): rough"


def test_several_runs_stand_side_by_side_with_their_ensemble(command, runs, planted):
    lines = lines_of(command(*runs, "--ensemble", "ccc", "--smooth", 0.2))
    assert lines[1].split() == ["CCC", "valence", "arousal", "mean"]
    first = evaluate(load_run(runs[0], "cpu"), planted, smoothing=0.2)
    assert lines[2].startswith("  run ")
    assert cell(first.ccc["mean"], first.intervals["mean"]) in lines[2]
    assert lines[3] == "  a-run-with-a-long-name"
    assert lines[5].startswith("  ensemble-ccc ")
    assert "shares         valence               arousal" in lines
    assert "smoothed: centred moving average over 0.2 s" in lines
    text = " ".join(" ".join(lines).split())
    assert "note: 2 of the 2 videos decided the shares of the runs" in text


def test_json_holds_everything(command, runs, planted, fitted):
    alone = json.loads(command(runs[0], "--json").stdout)
    assert alone.pop("cache") == str(planted.root)
    assert alone == fitted.evaluation.to_json()
    both = json.loads(command(*runs, "--ensemble", "mean", "--json").stdout)["evaluations"]
    assert list(both) == ["run", "a-run-with-a-long-name", "ensemble-mean"]
    assert both["run"] == alone
    assert both["ensemble-mean"]["ensemble"]["method"] == "mean"
    smoothed = json.loads(command(runs[0], "--json", "--smooth", 0.2).stdout)
    assert smoothed["smoothing"]["seconds"] == 0.2


def test_videos_are_listed_for_each_run(command, runs):
    lines = lines_of(command(*runs, "--per-video"))
    assert sum(line.startswith("  video6: valence") for line in lines) == 2
    assert lines.count("a-run-with-a-long-name") == 1


def test_several_runs_are_written_into_a_folder_each(command, runs, tmp_path):
    command(*runs, "--ensemble", "mean", "--out", tmp_path)
    for name in ("run", "a-run-with-a-long-name", "ensemble-mean"):
        written = json.loads((tmp_path / name / "evaluation-validation.json").read_text())
        assert written["partition"] == "validation"
        assert len(list((tmp_path / name / "predictions/validation").iterdir())) == 2


def test_the_record_of_a_run_is_not_replaced(command, runs):
    before = (runs[0] / "evaluation-validation.json").read_bytes()
    result = command(runs[0], "--smooth", 1, "--out", runs[0])
    assert result.exit_code == 1
    assert "is a run folder, and its record of the validation" in result.stderr
    assert (runs[0] / "evaluation-validation.json").read_bytes() == before


def test_curves_show_every_severity_of_every_run(command, runs, fitted):
    words = ("--corrupt", "drop-audio=0,0.5,1", "--corrupt", "shift-audio=-3", "--seed", 4)
    lines = lines_of(command(*runs, *words))
    assert lines[2] == "drop-audio: share of the frames without audio (seed 4); CCC"
    assert "shift-audio: frames by which the audio comes late (seed 4); CCC" in lines
    clean = next(line for line in lines if line.startswith("  0 "))
    target = cell(fitted.evaluation.ccc["mean"], fitted.evaluation.intervals["mean"])
    assert target in clean
    assert sum(line.startswith("  0.5 ") for line in lines) == 2
    assert sum(line.startswith("  -3 ") for line in lines) == 2
    points = json.loads(command(*runs, *words, "--json").stdout)["curves"]
    assert len(points) == 2 * 3 + 2 * 1
    assert points[0]["run"] == "run"
    assert points[0]["corruption"] == {"kind": "drop-audio", "severity": 0.0, "seed": 4}
    assert points[0]["ccc"] == fitted.evaluation.ccc
    deaf = [point["ccc"] for point in points if point["run"] == "a-run-with-a-long-name"]
    assert all(ccc == deaf[0] for ccc in deaf)


def test_the_documentation_knows_every_kind_and_its_snippet_runs(
    planted, runs, tmp_path, monkeypatch
):
    text = (Path(__file__).resolve().parents[2] / "docs/evaluation.md").read_text()
    assert all(f"`{kind}`" in text for kind in KINDS)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vapipe-cache").symlink_to(planted.root)
    (tmp_path / "vapipe-runs").mkdir()
    for number, run in enumerate(runs):
        (tmp_path / "vapipe-runs" / str(number)).symlink_to(run)
    names = {}
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
    exec(code, names)
    assert sorted(names["results"]) == ["0", "1", "ensemble-mean"]
    assert sorted(names["damaged"]) == ["0", "1"]


def test_a_partition_that_was_trained_on_is_pointed_out(command, runs):
    text = " ".join(command(runs[0], "--partition", "train").stdout.split())
    assert "note: 6 of the 6 videos were trained on" in text


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (["--corrupt", "drop-audio=0", "--per-video"], "--corrupt shows curves only", 2),
        (["--corrupt", "drop-audio=0", "--out", "x"], "--corrupt shows curves only", 2),
        (["--corrupt", "drop-audio"], "expected KIND=SEVERITY", 1),
        (["--ensemble", "median"], "'median' is not one of 'mean', 'ccc', 'best'", 2),
        (["--smooth", "-1"], "smoothing takes a width in seconds, 0 or more; got -1", 1),
    ],
)
def test_what_cannot_be_is_one_message(command, runs, words, message, code):
    result = command(*runs, *words)
    assert result.exit_code == code
    assert message in result.stderr


def test_no_run_or_the_same_twice_is_refused(command, runs):
    assert command().exit_code == 2
    result = command(runs[0], runs[0])
    assert result.exit_code == 1
    assert "a run is given more than once" in result.stderr
