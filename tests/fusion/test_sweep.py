"""Sweeps: every fit once, resumable, failures apart, statistics worked out independently."""

import dataclasses
import json
import math
import os
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from deadly_fit import DeadlyConfig
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vapipe.cache import ConfigError
from vapipe.cli import main
from vapipe.commands.sweep import lay_out
from vapipe.fusion import FitConfig, fit, load_run
from vapipe.fusion.papers.published import PUBLISHED
from vapipe.fusion.papers.sweep import Result, plan_sweep, run_sweep
from vapipe.fusion.papers.table import tabulate, to_csv, to_latex, to_markdown


def plan(planted, small, out, heads=("concat", "grjca"), seeds=(0, 1), folds=(), grid=None):
    base = dataclasses.replace(small, epochs=2, head_options={}, split="aff-wild2")
    return plan_sweep(
        planted,
        base,
        out=out,
        heads=heads,
        grid=grid or {},
        folds=folds,
        seeds=seeds,
        devices=["cpu"],
        threads=1,
    )


def sweep(tasks, jobs=1):
    seen = []
    return run_sweep(tasks, jobs=jobs, report=seen.append), seen


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
    with pytest.raises(ConfigError, match="grjca is in the sweep more than once"):
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


def test_processes_give_what_one_process_gives(planted, small, tmp_path):
    serial, _ = sweep(plan(planted, small, tmp_path / "one"))
    parallel, _ = sweep(plan(planted, small, tmp_path / "two"), jobs=2)
    assert [r.ccc for r in parallel] == [r.ccc for r in serial]


def test_a_sweep_goes_on_where_it_stopped(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path / "sweep")
    whole, _ = sweep(plan(planted, small, tmp_path / "whole"))

    def stop(result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(tasks, jobs=1, report=stop)

    def interrupt(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # the second fit stopped after an epoch
        fit(planted, tasks[1].config, tasks[1].folder, interrupt)
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


def test_a_process_that_dies_costs_its_own_fit_only(planted, small, tmp_path, monkeypatch):
    monkeypatch.setenv("VAPIPE_TEST_PARENT", str(os.getpid()))
    tasks = plan(planted, small, tmp_path, heads=("concat",), seeds=(0, 1, 2))
    values = {f.name: getattr(tasks[1].config, f.name) for f in dataclasses.fields(FitConfig)}
    tasks[1] = dataclasses.replace(tasks[1], config=DeadlyConfig(**values))
    results, _ = sweep(tasks, jobs=2)
    assert [r.ccc is None for r in results] == [False, True, False]
    assert results[1].problem == "its process died (signal 9, SIGKILL)"


def results_of(tasks, scores):
    return [
        Result(task, {"valence": v, "arousal": a, "mean": (v + a) / 2})
        for task, (v, a) in zip(tasks, scores, strict=True)
    ]


def test_the_statistics_are_those_of_scipy(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path, seeds=(0, 1, 2), folds=(0, 1))
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.2, 0.8, size=(12, 2))
    first, second = tabulate(results_of(tasks, scores), "concat")
    base, other = scores[:6].mean(1), scores[6:].mean(1)
    assert first.mean["valence"] == pytest.approx(scores[:6, 0].mean())
    assert first.deviation["arousal"] == pytest.approx(scores[:6, 1].std(ddof=1))
    assert math.isnan(first.difference)
    expected = stats.ttest_1samp(other, 0).confidence_interval()
    assert second.interval == pytest.approx((expected.low, expected.high))
    paired = stats.ttest_rel(other, base)
    assert second.p == pytest.approx(paired.pvalue)
    assert second.difference == pytest.approx((other - base).mean())
    interval = paired.confidence_interval()
    assert second.difference_interval == pytest.approx((interval.low, interval.high))
    assert second.published == PUBLISHED["grjca"]


def test_only_fits_of_the_same_fold_and_seed_are_paired(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path)
    results = results_of(tasks, [(0.1, 0.1), (0.5, 0.5), (0.2, 0.2), (0.9, 0.9)])
    results[1] = dataclasses.replace(results[1], ccc=None, problem="why")
    row = tabulate(results, "concat")[1]
    assert row.difference == pytest.approx(0.1)
    assert math.isnan(row.p)
    with pytest.raises(ConfigError, match="baseline `tagf` is not in the sweep; there are: concat"):
        tabulate(results, "tagf")


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
    assert "0.459/0.652" in markdown
    assert "Published: validation CCC" in markdown
    assert r"grjca & 2 & 0.600 $\pm$ 0.141" in latex
    assert latex.count("\\\\") == 3


def test_a_tiny_p_is_not_zero_in_any_format(planted, small, tmp_path):
    tasks = plan(planted, small, tmp_path, seeds=(0, 1, 2))
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
    assert heading.split()[-3:] == ["difference", "p", "published"]  # not cut to 80 characters
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
    bad = CliRunner().invoke(main, [*arguments[:3], "--folds", "x"])
    assert bad.exit_code == 2
    assert "expected numbers such as 0-2" in bad.stderr
    arguments += ["--grid", "learning_rate=1e-3,1e30", "--set", "epochs=2"]
    part = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "other")])
    assert part.exit_code == 3
    assert "concat__learning_rate_1e_30-fold0-seed0: training of the joint" in part.stderr
