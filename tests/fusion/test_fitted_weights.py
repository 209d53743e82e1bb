"""Fitted shares: the highest CCC on the validation videos, found from what the runs left there."""

import dataclasses
import itertools
import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import ConfigError, FeatureStore
from vapipe.fusion import combine, compare, ensemble_weights, fit, predict_items, smooth
from vapipe.fusion.evaluation.ccc import ccc
from vapipe.fusion.evaluation.fitted_weights import highest_ccc


def series(seed, runs, rows=200):
    """An annotation, and predictions of it with noise, scale and bias of their own."""
    rng = np.random.default_rng(seed)
    truth = np.tanh(rng.normal(size=rows))
    scale, bias = rng.uniform(0.3, 1.5, runs), rng.uniform(-0.3, 0.3, runs)
    noise = rng.normal(size=(rows, runs)) * rng.uniform(0.1, 1.0, runs)
    return truth[:, None] * scale + bias + noise, truth


@given(st.integers(0, 2**32 - 1), st.sampled_from([2, 3]), st.booleans())
def test_no_mixture_on_a_grid_is_better(seed, runs, against):
    """Also where every run falls as the annotation rises."""
    predictions, truth = series(seed, runs)
    if against:
        predictions = -predictions
    weights = highest_ccc(predictions, truth)
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1)
    found = ccc(predictions @ weights, truth)
    steps = np.linspace(0, 1, 21)
    for firsts in itertools.product(steps, repeat=runs - 1):
        if sum(firsts) <= 1:
            mixture = predictions @ np.array([*firsts, 1 - sum(firsts)])
            assert ccc(mixture, truth) <= found + 1e-9


@given(st.integers(0, 2**32 - 1), st.integers(1, 7))
def test_it_is_no_worse_than_any_run_and_than_their_mean(seed, runs):
    predictions, truth = series(seed, runs)
    found = ccc(predictions @ highest_ccc(predictions, truth), truth)
    assert found >= ccc(predictions.mean(axis=1), truth) - 1e-9
    for column in predictions.T:
        assert found >= ccc(column, truth) - 1e-12


@given(st.integers(0, 2**32 - 1), st.permutations(range(4)))
def test_the_order_of_the_runs_does_not_matter(seed, order):
    predictions, truth = series(seed, 4)
    weights = highest_ccc(predictions, truth)
    assert np.allclose(highest_ccc(predictions[:, order], truth), weights[list(order)], atol=1e-4)


def test_the_truth_among_the_runs_takes_everything():
    predictions, truth = series(0, 3)
    predictions[:, 1] = truth
    assert highest_ccc(predictions, truth).tolist() == [0, 1, 0]


def test_opposite_errors_cancel():
    _, truth = series(0, 1)
    error = np.random.default_rng(1).normal(size=len(truth))
    mixture = highest_ccc(np.column_stack([truth + error, truth - 3 * error]), truth)
    assert np.allclose(mixture, [0.75, 0.25], atol=1e-4)


def test_a_constant_has_no_share_beside_what_rises_and_is_better_than_what_falls():
    _, truth = series(0, 2)
    still = np.zeros(len(truth))
    assert highest_ccc(np.column_stack([still, truth]), truth).tolist() == [0, 1]
    assert highest_ccc(np.column_stack([-truth, still]), truth).tolist() == [0, 1]
    assert highest_ccc(np.column_stack([still, still]), still).tolist() == [1, 0]


# -- with real runs --------------------------------------------------------------------------------


def folders(runs):
    return {name: run.path for name, run in runs.items()}


def test_on_the_validation_videos_nothing_is_above_it_and_this_is_said(planted, pair):
    results = compare(pair, planted, ensemble="fitted")
    fitted = results["ensemble-fitted"]
    mean = compare(pair, planted, ensemble="mean")["ensemble-mean"]
    for target in ("valence", "arousal"):
        for other in (results["run"], results["other"], mean):
            assert fitted.ccc[target] >= other.ccc[target] - 1e-5  # records have six decimals
        shares = [own[target] for own in fitted.conditions["ensemble"]["weights"].values()]
        assert sum(shares) == pytest.approx(1)
        assert min(shares) >= 0
    (note,) = fitted.conditions["notes"]
    assert note.startswith("2 of the 2 videos decided the shares of the runs")


@pytest.mark.parametrize("seconds", [0.0, 0.6])
def test_shares_are_those_of_what_is_mixed(planted, pair, seconds):
    weights = ensemble_weights("fitted", folders(pair), planted, seconds)
    result = compare(pair, planted, ensemble="fitted", smoothing=seconds)["ensemble-fitted"]
    predicted = predict_items(
        pair, planted, list(result.predictions), weights=weights, smoothing=seconds
    )
    for video, values in result.predictions.items():
        assert np.array_equal(predicted[video], values)
    members = {n: r.predictions for n, r in compare(pair, planted).items()}
    mixed = combine(members, weights)
    for video, values in mixed.items():
        late = smooth(values, planted.timeline(video).pts, seconds)
        assert np.allclose(late, predicted[video], atol=1e-6)


def test_the_annotation_is_found_in_the_cache_of_the_runs(planted, pair, make_store):
    from_there = ensemble_weights("fitted", folders(pair), planted)
    elsewhere = make_store({"clip": {"features": {"onet": np.zeros((9, 10))}}})
    assert np.array_equal(ensemble_weights("fitted", folders(pair), elsewhere), from_there)
    assert np.array_equal(ensemble_weights("fitted", folders(pair)), from_there)


def change_record(run, target, name, change):
    """A copy of a run in which a JSON file went through `change`."""
    shutil.copytree(run, target)
    record = json.loads((target / name).read_text())
    change(record)
    (target / name).write_text(json.dumps(record))
    return target


def test_without_any_annotation_the_caches_are_named(pair, tmp_path, make_store):
    copy = change_record(
        pair["run"].path, tmp_path / "gone", "cache.json", lambda r: r.update(path="/nowhere")
    )
    with pytest.raises(
        ConfigError,
        match=r"annotation of the 2 validation videos, and the cache of the run .*gone cannot be "
        r"opened: .*; name a cache that has it with --cache, or use --ensemble ccc",
    ):
        ensemble_weights("fitted", {"gone": copy})
    empty = make_store({"clip": {"features": {"onet": np.zeros((9, 10))}}})
    copy = change_record(
        pair["run"].path, tmp_path / "moved", "cache.json", lambda r: r.update(path=str(empty.root))
    )
    with pytest.raises(ConfigError, match=r"and .* lacks that of video6, video7; name a cache"):
        ensemble_weights("fitted", {"moved": copy})


def test_a_run_that_does_not_say_its_cache_is_named(pair, tmp_path):
    copy = change_record(pair["run"].path, tmp_path / "run", "cache.json", lambda r: r.pop("path"))
    with pytest.raises(ConfigError, match=r"cannot read `path` of the run .*KeyError: 'path'"):
        ensemble_weights("fitted", {"run": copy})


def test_another_annotation_under_the_same_names_is_refused(planted, pair, tmp_path):
    from vapipe.cache.layout import write_labels

    shutil.copytree(planted.root, tmp_path / "cache")
    labels = planted.labels("video6")
    write_labels(tmp_path / "cache", "video6", -labels, partition="validation", source={})
    with pytest.raises(ConfigError, match=r"have a CCC of .* for valence, its evaluation says"):
        ensemble_weights("fitted", folders(pair), FeatureStore.open(tmp_path / "cache"))


def test_videos_of_another_length_are_refused(pair, make_store):
    videos = {
        name: {"features": {"onet": np.zeros((7, 10))}, "labels": np.zeros((7, 2), np.float32)}
        for name in ("video6", "video7")
    }
    with pytest.raises(ConfigError, match=r"predicted \d+ rows of video6, of which .* has 7; name"):
        ensemble_weights("fitted", folders(pair), make_store(videos))


def test_runs_of_different_folds_are_told_what_can_be_done(planted, small, tmp_path):
    config = dataclasses.replace(small, epochs=1, split="k-fold", folds=4)
    runs = {
        str(fold): fit(
            planted, dataclasses.replace(config, fold=fold), tmp_path / str(fold)
        ).run_dir
        for fold in (0, 1)
    }
    with pytest.raises(
        ConfigError,
        match=r"0 and 1 were validated on different videos \(2 and 2, 0 of them the same\), .* "
        r"use --ensemble mean, ccc or best",
    ):
        ensemble_weights("fitted", runs, planted)
    for how in ("mean", "ccc", "best"):
        assert ensemble_weights(how, runs).sum(axis=0).tolist() == pytest.approx([1, 1])


def test_a_width_that_cannot_be_is_refused_before_anything_is_read(tmp_path):
    with pytest.raises(ConfigError, match="smoothing takes a width in seconds"):
        ensemble_weights("mean", {"a": tmp_path / "none"}, smoothing=-1.0)
