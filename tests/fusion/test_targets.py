"""Any number of targets, called as the annotations call them, from the cache to a submission."""

import json

import numpy as np
import pytest
from caches import add_video, make_cache
from fusion_caches import smooth_walk
from terminal import vapipe_

from vapipe.cache import CacheError, ConfigError, FeatureStore
from vapipe.cache.layout import write_labels
from vapipe.cache.pack import pack_cache
from vapipe.cache.verify import verify_cache
from vapipe.fusion import FitConfig, fit, plan_fit

ROWS = 60
NAMES = ("dominance", "liking", "trustworthiness")
QUICK = {
    "head": "concat",
    "streams": {"video": "onet"},
    "tcn_channels": {"video": [8]},
    "window": 30,
    "stride": 30,
    "hidden": 8,
    "epochs": 1,
    "batch": 4,
    "device": "cpu",
}


def make(root, targets):
    rng = np.random.default_rng(0)
    make_cache(root)
    show = rng.standard_normal((len(targets), 8))
    for index in range(4):
        labels = np.stack([smooth_walk(rng, ROWS) for _ in targets], axis=1).astype(np.float32)
        part = "train" if index < 2 else "validation"
        add_video(root, f"v{index}", {"onet": labels @ show}, partition=part)
        write_labels(root, f"v{index}", labels, partition=part, source={}, targets=targets)
    return root


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return make(tmp_path_factory.mktemp("targets") / "cache", NAMES)


@pytest.mark.parametrize("how", ["per_target", "joint"])
def test_three_targets_are_fitted_evaluated_submitted_and_reported(cache, tmp_path, how):
    (tmp_path / "fit.json").write_text(json.dumps({**QUICK, "targets": how}))
    where, run = ("--cache", cache), tmp_path / "run"
    words = ("fit", "--config", tmp_path / "fit.json", "--run", run, *where)
    fitted = vapipe_(*words)
    assert fitted.exit_code == 0, fitted.output
    assert all(name in fitted.stdout for name in NAMES)
    assert json.loads((run / "config.json").read_text())["target_names"] == list(NAMES)
    written = json.loads((run / "evaluation-validation.json").read_text())
    assert list(written["ccc"]) == [*NAMES, "mean"]
    assert (
        (run / "predictions/validation/v2.csv")
        .read_text()
        .startswith("row,pts,dominance,liking,trustworthiness\n")
    )
    assert "Predicts dominance and liking and trustworthiness" in (run / "README.md").read_text()
    again = vapipe_("evaluate", run, *where, "--json")
    assert json.loads(again.stdout)["ccc"] == pytest.approx(written["ccc"])
    if how == "joint":
        return
    sample = tmp_path / "sample.txt"
    rows = "".join(f"v3/{n:05d}.jpg,\n" for n in range(1, ROWS + 1))
    sample.write_text(f"image_location,liking,dominance\n{rows}")
    sent = vapipe_("submit", run, "--sample", sample, "--out", tmp_path / "out.txt", *where)
    assert sent.exit_code == 0, sent.output
    assert (tmp_path / "out.txt").read_text().startswith("image_location,liking,dominance\nv3/")
    sample.write_text(f"image_location,valence,arousal\n{rows}")
    refused = vapipe_("submit", run, "--sample", sample, "--out", tmp_path / "no.txt", *where)
    assert "asks for valence, arousal, and the runs predict dominance" in refused.stderr
    page = vapipe_("report", run)
    assert page.exit_code == 0, page.output
    assert "trustworthiness" in (run / "report.html").read_text()


def test_a_choice_of_targets_is_learned(cache):
    plan = plan_fit(FeatureStore.open(cache), FitConfig(**QUICK, target_names=("liking",)))
    assert plan.config.networks() == {"liking": ("liking",)}
    with pytest.raises(ConfigError, match=r"annotated with valence; .*--set target_names"):
        plan_fit(FeatureStore.open(cache), FitConfig(**QUICK, target_names=("valence",)))


def test_one_dimension_alone_is_enough(tmp_path):
    root = make(tmp_path / "cache", ("valence", "arousal"))
    for item in FeatureStore.open(root).videos():
        labels = np.array(FeatureStore.open(root).labels(item))
        labels[:, 1] = np.nan
        part = FeatureStore.open(root).partition(item)
        write_labels(root, item, labels, partition=part, source={})
    result = fit(FeatureStore.open(root), FitConfig(**QUICK), tmp_path / "run")
    assert list(result.evaluation.ccc) == ["valence", "mean"]


def test_a_cache_holds_items_of_different_targets_and_packs_them(tmp_path):
    root = make(tmp_path / "cache", ("valence", "arousal"))
    write_labels(root, "v1", np.ones((ROWS, 1)), partition="train", source={}, targets=["liking"])
    store = FeatureStore.open(root)
    assert store.targets() == ("valence", "arousal", "liking")
    before = {item: np.array(store.labels(item)) for item in store.videos()}
    assert np.isnan(before["v1"][:, :2]).all()
    assert (before["v1"][:, 2] == 1).all()
    assert np.isnan(before["v0"][:, 2]).all()
    list(pack_cache(root))
    assert not any(finding.problem for finding in verify_cache(root))
    packed = FeatureStore.open(root)
    assert all(np.array_equal(packed.labels(i), v, equal_nan=True) for i, v in before.items())


def test_labels_without_a_name_for_each_column_are_refused(tmp_path):
    make_cache(tmp_path / "cache")
    with pytest.raises(CacheError, match=r"labels must be \[T, 1\] \(liking\), got \(3, 2\)"):
        write_labels(
            tmp_path / "cache", "v", np.zeros((3, 2)), partition=None, source={}, targets=["liking"]
        )
