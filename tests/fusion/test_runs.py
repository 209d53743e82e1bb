"""Run folders explain themselves: the model card, and what lists and comparisons are made of."""

import dataclasses
import hashlib
import json
import shutil

import pytest

from vapipe.cache import ConfigError
from vapipe.fusion import describe_head, fit, load_run, resume
from vapipe.fusion.evaluation.predict import complete_items, load_runs, predict_items
from vapipe.fusion.papers.fits import FitTask, run_fits
from vapipe.fusion.runs.compare import compare_runs
from vapipe.fusion.runs.folder import require_configs
from vapipe.fusion.runs.listing import RunSummary, find_runs, summarise_run


def test_the_card_names_features_scores_weights_and_the_way_to_use_it(planted, fitted):
    card = (fitted.run_dir / "README.md").read_text()
    assert f"# {fitted.run_dir.name}" in card
    assert f"head grjca (official), {fitted.parameters:,} parameters" in card
    for stream in ("onet", "logmel"):
        assert f"| {stream} | {planted.dim(stream)} | - | `{planted.key(stream)}` |" in card
    for target, value in fitted.evaluation.ccc.items():
        assert any(
            line.startswith(f"| {target} |") and line.endswith(f"| {value:.3f} |")
            for line in card.splitlines()
        )
    digest = hashlib.sha256((fitted.run_dir / "model.safetensors").read_bytes()).hexdigest()
    assert digest in card
    assert f"vapipe predict {fitted.run_dir} clip.mp4" in card
    assert "6 training items and 2 validation items (split stored)" in card
    assert "## Licence" in card


def test_a_run_keeps_what_its_streams_keys_are_digests_of(planted, fitted):
    run = load_run(fitted.run_dir, "cpu")
    assert [facts["config"] for facts in require_configs(run)] == [
        planted.config("onet"),
        planted.config("logmel"),
    ]
    del run.streams["video"]["config"]
    with pytest.raises(ConfigError, match=r"does not say how its streams onet are made.*fit again"):
        require_configs(run)


def test_a_run_says_when_it_began(fitted):
    environment = json.loads((fitted.run_dir / "environment.json").read_text())
    assert environment["started"].endswith("+00:00")
    assert summarise_run(fitted.run_dir).started == environment["started"]


def test_runs_of_earlier_versions_are_dated_by_their_files(fitted, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(fitted.run_dir, path)
    environment = json.loads((path / "environment.json").read_text())
    del environment["started"]
    (path / "environment.json").write_text(json.dumps(environment))
    assert summarise_run(path).started.endswith("+00:00")


def without_equations(run_dir, path):
    """A copy of a run as earlier versions wrote it."""
    shutil.copytree(run_dir, path)
    environment = json.loads((path / "environment.json").read_text())
    assert environment.pop("head_revision") == describe_head("grjca").revision
    environment["vapipe"] = "0.0.9"
    (path / "environment.json").write_text(json.dumps(environment))
    return path


def test_runs_with_earlier_equations_of_a_head_are_refused(planted, fitted, tmp_path):
    path = without_equations(fitted.run_dir, tmp_path / "run")
    message = r"run was trained by vapipe 0.0.9 with other equations of head grjca \(revision 1, "
    with pytest.raises(ConfigError, match=message):
        load_run(path)
    config = load_run(fitted.run_dir).config
    task = FitTask("grjca", config, path, planted.root, threads=1, videos=(6, 2))
    with pytest.raises(ConfigError, match=message):
        run_fits([task], jobs=1, report=lambda result: None)
    (path / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=message):
        resume(planted, path)
    (path / "environment.json").unlink()
    with pytest.raises(ConfigError, match=r"cannot read .*environment.json .*which head"):
        load_run(path)


def test_runs_of_heads_that_stayed_the_same_are_read(planted, small, fitted, tmp_path):
    config = dataclasses.replace(small, head="concat", head_options={}, epochs=1)
    run_dir = fit(planted, config, tmp_path / "concat").run_dir
    file = run_dir / "environment.json"
    environment = json.loads(file.read_text())
    assert environment.pop("head_revision") == 1
    file.write_text(json.dumps(environment))
    assert load_run(run_dir).config.head == "concat"


def test_a_fold_is_part_of_the_split(fitted, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(fitted.run_dir, path)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**config, "split": "aff-wild2", "fold": 3}))
    assert summarise_run(path).split == "aff-wild2, fold 3"
    found = compare_runs([fitted.run_dir, path]).options
    assert found["fold"] == [0, 3]
    assert found.keys() == {"split", "fold"}


def test_folders_of_runs_are_searched_below(fitted, tmp_path):
    for name in ("b", "a/c"):
        shutil.copytree(fitted.run_dir, tmp_path / name)
    (tmp_path / "config.json").write_text("{}")  # of something else
    assert find_runs(tmp_path) == [tmp_path / "a/c", tmp_path / "b"]
    assert find_runs(tmp_path / "b") == [tmp_path / "b"]
    assert isinstance(summarise_run(tmp_path), RunSummary)
    assert summarise_run(tmp_path).state.startswith("unreadable (FileNotFoundError")


def test_predictions_of_items_are_those_of_the_evaluation(planted, fitted):
    runs = load_runs([fitted.run_dir], "cpu")
    complete, lacking = complete_items(runs, planted)
    assert complete == planted.videos()
    assert not lacking
    predictions = predict_items(runs, planted, complete)
    for video, values in fitted.evaluation.predictions.items():
        assert (predictions[video] == values).all()
