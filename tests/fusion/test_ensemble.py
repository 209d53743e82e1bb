"""Ensembles: weights from the runs' own records, the same frames of all, optimism said."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from vapipe.cache import ConfigError
from vapipe.fusion import FitConfig, combine, compare, ensemble_weights, fit, load_run
from vapipe.fusion.evaluation.evaluate import name_runs


def write_record(folder, valence, arousal):
    folder.mkdir()
    record = {"ccc": {"valence": valence, "arousal": arousal, "mean": 0.0}}
    (folder / "evaluation-validation.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def recorded(tmp_path):
    """Three runs that say only how well they validated."""
    return {
        "a": write_record(tmp_path / "a", 0.6, 0.1),
        "b": write_record(tmp_path / "b", 0.2, 0.3),
        "c": write_record(tmp_path / "c", -0.4, 0.0),
    }


def test_weights_worked_out_by_hand(recorded):
    assert np.allclose(ensemble_weights("mean", recorded), 1 / 3)
    by_ccc = ensemble_weights("ccc", recorded)
    assert np.allclose(by_ccc, [[0.75, 0.25], [0.25, 0.75], [0, 0]])
    assert ensemble_weights("best", recorded).tolist() == [[1, 0], [0, 1], [0, 0]]


def test_runs_without_any_skill_cannot_weight(recorded, tmp_path):
    runs = {"c": recorded["c"], "d": write_record(tmp_path / "d", 0.5, -0.1)}
    with pytest.raises(ConfigError, match=r"none of the 2 runs \(c, d\) .* of arousal above 0"):
        ensemble_weights("ccc", runs)


def test_a_run_without_its_record_is_named(recorded):
    path = recorded["b"] / "evaluation-validation.json"
    path.write_text("{}")
    with pytest.raises(ConfigError, match=r"validation CCC of the run .*b \(KeyError: 'ccc'\)"):
        ensemble_weights("best", recorded)
    path.unlink()
    with pytest.raises(ConfigError, match="restore the file, or use --ensemble mean"):
        ensemble_weights("ccc", recorded)
    assert ensemble_weights("mean", recorded).shape == (3, 2)


def test_an_unknown_ensemble_is_named(recorded):
    with pytest.raises(ConfigError, match="no ensemble is called `median`; there are: mean, ccc"):
        ensemble_weights("median", recorded)


def test_combining_is_a_weighted_mean_of_every_frame():
    rng = np.random.default_rng(0)
    members = {
        run: {
            video: rng.normal(size=(n, 2)).astype(np.float32) for video, n in (("x", 5), ("y", 3))
        }
        for run in "ab"
    }
    weights = np.array([[0.75, 0.0], [0.25, 1.0]])
    mixed = combine(members, weights)
    for video, values in mixed.items():
        a, b = members["a"][video].astype(float), members["b"][video].astype(float)
        assert np.allclose(values[:, 0], 0.75 * a[:, 0] + 0.25 * b[:, 0], atol=1e-7)
        assert np.array_equal(values[:, 1], members["b"][video][:, 1])


def test_nothing_is_cut_or_padded_to_combine():
    x = {"x": np.zeros((5, 2)), "y": np.zeros((3, 2))}
    weights = np.full((2, 2), 0.5)
    with pytest.raises(
        ConfigError, match=r"other rows in 1 of 2 videos \(x: \(5, 2\) and \(4, 2\)"
    ):
        combine({"a": x, "b": {**x, "x": np.zeros((4, 2))}}, weights)
    with pytest.raises(ConfigError, match=r"same videos: 2 and 1, of which 1 only one .* \(y\)"):
        combine({"a": x, "b": {"x": np.zeros((5, 2))}}, weights)


# -- with real runs --------------------------------------------------------------------------------


def test_runs_side_by_side_are_the_runs_alone(planted, pair):
    results = compare(pair, planted)
    assert list(results) == ["run", "other"]
    for name, run in pair.items():
        record = json.loads((run.path / "evaluation-validation.json").read_text())
        del record["moments"]
        assert results[name].to_json() == record


def test_the_best_of_each_target_is_that_run(planted, pair):
    results = compare(pair, planted, ensemble="best")
    best = results["ensemble-best"]
    for column, target in enumerate(("valence", "arousal")):
        winner = max(pair, key=lambda name: results[name].ccc[target])
        assert best.conditions["ensemble"]["weights"][winner][target] == 1.0
        assert best.ccc[target] == results[winner].ccc[target]
        for video, values in best.predictions.items():
            chosen = results[winner].predictions[video]
            assert np.array_equal(values[:, column], chosen[:, column])


def test_a_run_with_itself_is_itself(planted, fitted, pair):
    again = compare({"a": pair["run"], "b": pair["run"]}, planted, ensemble="mean")
    for video, values in fitted.evaluation.predictions.items():
        assert np.allclose(again["ensemble-mean"].predictions[video], values, atol=1e-7)


def test_choosing_on_the_evaluated_videos_is_said_to_be_optimistic(planted, pair):
    optimism = "2 of the 2 videos decided the shares of the runs"
    for how in ("ccc", "best"):
        (note,) = compare(pair, planted, ensemble=how)[f"ensemble-{how}"].conditions["notes"]
        assert note.startswith(optimism)
        assert "optimistic" in note
    assert "notes" not in compare(pair, planted, ensemble="mean")["ensemble-mean"].conditions
    trained = compare(pair, planted, ensemble="ccc", partition="train")
    for result in trained.values():
        (note,) = result.conditions["notes"]
        assert note.startswith("6 of the 6 videos were trained on")


def test_what_was_done_to_the_members_is_said_of_the_ensemble(planted, pair):
    mixed = compare(pair, planted, ensemble="mean", smoothing=0.2)["ensemble-mean"].to_json()
    assert mixed["smoothing"]["seconds"] == 0.2
    weights = {name: {"valence": 0.5, "arousal": 0.5} for name in pair}
    assert mixed["ensemble"] == {"method": "mean", "weights": weights}


def test_runs_of_different_folds_are_neither_mixed_nor_compared(planted, small, tmp_path):
    config = dataclasses.replace(small, epochs=1, split="k-fold", folds=4)
    folds = {}
    for fold in (0, 1):
        result = fit(planted, dataclasses.replace(config, fold=fold), tmp_path / str(fold))
        folds[f"fold{fold}"] = load_run(result.run_dir, "cpu")
        assert compare({"f": folds[f"fold{fold}"]}, planted)["f"].ccc == result.evaluation.ccc
    for how in (None, "mean"):
        with pytest.raises(ConfigError, match="fold0 and fold1 do not predict the same videos: 2"):
            compare(folds, planted, ensemble=how)


def test_runs_are_named_by_their_folders(tmp_path):
    a, b, c = tmp_path / "x" / "run", tmp_path / "y" / "run", tmp_path / "z"
    assert name_runs([a, c]) == {"run": a, "z": c}
    assert name_runs([a, b]) == {str(a): a, str(b): b}
    with pytest.raises(ConfigError, match=r"a run is given more than once: .*z; name each"):
        name_runs([c, a, tmp_path / "x" / ".." / "z"])


def test_a_run_whose_videos_are_unknown_is_named(planted, fitted, tmp_path):
    shutil.copytree(fitted.run_dir, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "cache.json").read_text())
    del facts["videos"]
    (tmp_path / "run" / "cache.json").write_text(json.dumps(facts))
    with pytest.raises(ConfigError, match=r"cannot read `videos` of the run .*'videos'"):
        compare({"run": load_run(tmp_path / "run", "cpu")}, planted)


def test_a_run_with_a_split_of_its_own_needs_its_videos(planted, fitted, tmp_path):
    shutil.copytree(fitted.run_dir, tmp_path / "run")
    facts = json.loads((tmp_path / "run" / "cache.json").read_text())
    facts["videos"]["validation"] += ["gone"]
    (tmp_path / "run" / "cache.json").write_text(json.dumps(facts))
    run = load_run(tmp_path / "run", "cpu")
    assert isinstance(run.config, FitConfig)
    run = dataclasses.replace(run, config=dataclasses.replace(run.config, split="k-fold"))
    with pytest.raises(ConfigError, match=r"lacks 1 of its 3 validation videos \(gone\)"):
        compare({"run": run}, planted)
