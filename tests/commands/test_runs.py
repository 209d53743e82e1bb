"""`vapipe runs` lists and compares runs, whatever state they are in."""

import json
import shutil

from terminal import vapipe_


def test_runs_are_listed_with_scores_streams_and_state(runs):
    result = vapipe_("runs", runs)
    assert result.exit_code == 0
    score = json.loads((runs / "one" / "evaluation-validation.json").read_text())["ccc"]
    assert f"{runs / 'one'}: CCC valence {score['valence']:.3f}" in result.stdout
    key = json.loads((runs / "one" / "cache.json").read_text())["streams"]["audio"]["key"]
    assert f"audio=logmel@{key[:8]}; split stored; seed 1;" in result.stdout
    assert "concat (official, joint) on audio=logmel@" in result.stdout
    assert vapipe_("runs", runs / "one").stdout.count("CCC") == 1


def test_json_holds_what_a_script_needs(runs):
    listed = json.loads(vapipe_("runs", runs, "--json").stdout)["runs"]
    assert [run["path"] for run in listed] == [str(runs / n) for n in ("one", "two", "voice")]
    assert {run["state"] for run in listed} == {"finished"}
    assert [run["seed"] for run in listed] == [0, 1, 0]
    assert listed[2]["streams"].keys() == {"audio"}


def test_runs_are_compared_by_the_options_that_differ(runs):
    text = vapipe_("runs", runs / "one", runs / "two").stdout
    assert text.splitlines()[-2:] == ["option  one  two", "seed    0    1"]
    found = json.loads(vapipe_("runs", runs / "one", runs / "voice", "--json").stdout)
    assert found["differences"]["head"] == ["grjca", "concat"]
    assert found["differences"]["streams.video"][1] is None
    assert "seed" not in found["differences"]
    assert "no option differs" in vapipe_("runs", runs / "one", runs / "one").stdout


def test_an_unfinished_or_damaged_run_does_not_hide_the_others(runs, tmp_path):
    for name in ("one", "two", "voice"):
        shutil.copytree(runs / name, tmp_path / name)
    (tmp_path / "one" / "model.safetensors").unlink()
    (tmp_path / "two" / "config.json").write_text("{")
    text = vapipe_("runs", tmp_path).stdout
    assert f"{tmp_path / 'one'}: unfinished" in text
    assert f"{tmp_path / 'two'}: unreadable (JSONDecodeError" in text
    assert f"{tmp_path / 'voice'}: CCC" in text
    result = vapipe_("runs", tmp_path / "one", tmp_path / "two")
    assert result.exit_code == 1
    assert "two is no run that can be compared: unreadable" in result.stderr


def test_a_folder_without_runs_says_how_to_make_some(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "vapipe-runs: no such folder of runs; `vapipe fit` makes runs" in vapipe_("runs").stderr
    result = vapipe_("runs", tmp_path)
    assert result.exit_code == 1
    assert "no run in it; `vapipe fit` makes runs" in result.stderr
