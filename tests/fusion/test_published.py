"""Published figures stand beside fits of exactly their settings, and beside no others."""

import json
import shutil

import pytest

from vapipe.fusion import FitConfig
from vapipe.fusion.papers.published import PUBLISHED, published
from vapipe.reports.records import read_record

SIZES = {0: (356, 76), 1: (360, 72), **dict.fromkeys((2, 3, 4, 5), (361, 71))}


def grjca(**changes):
    return FitConfig(**{"split": "aff-wild2", "recursions": 3, **changes})


def test_every_figure_is_found_by_its_own_settings_and_under_no_other():
    assert len(PUBLISHED) == 12 + 4 + 12 + 6
    for system, partition, fold, recursions, window in PUBLISHED:
        head, _, preset = system.partition(":")
        options = {"preset": preset} if preset else {}
        config = FitConfig(
            head=head, split="aff-wild2", fold=fold or 0, recursions=recursions, window=window,
            head_options=options,
        )  # fmt: skip
        sizes = SIZES[fold or 0]
        own = PUBLISHED[system, partition, fold, recursions, window]
        assert published(config, sizes, partition) == own
        for changes in (
            {"window": window + 1},
            {"fold": (fold or 0) + 6},
            {"split": "stored"},
            {"split": "k-fold"},
        ):
            assert published(config.changed(changes), sizes, partition) is None
        assert published(config, (8, 2), partition) is None


def test_the_recursions_of_table_two_belong_to_fold_one():
    found = [published(grjca(fold=1, recursions=m), SIZES[1]) for m in (1, 2, 3, 4)]
    assert found == [(0.585, 0.658), (0.593, 0.664), (0.601, 0.668), (0.596, 0.661)]
    assert published(grjca(fold=1, recursions=5), SIZES[1]) is None
    assert published(grjca(fold=0, recursions=2), SIZES[0]) is None
    assert published(grjca(fold=2), SIZES[2]) is None


def test_the_folds_of_ustc_are_its_own():
    config = FitConfig(head="mstcn", split="aff-wild2")
    valence = [published(config.changed({"fold": f}), SIZES[f])[0] for f in range(6)]
    assert valence == [0.367, 0.479, 0.597, 0.569, 0.605, 0.405]


@pytest.mark.parametrize(
    "changes",
    [{"variant": "paper"}, {"head_options": {"dropout": 0.1}}, {"window": 100, "stride": 50}],
)
def test_a_changed_system_has_no_published_figure(changes):
    assert published(grjca(), SIZES[0]) == (0.459, 0.652)
    assert published(grjca(**changes), SIZES[0]) is None


@pytest.mark.parametrize("sizes", [(356, 76), (351, 76), (356, 71)])
def test_some_videos_may_be_missing(sizes):
    assert published(grjca(), sizes)


@pytest.mark.parametrize("sizes", [(350, 76), (356, 70), (357, 76), (356, 77), (76, 356)])
def test_other_data_has_no_published_figure(sizes):
    assert published(grjca(), sizes) is None


def test_a_report_shows_them_for_the_same_settings_only(fitted, tmp_path):
    run = shutil.copytree(fitted.run_dir, tmp_path / "run")
    assert read_record("run", run, "validation").published is None
    config = json.loads((run / "config.json").read_text())
    like = {"split": "aff-wild2", "recursions": 3, "window": 300, "head_options": {}}
    (run / "config.json").write_text(json.dumps({**config, **like}))
    assert read_record("run", run, "validation").published is None  # eight videos
    cache = json.loads((run / "cache.json").read_text())
    cache["videos"] = {
        name: [str(i) for i in range(count)]
        for name, count in zip(("train", "validation"), SIZES[0], strict=True)
    }
    (run / "cache.json").write_text(json.dumps(cache))
    found = read_record("run", run, "validation").published
    assert found == {"valence": 0.459, "arousal": 0.652, "mean": pytest.approx(0.5555)}
