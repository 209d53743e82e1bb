"""`vapipe runs` lists, chooses, orders and compares runs, whatever state they are in."""

import csv
import io
import json
import shutil

import pytest
from terminal import vapipe_


@pytest.fixture
def scores(runs):
    return {
        name: json.loads((runs / name / "evaluation-validation.json").read_text())
        for name in ("one", "two", "voice")
    }


def test_runs_are_a_table_of_scores_and_of_what_they_are(runs, scores):
    result = vapipe_("runs", runs)
    assert result.exit_code == 0
    heading, *lines, common, _ = result.stdout.splitlines()
    assert heading.split()[:5] == ["run", "valence", "arousal", "mean", "head"]
    assert len(lines) == 3
    for line, name in zip(lines, ("one", "two", "voice"), strict=True):
        ccc = scores[name]["ccc"]
        shown = [f"{ccc[target]:.3f}" for target in ("valence", "arousal", "mean")]
        assert line.split()[:4] == [str(runs / name), *shown]
        assert line.index(shown[0]) == heading.index("valence")
    key = json.loads((runs / "one" / "cache.json").read_text())["streams"]["audio"]["key"]
    assert f"audio=logmel@{key[:8]}" in lines[2]
    assert common.startswith("all: variant official; split stored; targets joint")
    assert vapipe_("runs", "list", runs).stdout == result.stdout
    assert vapipe_("runs", runs / "one", runs / "two").stdout.count(str(runs)) == 2


def listed(*words):
    result = vapipe_("runs", *words, "--json")
    assert result.exit_code == 0, result.output
    return [run["path"].rpartition("/")[2] for run in json.loads(result.stdout)["runs"]]


def test_json_and_csv_hold_what_a_script_needs(runs, scores):
    found = json.loads(vapipe_("runs", runs, "--json").stdout)["runs"]
    assert [run["path"] for run in found] == [str(runs / n) for n in ("one", "two", "voice")]
    assert {run["state"] for run in found} == {"finished"}
    assert [run["seed"] for run in found] == [0, 1, 0]
    assert found[2]["streams"].keys() == {"audio"}
    assert found[0]["options"]["learning_rate"] == 1e-3
    table = list(csv.DictReader(io.StringIO(vapipe_("runs", runs, "--csv").stdout)))
    for row, name in zip(table, ("one", "two", "voice"), strict=True):
        assert row["run"] == str(runs / name)
        assert float(row["mean"]) == scores[name]["ccc"]["mean"]
        assert (row["window"], row["learning_rate"]) == ("20", "0.001")
    assert table[2]["streams.video"] == ""
    assert vapipe_("runs", runs, "--csv", "--json").exit_code == 2


@pytest.mark.parametrize(
    ("conditions", "left"),
    [
        (["head=grjca"], ["one", "two"]),
        (["head=*jca", "seed>0"], ["two"]),
        (["seed<1"], ["one", "voice"]),
        (["streams.video=*"], ["one", "two"]),
        (["window=20"], ["one", "two", "voice"]),
        (["head=nothing"], []),
        (["state<5"], []),
    ],
)
def test_runs_are_chosen_by_any_column_or_option(runs, conditions, left):
    words = [word for condition in conditions for word in ("--where", condition)]
    assert listed(runs, *words) == left
    if not left:
        assert "none of the runs meets" in vapipe_("runs", runs, *words).stdout


def test_runs_are_ordered_by_any_column(runs, scores):
    best = sorted(scores, key=lambda name: -scores[name]["ccc"]["mean"])
    assert listed(runs, "--sort", "mean") == best
    assert listed(runs, "--sort", "head") == ["voice", "one", "two"]
    assert listed(runs, "--sort", "streams.video")[2] == "voice"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sort", "haed"], "no run has a column `haed`; did you mean `head`?"),
        (["--where", "haed=grjca"], "no run has a column `haed`; did you mean `head`?"),
        (["--where", "head"], "--where head: expected COLUMN=PATTERN"),
        (["--where", "mean>high"], "--where mean>high: expected COLUMN=PATTERN"),
    ],
)
def test_mistyped_columns_and_conditions_are_usage_errors(runs, words, said):
    result = vapipe_("runs", runs, *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_comparison_says_what_differs_and_what_it_did(runs, scores):
    text = vapipe_("runs", "compare", runs / "one", runs / "two").stdout
    rows = {line[:14].strip(): line[14:].split() for line in text.splitlines()}
    one, two = scores["one"]["ccc"]["mean"], scores["two"]["ccc"]["mean"]
    assert rows["CCC mean"] == [f"{one:.3f}", f"{two:.3f}", f"({two - one:+.3f})"]
    better = sum(
        sum(scores["two"]["per_video"][v].values()) > sum(own.values())
        for v, own in scores["one"]["per_video"].items()
    )
    assert rows["videos better"] == ["-", str(better), "of", "1"]
    assert rows["seed"] == ["0", "1"]
    assert list(rows)[-1] == "seed"  # nothing else differs
    found = json.loads(vapipe_("runs", "compare", runs / "one", runs / "voice", "--json").stdout)
    assert found["options"]["head"] == ["grjca", "concat"]
    assert found["options"]["streams.video"][1] is None
    assert "seed" not in found["options"]
    assert found["scores"]["mean"] == [one, scores["voice"]["ccc"]["mean"]]
    same = vapipe_("runs", "compare", runs / "one", runs / "one").stdout
    assert "no option differs" in same
    assert "different data" not in same
    assert vapipe_("runs", "compare", runs / "one").exit_code == 2


def test_runs_on_other_data_are_not_compared_in_silence(runs, tmp_path):
    shutil.copytree(runs / "one", tmp_path / "moved")
    cache = json.loads((tmp_path / "moved" / "cache.json").read_text())
    for changed, shown in (
        ({"path": "elsewhere", "digest": "0" * 64}, "elsewhere"),
        ({"videos": {"train": ["a"], "validation": []}}, "validation videos"),
    ):
        (tmp_path / "moved" / "cache.json").write_text(json.dumps({**cache, **changed}))
        text = vapipe_("runs", "compare", runs / "one", tmp_path / "moved").stdout
        assert "these scores are of different data" in text
        assert shown in text
    other_streams = vapipe_("runs", "compare", runs / "one", runs / "voice").stdout
    assert "different data" not in other_streams


def test_an_unfinished_or_damaged_run_does_not_hide_the_others(runs, tmp_path):
    for name in ("one", "two", "voice"):
        shutil.copytree(runs / name, tmp_path / name)
    (tmp_path / "one" / "model.safetensors").unlink()
    (tmp_path / "two" / "config.json").write_text("{")
    lines = vapipe_("runs", tmp_path).stdout.splitlines()
    shown = {line.split()[0]: line.split()[1] for line in lines[:4]}
    assert shown[str(tmp_path / "one")] == "unfinished"
    assert shown[str(tmp_path / "two")] == "unreadable"
    assert float(shown[str(tmp_path / "voice")]) <= 1
    assert any(
        line.startswith(f"{tmp_path / 'two'}: unreadable (JSONDecodeError") for line in lines
    )
    assert listed(tmp_path, "--sort", "mean")[0] == "voice"
    result = vapipe_("runs", "compare", tmp_path / "one", tmp_path / "two")
    assert result.exit_code == 1
    assert "two is no run that can be compared: unreadable" in result.stderr


def test_a_folder_without_runs_says_how_to_make_some(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "vapipe-runs: no such folder of runs; `vapipe fit` makes runs" in vapipe_("runs").stderr
    result = vapipe_("runs", tmp_path)
    assert result.exit_code == 1
    assert "no run in it; `vapipe fit` makes runs" in result.stderr
