"""An annotation that lags behind the picture: the lag is found, and undone where it must be."""

import dataclasses
import json

import numpy as np
import pytest
from caches import add_video, make_cache
from fusion_caches import smooth_walk
from hypothesis import given
from hypothesis import strategies as st
from terminal import vapipe_

from vapipe.cache import FeatureStore
from vapipe.cache.labels import earlier, later
from vapipe.fusion import FitConfig, fit

FPS, DELAY, ROWS = 25.0, 2.4, 300


@pytest.fixture(scope="module")
def lagging(tmp_path_factory):
    """Features show the labels at once; the labels are annotated 2.4 s later."""
    rng = np.random.default_rng(3)
    root = make_cache(tmp_path_factory.mktemp("lag") / "cache")
    show = rng.standard_normal((2, 8))
    lag = round(DELAY * FPS)
    for index in range(6):
        felt = np.stack([smooth_walk(rng, ROWS + lag) for _ in range(2)], axis=1)
        seen, annotated = felt[lag:], felt[:ROWS]
        features = seen @ show + 0.3 * rng.standard_normal((ROWS, 8))
        add_video(
            root,
            f"video{index}",
            {"onet": features, "logmel": features[:, :4]},
            labels=annotated.astype(np.float32),
            partition="train" if index < 4 else "validation",
            fps=FPS,
        )
    return FeatureStore.open(root)


def quick(**options):
    return FitConfig(
        head="concat",
        streams={"video": "onet"},
        tcn_channels={"video": ()},
        window=100,
        stride=100,
        batch=4,
        epochs=15,
        warmup_epochs=0,
        learning_rate=2e-2,
        hidden=16,
        targets="joint",
        device="cpu",
        **options,
    )


def test_a_sweep_over_the_delay_finds_the_planted_one(lagging, tmp_path):
    config = quick().to_json()
    (tmp_path / "fit.json").write_text(json.dumps(config))
    tried = (0.0, 0.8, 1.6, 2.4, 3.2)
    result = vapipe_(
        "sweep",
        *("--config", tmp_path / "fit.json", "--cache", lagging.root, "--jobs", 1),
        *("--grid", f"label_delay={','.join(map(str, tried))}", "--out", tmp_path / "out"),
    )
    assert result.exit_code == 0, result.output
    scores = {}
    for path in (tmp_path / "out").rglob("evaluation-validation.json"):
        delay = json.loads((path.parent / "config.json").read_text())["label_delay"]
        scores[delay] = json.loads(path.read_text())["ccc"]["mean"]
    assert set(scores) == set(tried)
    assert max(scores, key=scores.get) == DELAY
    others = [score for delay, score in scores.items() if delay != DELAY]
    assert scores[DELAY] > max(others) + 0.15, scores


def test_predictions_are_where_the_annotation_is(lagging, tmp_path):
    """So that a run is compared, submitted and drawn against the annotation as it stands."""
    result = fit(lagging, quick(label_delay=DELAY), tmp_path / "run")
    lag = round(DELAY * FPS)
    predicted = result.evaluation.predictions["video5"]
    assert np.array_equal(result.evaluation.truth["video5"], lagging.labels("video5"))
    error = np.abs(predicted - lagging.labels("video5"))
    assert error[lag:].mean() < 0.25
    assert (predicted[:lag] == predicted[0]).all()  # held: what was seen before is not known
    again = fit(lagging, dataclasses.replace(quick(), label_delay=0.0), tmp_path / "none")
    assert again.evaluation.ccc["mean"] < result.evaluation.ccc["mean"]


@given(
    rows=st.integers(5, 60),
    lag=st.integers(0, 20),
    gap=st.integers(0, 60),
    fps=st.sampled_from([12.5, 25.0, 29.97]),
)
def test_a_delay_of_whole_frames_moves_rows_and_nothing_else(rows, lag, gap, fps):
    pts = 0.5 + np.arange(rows) / fps
    values = np.stack([np.arange(rows), -np.arange(rows)], axis=1) / 64
    values[gap : gap + 2] = np.nan
    moved = earlier(values, pts, lag / fps)
    assert np.allclose(moved[: max(rows - lag, 0)], values[lag:], atol=1e-4, equal_nan=True)
    assert np.isnan(moved[max(rows - lag, 0) :]).all()
    known = np.nan_to_num(values)
    back = later(known, pts, lag / fps)
    assert np.allclose(back[lag:], known[: max(rows - lag, 0)], atol=1e-4)
    assert np.allclose(back[:lag], known[0])
