"""Merged predictions, the measure over them, and runs that are read back safely."""

import csv
import json

import numpy as np
import pytest
import torch
from caches import add_features, add_video, make_cache
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import ConfigError, FeatureStore, Valid, cut_windows
from vapipe.fusion import ccc, evaluate, load_run, merge_windows, mse, pcc, score


@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_overlaps_are_merged_by_the_mean(rows, length, data):
    stride = data.draw(st.integers(1, length))
    bounds = cut_windows(rows, length, stride)
    rng = np.random.default_rng(rows)
    values = [rng.normal(size=(length, 2)) for _ in bounds]
    merged = merge_windows(rows, bounds, values)
    for row in range(rows):
        for column in range(2):
            seen = [
                window[row - start, column]
                for (start, stop), window in zip(bounds, values, strict=True)
                if start <= row < stop
            ]
            assert merged[row, column] == pytest.approx(sum(seen) / len(seen), abs=1e-12)


def test_rows_that_no_window_covers_are_nan():
    merged = merge_windows(4, [(1, 3)], [np.ones((2, 1))])
    assert np.array_equal(merged[:, 0], [np.nan, 1, 1, np.nan], equal_nan=True)


def videos_of(labels):
    return {
        name: {"features": {"onet": np.zeros((len(v), 1))}, "labels": v}
        for name, v in labels.items()
    }


def test_ccc_is_concatenated_over_annotated_frames_of_all_videos(make_store):
    rng = np.random.default_rng(0)
    labels = {name: rng.normal(size=(n, 2)).astype(np.float32) for name, n in (("a", 9), ("b", 6))}
    labels["a"][2:5, 0] = np.nan
    labels["b"][:, 1] = np.nan
    store = make_store(videos_of(labels))
    predictions = {name: rng.normal(size=v.shape) for name, v in labels.items()}
    result = score(store, predictions, partition="validation")
    p, t = (np.concatenate([x["a"], x["b"]]) for x in (predictions, labels))
    kept = np.isfinite(t)
    expected = [ccc(p[kept[:, c], c], t[kept[:, c], c]) for c in (0, 1)]
    assert result.ccc["valence"] == expected[0]
    assert result.ccc["arousal"] == expected[1]
    assert result.ccc["mean"] == sum(expected) / 2
    assert result.frames == {"valence": 12, "arousal": 9}
    assert result.per_video["a"]["arousal"] == ccc(predictions["a"][:, 1], labels["a"][:, 1])
    assert result.per_video["b"]["arousal"] is None


@pytest.fixture
def annotated(make_store):
    """Two videos of 9 and 6 frames, the first with a gap in the annotation."""
    rng = np.random.default_rng(0)
    labels = {name: rng.normal(size=(n, 2)).astype(np.float32) for name, n in (("a", 9), ("b", 6))}
    labels["a"][2:5] = np.nan
    return make_store(videos_of(labels))


def perfect(store):
    return {v: np.nan_to_num(store.labels(v)) for v in store.videos()}


def test_predictions_are_never_cut_or_padded(annotated):
    """One row too many in one video and too few in the next would fit again, concatenated."""
    right = perfect(annotated)
    wrong = {"a": np.concatenate([right["a"], right["b"][:1]]), "b": right["b"][1:]}
    with pytest.raises(ConfigError, match=r"a: predictions \(10, 2\) for an annotation \(9, 2\); "):
        score(annotated, wrong, partition="validation")
    with pytest.raises(ConfigError, match=r"b: predictions \(6, 1\) for an annotation \(6, 2\)"):
        score(annotated, {**right, "b": right["b"][:, :1]}, partition="validation")


def test_a_frame_without_prediction_is_named_annotated_or_not(annotated):
    wrong = perfect(annotated)
    wrong["a"][3, 1] = np.nan
    with pytest.raises(ConfigError, match=r"a: 1 of 9 frames have no .* prediction \(.* row 3\)"):
        score(annotated, wrong, partition="validation")


def test_frames_keep_their_number_across_a_gap_in_the_annotation(annotated):
    right = perfect(annotated)
    assert score(annotated, right, partition="validation").ccc["mean"] == pytest.approx(1)
    # Renumbered after dropping the gap, as some pipelines do, the rows behind it are out of place.
    spliced = np.concatenate([right["a"][:2], right["a"][5:], np.zeros((3, 2), np.float32)])
    shifted = {v: np.roll(x, 1, axis=0) for v, x in right.items()}
    for wrong in ({**right, "a": spliced}, shifted):
        assert score(annotated, wrong, partition="validation").ccc["mean"] < 0.9


def test_evaluating_takes_nothing_over_from_the_evaluated_videos(planted, fitted, tmp_path):
    """No statistics of them enter: not into the model, nor from one video into another."""
    run = load_run(fitted.run_dir, "cpu")
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    together = evaluate(run, planted, partition="train").predictions
    assert all(torch.equal(before[name], x) for name, x in run.model.state_dict().items())
    make_cache(tmp_path / "cache")
    for video in ("video0", "video1"):
        features = {name: planted.read(video, name) for name in ("onet", "logmel")}
        # The second video is from another world, which would move any statistics.
        if video == "video1":
            features = {name: 30 * values + 50 for name, values in features.items()}
        add_video(
            tmp_path / "cache",
            video,
            features,
            labels=planted.labels(video),
            partition="validation",
            valid={name: planted.status(video, name) for name in features},
        )
    result = evaluate(run, FeatureStore.open(tmp_path / "cache")).predictions
    assert np.allclose(result["video0"], together["video0"], atol=1e-6)
    assert not np.allclose(result["video1"], together["video1"], atol=0.1)


def test_measures_beside_ccc_are_written_and_computed_over_the_same_frames(annotated):
    rng = np.random.default_rng(1)
    predictions = {v: x + rng.normal(size=x.shape) for v, x in perfect(annotated).items()}
    result = score(annotated, predictions, partition="validation")
    p, t = (np.concatenate(list(x.values())) for x in (predictions, perfect(annotated)))
    kept = np.isfinite(np.concatenate([annotated.labels(v) for v in annotated.videos()]))[:, 0]
    for c, target in enumerate(("valence", "arousal")):
        assert result.mse[target] == mse(p[kept, c], t[kept, c])
        assert result.pcc[target] == pcc(p[kept, c], t[kept, c])
    assert result.mse["mean"] == (result.mse["valence"] + result.mse["arousal"]) / 2
    written = result.to_json()
    assert (written["mse"], written["pcc"]) == (result.mse, result.pcc)
    for target, (low, high) in result.intervals.items():
        assert low <= result.ccc[target] <= high
        assert written["ccc_interval"][target] == [low, high]


def test_scoring_an_epoch_computes_no_intervals(annotated, monkeypatch):
    def forbidden(*arguments):
        raise AssertionError

    for name in ("over_videos", "moments", "mse", "pcc"):
        monkeypatch.setattr(f"vapipe.fusion.evaluation.scoring.{name}", forbidden)
    score(annotated, perfect(annotated), partition="validation")


def test_a_target_nobody_annotated_is_named(make_store):
    store = make_store({"a": {"features": {"onet": np.zeros((3, 1))}}})
    with pytest.raises(
        ConfigError, match=r"no frame of the 1 test video .* annotated with valence"
    ):
        score(store, {"a": np.zeros((3, 2))}, partition="test")


def test_a_run_read_back_gives_the_same_numbers(planted, fitted):
    again = evaluate(load_run(fitted.run_dir, "cpu"), planted)
    assert again.ccc == fitted.evaluation.ccc
    assert again.per_video == fitted.evaluation.per_video
    for video, values in fitted.evaluation.predictions.items():
        assert np.array_equal(again.predictions[video], values)


def test_any_partition_can_be_evaluated_and_is_written_where_asked(planted, fitted, tmp_path):
    before = sorted(fitted.run_dir.rglob("*"))
    result = evaluate(fitted.run_dir, planted, partition="train", device="cpu", out=tmp_path)
    assert len(result.predictions) == 6
    assert result.ccc["mean"] > 0.8
    written = json.loads((tmp_path / "evaluation-train.json").read_text())
    assert written["ccc"] == result.ccc
    assert len(list((tmp_path / "predictions" / "train").iterdir())) == 6
    assert sorted(fitted.run_dir.rglob("*")) == before


def test_predictions_are_written_with_the_time_of_every_frame(planted, fitted):
    video, values = next(iter(fitted.evaluation.predictions.items()))
    path = fitted.run_dir / "predictions" / "validation" / f"{video}.csv"
    with path.open(newline="") as handle:
        header, *rows = csv.reader(handle)
    assert header == ["row", "pts", "valence", "arousal"]
    table = np.array(rows, float)
    assert np.array_equal(table[:, 0], np.arange(planted.rows(video)))
    assert np.allclose(table[:, 1], planted.timeline(video).pts, atol=1e-6)
    assert np.allclose(table[:, 2:], values, atol=1e-6)


def test_a_folder_that_is_no_run_or_not_finished_is_named(tmp_path, fitted):
    with pytest.raises(ConfigError, match=r"is not a run \(no config.json in it\)"):
        load_run(tmp_path)
    for name in ("config.json", "environment.json"):
        (tmp_path / name).write_bytes((fitted.run_dir / name).read_bytes())
    with pytest.raises(ConfigError, match=r"is not finished \(no model.safetensors in it\)"):
        load_run(tmp_path)
    (tmp_path / "cache.json").write_bytes((fitted.run_dir / "cache.json").read_bytes())
    weights = (fitted.run_dir / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights[:-100])
    with pytest.raises(
        ConfigError, match=r"cannot be read \(.*\); its files were changed or damaged"
    ):
        load_run(tmp_path)
    config = json.loads((fitted.run_dir / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "hidden": 17}))
    (tmp_path / "model.safetensors").write_bytes(weights)
    with pytest.raises(ConfigError, match=r"cannot be read \(.*size mismatch"):
        load_run(tmp_path)


def other_cache(root, key=None, **arguments):
    make_cache(root)
    features = {"logmel": np.zeros((20, 6))}
    add_video(root, "x", features, labels=np.zeros((20, 2)), partition="validation", **arguments)
    if key:
        add_features(root, "x", "onet", np.zeros((20, 10)), key=key)
    return FeatureStore.open(root)


def test_a_run_refuses_streams_it_was_not_trained_on(tmp_path, fitted):
    store = other_cache(tmp_path / "cache", key="c3" * 32)
    with pytest.raises(
        ConfigError, match=r"trained on stream onet with key a1a1a1a1; .* holds keys: c3c3c3c3"
    ):
        evaluate(fitted.run_dir, store, device="cpu")
    with pytest.raises(ConfigError, match="holds keys: none"):
        evaluate(fitted.run_dir, other_cache(tmp_path / "other"), device="cpu")


def test_a_run_finds_its_own_key_among_several(tmp_path, fitted):
    store = other_cache(tmp_path / "cache", key="c3" * 32)
    add_features(store.root, "x", "onet", np.zeros((20, 10)), key="a1" * 32)
    result = evaluate(load_run(fitted.run_dir, "cpu"), FeatureStore.open(store.root))
    assert result.predictions["x"].shape == (20, 2)


def test_an_empty_partition_is_named(planted, fitted):
    with pytest.raises(ConfigError, match="in the partition `test`; there are: 6 in train, 2"):
        evaluate(fitted.run_dir, planted, partition="test")


def test_predictions_of_frames_without_any_usable_stream_exist(tmp_path, fitted):
    codes = np.full(20, Valid.NO_AUDIO, np.uint8)
    store = other_cache(tmp_path / "cache", valid={"logmel": codes})
    add_features(store.root, "x", "onet", np.zeros((20, 10)), codes=codes)
    result = evaluate(load_run(fitted.run_dir, "cpu"), FeatureStore.open(store.root))
    assert np.isfinite(result.predictions["x"]).all()
