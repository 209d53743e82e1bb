"""Sweeps: every fit once, resumable, failures apart, statistics worked out independently."""

import dataclasses
import json
import math
import os
import shutil

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from deadly_fit import DeadlyConfig
from fitted import stop_fit
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vapipe.cache import ConfigError
from vapipe.cli import main
from vapipe.commands.sweep import lay_out
from vapipe.fusion import FitConfig, ccc, fit, load_run
from vapipe.fusion.evaluation.metrics import moments
from vapipe.fusion.papers.fits import Result, plan_fits, run_fits
from vapipe.fusion.papers.rows import Row, cross
from vapipe.fusion.papers.table import tabulate, to_csv, to_latex, to_markdown


def plan(planted, small, out, heads=("concat", "grjca"), seeds=(0, 1), folds=(), grid=None, **more):
    base = dataclasses.replace(small, epochs=2, head_options={}, split="aff-wild2")
    rows = cross(heads, grid or {})
    return plan_fits(planted, base, rows, out=out, folds=folds, seeds=seeds, **more)


def sweep(tasks, jobs=1):
    seen = []
    return run_fits(tasks, jobs=jobs, report=seen.append), seen


def test_every_combination_is_one_fit(planted, small, tmp_path):
    tasks = plan(
        planted, small, tmp_path, folds=(0, 1), grid={"hidden": [8, 16], "tcn_dropout": [0.0]}
    )
    assert len(tasks) == len({task.folder for task in tasks}) == 2 * 2 * 2 * 2
    assert tasks[0].label == "concat, hidden 8, tcn_dropout 0.0"
    assert {(u.config.head, u.config.hidden, u.fold, u.seed) for u in tasks} == {
        (head, hidden, fold, seed)
        for head in ("concat", "grjca")
        for hidden in (8, 16)
        for fold in (0, 1)
        for seed in (0, 1)
    }
    with pytest.raises(ConfigError, match="`grjca` is in the sweep more than once"):
        plan(planted, small, tmp_path, heads=("grjca", "grjca"))
    with pytest.raises(ConfigError, match="no head is called `nothing`"):
        plan(planted, small, tmp_path, heads=("concat", "nothing"))
    with pytest.raises(ConfigError, match="has the folds 0 to 5, got fold 6"):
        plan(planted, small, tmp_path, folds=(6,))


def test_a_fit_of_a_sweep_is_the_fit_of_its_configuration(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path / "sweep", heads=("concat",))
    results, seen = sweep(tasks)
    assert seen == results
    assert not any(result.earlier for result in results)
    alone = fit(planted, tasks[1].config, tmp_path / "alone")
    assert results[1].ccc == alone.evaluation.ccc
    assert load_run(tasks[1].folder).config == load_run(alone.run_dir).config


def test_a_sweep_leaves_the_threads_of_its_process_as_they_were(planted, small, tmp_path):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        (result,), _ = sweep(plan(planted, small, tmp_path, heads=("concat",), seeds=(0,)))
        assert result.ccc is not None
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_sweep_goes_on_where_it_stopped(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path / "sweep")
    whole, _ = sweep(plan(planted, small, tmp_path / "whole"))

    def stop(result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fits(tasks, jobs=1, report=stop)

    stop_fit(planted, tasks[1].config, tasks[1].folder)
    tasks[2].folder.mkdir()  # the third was killed while it began
    (tasks[2].folder / "config.json").write_text("{}")
    results, _ = sweep(tasks)
    assert [r.earlier for r in results] == [True, False, False, False]
    assert [r.ccc for r in results] == [r.ccc for r in whole]
    again, _ = sweep(tasks)
    assert all(r.earlier for r in again)
    other = [dataclasses.replace(u, config=dataclasses.replace(u.config, batch=3)) for u in tasks]
    with pytest.raises(ConfigError, match=r"another configuration \(batch: 4 then, 3 now\)"):
        sweep(other)


def test_a_fit_that_fails_takes_no_other_with_it(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path, heads=("concat",), grid={"learning_rate": [1e-3, 1e30]})
    results, _ = sweep(tasks)
    assert [r.ccc is None for r in results] == [False, False, True, True]
    assert "diverged" in results[2].problem
    rows = tabulate(results, tasks[0].label)
    assert (rows[1].fits, rows[1].failed) == (0, 2)
    assert math.isnan(rows[1].mean["mean"])


def test_processes_give_what_one_gives_and_one_that_dies_costs_its_own_fit_only(
    planted, small, tmp_path, monkeypatch
):
    monkeypatch.setenv("VAPIPE_TEST_PARENT", str(os.getpid()))
    few = {"heads": ("concat",), "seeds": (0, 1, 2)}
    serial, _ = sweep(plan(planted, small, tmp_path / "one", **few))
    tasks = plan(planted, small, tmp_path / "two", **few)
    values = {f.name: getattr(tasks[1].config, f.name) for f in dataclasses.fields(FitConfig)}
    tasks[1] = dataclasses.replace(tasks[1], config=DeadlyConfig(**values))
    results, _ = sweep(tasks, jobs=2)
    assert [r.ccc for r in results] == [serial[0].ccc, None, serial[2].ccc]
    assert results[1].problem == "its process died (signal 9, SIGKILL)"


def results_of(tasks, scores, moments=None):
    given = moments or [{}] * len(tasks)
    return [
        Result(task, {"valence": v, "arousal": a, "mean": (v + a) / 2}, sums)
        for task, (v, a), sums in zip(tasks, scores, given, strict=True)
    ]


def test_seeds_are_averaged_and_folds_are_tested(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path, seeds=(0, 1), folds=(0, 1, 2))
    scores = np.random.default_rng(0).uniform(0.2, 0.8, size=(12, 2))
    first, second = tabulate(results_of(tasks, scores), "concat")
    base, other = (part.reshape(3, 2, 2).mean(1) for part in (scores[:6], scores[6:]))
    assert first.mean["valence"] == pytest.approx(base[:, 0].mean())
    assert first.deviation["arousal"] == pytest.approx(base[:, 1].std(ddof=1))
    assert math.isnan(first.difference)
    assert math.isnan(first.p_holm)
    expected = stats.ttest_1samp(other.mean(1), 0).confidence_interval()
    assert second.interval == pytest.approx((expected.low, expected.high))
    paired = stats.ttest_rel(other.mean(1), base.mean(1))
    assert second.p == second.p_holm == pytest.approx(paired.pvalue)
    assert second.difference == pytest.approx((other - base).mean())
    interval = paired.confidence_interval()
    assert second.difference_interval == pytest.approx((interval.low, interval.high))
    assert second.videos == 0


def test_in_one_fold_the_videos_are_tested(planted, small, tmp_path):
    """Against leaving out the frames of each video, of every seed, and measuring anew."""
    tasks = plan(planted, small, tmp_path)
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(6, 30, 2)) + rng.normal(size=(6, 1, 2))
    fits = [truth * s + rng.normal(size=truth.shape) for s in (0.5, 0.6, 0.8, 0.9)]
    sums = [{str(i): moments(p[i], truth[i]) for i in range(6)} for p in fits]

    def mean(predictions, videos):
        p, t = (x[videos].reshape(-1, 2) for x in (predictions, truth))
        return np.mean([ccc(p[:, c], t[:, c]) for c in (0, 1)])

    def gain(videos):
        scores = [mean(p, videos) for p in fits]
        return (scores[2] + scores[3] - scores[0] - scores[1]) / 2

    whole = list(range(6))
    results = results_of(tasks, [(mean(p, whole),) * 2 for p in fits], sums)
    row = tabulate(results, "concat")[1]
    left = np.array([gain([v for v in whole if v != out]) for out in whole])
    error = np.sqrt(5 * left.var())
    assert row.difference == pytest.approx(gain(whole))
    known = stats.t(df=5, loc=gain(whole), scale=error)
    assert row.difference_interval == pytest.approx(known.interval(0.95))
    assert row.p == pytest.approx(2 * stats.t(df=5).sf(abs(gain(whole)) / error))
    assert row.videos == 6
    assert "Caution: intervals and tests over 6 videos are rough" in to_markdown([row])
    other = dict(list(sums[3].items())[1:])
    results[3] = dataclasses.replace(results[3], moments=other)
    assert math.isnan(tabulate(results, "concat")[1].p)  # not the same videos: not paired


def test_equal_heads_are_told_apart_in_five_percent_of_sweeps(planted, small, tmp_path):
    """Folds differ in difficulty and suit heads differently; seeds scatter. No head is better."""
    tasks = plan(planted, small, tmp_path, folds=range(5), seeds=range(3))
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(400):
        fold = rng.normal(size=(1, 5, 1)) * 0.1 + rng.normal(size=(2, 5, 1)) * 0.03
        scores = (0.5 + fold + rng.normal(size=(2, 5, 3)) * 0.01).ravel()
        found += tabulate(results_of(tasks, np.c_[scores, scores]), "concat")[1].p < 0.05
    assert 0.02 <= found / 400 <= 0.085


def test_many_heads_are_corrected(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path, heads=("concat", "rjca", "tagf"), folds=(0, 1, 2))
    scores = np.random.default_rng(3).uniform(0.2, 0.8, size=(18, 2))
    rows = tabulate(results_of(tasks, scores), "concat")
    low, high = sorted(rows[1:], key=lambda row: row.p)
    assert low.p_holm == pytest.approx(min(1, 2 * low.p))
    assert high.p_holm == pytest.approx(max(low.p_holm, high.p))


def test_rows_of_one_fold_are_compared_within_it(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path, folds=(0, 1), seeds=(0,))
    rows = tabulate(
        results_of(tasks, [(0.1, 0.1), (0.2, 0.2), (0.4, 0.4), (0.6, 0.6)]), "concat", per_fold=True
    )
    labels = ["concat, fold 0", "concat, fold 1", "grjca, fold 0", "grjca, fold 1"]
    assert [row.label for row in rows] == labels
    assert [row.difference for row in rows[2:]] == pytest.approx([0.3, 0.4])
    assert not any(row.same_as for row in rows)


def test_only_fits_of_the_same_fold_and_seed_are_paired(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path)
    results = results_of(tasks, [(0.1, 0.1), (0.5, 0.5), (0.2, 0.2), (0.9, 0.9)])
    results[1] = dataclasses.replace(results[1], ccc=None, problem="why")
    row = tabulate(results, "concat")[1]
    assert row.difference == pytest.approx(0.1)
    assert math.isnan(row.p)
    with pytest.raises(ConfigError, match="baseline `tagf` is not in the sweep; there are: concat"):
        tabulate(results, "tagf")


def test_presets_that_are_one_model_say_so(planted, small, tmp_path):
    names = ("transformer", *(f"transformer:{name}" for name in ("hfut-mac", "ctyunai")))
    tasks = plan(
        planted, small, tmp_path, (*names, "transformer:netease-fuxi"), shared={"tcn_channels": {}}
    )
    rows = tabulate(results_of(tasks, [(0.1, 0.2)] * len(tasks)), "transformer")
    assert [row.same_as for row in rows] == ["", "transformer", "", "transformer"]
    text = to_markdown(rows)
    assert "transformer:netease-fuxi is the same model as transformer: they differ by" in text


SAME = [
    ("grjca", "hgrjca", {"recursions": 1}),
    ("grjca:paper", "hgrjca:paper", {"recursions": 1, "head_options.gate": "uniform"}),
    ("grjca:paper", "dca:paper", {"recursions": 1, "regressor": "mlp"}),
]
OTHER = [
    ("grjca", "hgrjca", {"recursions": 2}),
    ("grjca", "grjca:paper", {"recursions": 1}),
    ("grjca", "tagf", {"recursions": 1, "head_options.gate": "uniform"}),
    ("grjca:paper", "dca:paper", {"recursions": 2, "regressor": "mlp"}),
    ("grjca", "dca", {"recursions": 1}),
    ("rjca", "grjca", {"recursions": 1, "head_options.normalize": True}),
]


@pytest.mark.parametrize(("one", "two", "options"), [*SAME, *OTHER])
def test_rows_are_the_same_model_where_they_train_to_the_same_numbers(
    planted, small, tmp_path, one, two, options
):
    grid = {name: [value] for name, value in options.items()}
    tasks = plan(planted, small, tmp_path, (one, two), seeds=(0,), grid=grid)
    results, _ = sweep(tasks)
    assert results[0].ccc is not None
    same = [row.same_as for row in tabulate(results, results[0].task.label)][1]
    assert same == (results[0].task.label if (one, two, options) in SAME else "")
    assert (results[0].ccc == results[1].ccc) == bool(same)


def test_the_tables_hold_the_same_numbers(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path, heads=("concat", "grjca"))
    rows = tabulate(results_of(tasks, [(0.1, 0.2), (0.3, 0.4), (0.5, 0.6), (0.7, 0.9)]), "concat")
    lines = to_csv(rows).splitlines()
    cells = dict(zip(lines[0].split(","), lines[2].split(","), strict=True))
    assert cells["head"] == "grjca"
    assert float(cells["valence mean"]) == pytest.approx(0.6)
    assert cells["failed"] == "0"
    markdown, latex = to_markdown(rows), to_latex(rows)
    assert "| grjca | 2 | 0.600 ± 0.141 | 0.750 ± 0.212 |" in markdown
    assert "Published" not in markdown
    assert r"grjca & 2 & 0.600 $\pm$ 0.141" in latex
    assert latex.count("\\\\") == 3


def test_a_tiny_p_is_not_zero_in_any_format(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path, seeds=(0,), folds=(0, 1, 2))
    scores = [(0.9, 0.9), (0.8, 0.8), (0.7, 0.7), (0.1, 0.1001), (0.0, 0.0), (-0.1, -0.1)]
    rows = tabulate(results_of(tasks, scores), "concat")
    assert 0 < rows[1].p < 1e-3
    assert "| <0.001 |" in to_markdown(rows)
    assert "$<$0.001" in to_latex(rows)
    assert repr(rows[1].p) in to_csv(rows)


@given(
    widths=st.lists(st.integers(1, 30), min_size=2, max_size=9),
    room=st.none() | st.integers(10, 120),
)
def test_columns_that_do_not_fit_beside_the_others_go_below(widths, room):
    columns = [[f"{i:x}" * width, "x"] for i, width in enumerate(widths)]
    tables = lay_out(columns, room)
    assert [word for top, _ in tables for word in top.split()[1:]] == [c[0] for c in columns[1:]]
    assert all(top.split()[0] == columns[0][0] for top, _ in tables)
    for top, below in tables:
        assert len(below.split()) == len(top.split())
        alone = len(top.split()) == 2
        assert room is None or alone or max(len(top), len(below)) <= room
    assert room is not None or len(tables) == 1


def test_the_command_prints_the_table_and_goes_on(planted, tmp_path):
    options = tmp_path / "options.toml"
    options.write_text(
        'targets = "joint"\nwindow = 50\nstride = 40\nbatch = 4\nepochs = 1\nhidden = 8\n'
        "[tcn_channels]\nvideo = [8]\naudio = [8]\n"
    )
    arguments = [
        *("sweep", "--heads", "concat,rjca", "--folds", "0-1", "--seeds", "2", "--jobs", "1"),
        *("--config", str(options), "--out", str(tmp_path / "out"), "--cache", str(planted.root)),
    ]
    first = CliRunner().invoke(main, arguments)
    assert first.exit_code == 0, first.output
    assert "8 fits in" in first.stdout
    assert first.stdout.count("CCC valence") == 8
    heading = next(line for line in first.stdout.splitlines() if line.startswith("head "))
    assert heading.split()[-4:] == ["difference", "p", "p", "(Holm)"]  # not cut to 80 characters
    table = (tmp_path / "out" / "table.md").read_text()
    assert table.splitlines()[2].startswith("| concat | 4 |")
    shutil.rmtree(tmp_path / "out" / "rjca-fold1-seed1")
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 0
    assert again.stdout.count("(finished before)") == 7
    assert (tmp_path / "out" / "table.md").read_text() == table
    records = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {r["run"] for r in records} == {
        f"{head}-fold{fold}-seed{seed}"
        for head in ("concat", "rjca")
        for fold in (0, 1)
        for seed in (0, 1)
    }
    bad = CliRunner().invoke(main, [*arguments, "--grid", "learning_rate"])
    assert bad.exit_code == 2
    assert "expected OPTION=VALUE" in bad.stderr
    bad = CliRunner().invoke(main, [*arguments, "--folds", "x"])
    assert bad.exit_code == 2
    assert "expected numbers such as 0-2" in bad.stderr
    arguments += ["--grid", "learning_rate=1e-3,1e30", "--set", "epochs=2"]
    part = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "other")])
    assert part.exit_code == 3
    assert "concat__learning_rate_1e_30-fold0-seed0: training of the joint" in part.stderr


def test_an_interrupted_fit_goes_on_where_it_began(planted, small, tmp_path):
    """Another seed or device in the command moves no fit that has begun elsewhere."""
    (task,) = plan(planted, small, tmp_path, heads=("concat",), seeds=(0,), devices=["auto"])

    stop_fit(planted, task.config, task.folder)
    moved = plan(planted, small, tmp_path, heads=("concat",), seeds=(0,), devices=["cpu"])
    (result,), _ = sweep(moved)
    assert result.ccc is not None
    assert load_run(task.folder).config.device == "auto"


def test_rows_may_be_anything(planted, small, tmp_path):
    """A list of rows with labels of their own, as an ablation has."""
    rows = [
        Row("without video", {"head": "concat", "streams": {"audio": "logmel"}}),
        Row("full model", {"head": "grjca", "recursions": 3}),
    ]
    tasks = plan_fits(planted, small.changed({"head_options": {}}), rows, out=tmp_path)
    assert [(u.label, u.config.head) for u in tasks] == [
        ("without video", "concat"),
        ("full model", "grjca"),
    ]
    assert tasks[0].folder.name == "without_video-fold0-seed0"
