"""`import vapipe` gives both stages to a notebook, says what the commands say, and is light."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from extracted import SMALL
from extracted import cache as cache
from extracted import runs as runs
from extracted import videos as videos

import vapipe
from vapipe.errors import ArgumentsError, CacheError, ConfigError
from vapipe.fusion.evaluation.results import read_predictions
from vapipe.fusion.evaluation.robustness import read_points

FRAMES = {"faces": "frame", "jobs": 1, "device": "cpu"}


def test_both_stages_from_a_folder_to_predictions(videos, cache, runs, tmp_path):
    told = []
    root, run = tmp_path / "cache", tmp_path / "run"
    done = vapipe.extract_features(
        videos, cache=root, streams=["onet", "logmel"], progress=told.append, **FRAMES
    )
    assert (done.extracted, done.complete, done.problems) == (2, 0, [])
    assert [outcome.video for outcome in told] == ["a", "b"]
    store = vapipe.open_cache(root)
    assert np.array_equal(store.read("b", "onet"), vapipe.open_cache(cache).read("b", "onet"))

    result = vapipe.fit(root, head="grjca", run=run, device="cpu", **SMALL)
    assert (run / "config.json").is_file()
    evaluation = vapipe.evaluate(run, root, device="cpu")
    assert evaluation.ccc == result.evaluation.ccc
    assert list(vapipe.evaluate([run, runs / "one"], store, device="cpu")) == ["run", "one"]

    found = vapipe.predict(run, videos / "b.mp4", out=tmp_path / "out", device="cpu")
    assert found.problems == 0
    assert np.array_equal(found.items["b"].values, result.evaluation.predictions["b"])
    assert np.array_equal(found.items["b"].pts, store.timeline("b").pts)
    assert found.items["b"].clip == videos / "b.mp4"
    assert np.allclose(read_predictions(tmp_path / "out", "b"), found.items["b"].values, atol=1e-6)
    assert vapipe.report(run).path == run / "report.html"


def test_a_second_extraction_has_nothing_to_do(videos, cache):
    done = vapipe.extract_features(videos, cache=cache, **FRAMES)
    assert (done.extracted, done.complete, done.usable) == (0, 2, 2)


def test_items_of_a_cache_are_predicted_by_several_runs(cache, runs):
    both = vapipe.predict([runs / "one", runs / "two"], cache=cache, items=["a"], device="cpu")
    each = [
        vapipe.predict(runs / n, cache=cache, items=["a"], device="cpu") for n in ("one", "two")
    ]
    mean = np.mean([found.items["a"].values for found in each], axis=0)
    assert np.allclose(both.items["a"].values, mean, atol=1e-6)
    assert [share["valence"] for share in both.shares.values()] == [0.5, 0.5]


def test_a_sweep_from_a_notebook_gives_tables_and_goes_on(cache, tmp_path):
    asked = {"heads": ["concat", "rjca"], "changes": {**SMALL, "device": "cpu"}, "jobs": 1}
    planned = vapipe.sweep(cache, out=tmp_path / "out", **asked)
    assert planned.estimate().fits == len(planned.tasks) == 2
    results = planned.run()
    ((table, rows),) = planned.tabulate(results)
    assert [row.label for row in rows] == ["concat", "rjca"]
    assert (tmp_path / "out" / f"{table.name}.csv").is_file()
    again = vapipe.sweep(cache, out=tmp_path / "out", **asked)
    assert again.estimate().fits == 0
    assert all(result.earlier for result in again.run())
    with pytest.raises(ArgumentsError, match="head is given twice"):
        vapipe.sweep(cache, heads=["concat"], changes={"head": "rjca"})


def test_robustness_is_measured_and_kept(cache, runs, tmp_path):
    run = shutil.copytree(runs / "one", tmp_path / "one")
    (curve,) = vapipe.robustness(run, ["drop-audio=0,1"], cache, device="cpu")
    assert [damage.severity for damage, _ in curve] == [0, 1]
    plain = vapipe.evaluate(run, cache, device="cpu", out=tmp_path / "out")
    assert curve[0][1]["one"].ccc == plain.ccc
    assert len(read_points(run, "validation")) == 2
    assert (tmp_path / "out" / "evaluation-validation.json").is_file()


def test_what_does_not_go_together_is_refused(videos, cache, runs):
    with pytest.raises(ConfigError, match="--faces is for video files"):
        vapipe.predict(runs / "one", cache=cache, faces=videos, device="cpu")
    with pytest.raises(ConfigError, match="for items of the cache, not both"):
        vapipe.predict(runs / "one", videos / "b.mp4", items=["a"], device="cpu")
    with pytest.raises(ConfigError, match="no option of fit is called `heads`"):
        vapipe.fit(cache, heads="grjca")
    with pytest.raises(ArgumentsError, match="resume names the run and its configuration"):
        vapipe.fit(cache, resume=runs / "one", run=runs / "new")
    with pytest.raises(CacheError, match="is not a vapipe cache"):
        vapipe.open_cache(videos)
    with pytest.raises(AttributeError, match="no attribute 'extrakt'"):
        _ = vapipe.extrakt


def test_importing_it_loads_nothing_heavy():
    script = (
        "import sys, vapipe; assert 'report' in vapipe.__all__; "
        "print(sorted({'torch', 'numpy', 'h5py', 'av', 'click'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert shown.stdout.strip() == "[]", shown.stderr
