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
from vapipe.fusion import FitConfig, ccc, fit, load_run
from vapipe.fusion.config import typed_option
from vapipe.fusion.evaluation.metrics import moments
from vapipe.fusion.papers.sweep import Result, Row, cross, plan_sweep, run_sweep
from vapipe.fusion.papers.table import by_fold, tabulate, to_csv, to_latex, to_markdown


def plan(planted, small, out, heads=("concat", "grjca"), seeds=(0, 1), folds=(), grid=None, **more):
    base = dataclasses.replace(small, epochs=2, head_options={}, split="aff-wild2")
    rows = cross(heads, grid or {})
    return plan_sweep(planted, base, rows, out=out, folds=folds, seeds=seeds, **more)


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
        results_of(tasks, [(0.1, 0.1), (0.2, 0.2), (0.4, 0.4), (0.6, 0.6)]), "concat", by_fold
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
    bad = CliRunner().invoke(main, [*arguments[:3], "--folds", "x"])
    assert bad.exit_code == 2
    assert "expected numbers such as 0-2" in bad.stderr
    arguments += ["--grid", "learning_rate=1e-3,1e30", "--set", "epochs=2"]
    part = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "other")])
    assert part.exit_code == 3
    assert "concat__learning_rate_1e_30-fold0-seed0: training of the joint" in part.stderr


# -- what is asked for acts, or is refused ---------------------------------------------------------

# Two further values for every field; how a grid takes it is found out by the test below.
OTHERS = {
    "head": ["rjca", "tagf"],
    "variant": ["paper", "official"],
    "recursions": [1, 3],
    "head_options": [{"dropout": 0.1}, {"dropout": 0.3}],
    "streams": [{"video": "onet"}, {"audio": "logmel"}],
    "missing_streams": ["skip", "stop"],
    "split": ["aff-wild2", "k-fold"],
    "subjects": ["", "subjects.csv"],
    "targets": ["per_target", "joint"],
    "tcn_channels": [{"video": (4,), "audio": (4,)}, {"video": (5,), "audio": (6,)}],
    "tcn_kernels": [(3,), (3, 5)],
    "regressor": ["linear", "gelu"],
    "optimizer": ["adam", "adamw"],
    "schedule": ["cosine", "constant"],
    "device": ["auto", "cpu"],
    "precision": ["float32", "bfloat16"],
    "compile": [True, False],
    "causal": [True, False],
    "views": [True, False],
    "memory": ["map", "ram"],
    "stride": [20, 30],
    "window": [50, 60],
    "folds": [2, 3],
    "fold": [0, 1],
    "recipe": ["default", "published"],
    "tcn_norm": [True, False],
    "missing": ["token", "zero"],
    "restore_best": ["at_end", "each_epoch"],
    "loss_ddof": [0, 1],
    "init_from": ["", "run"],
    "freeze": [("head",), ("regressor",)],
}


def values_of(field):
    if field.name in OTHERS:
        return OTHERS[field.name]
    try:
        typed_option("grjca", field.name, 0.5)
    except ConfigError:
        return [2, 3]  # a whole number
    return [0.25, 0.5]


def typed(value):
    """A value as one types it into a grid."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {typed(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple):
        return str(list(value))
    return json.dumps(value)


def invoke(planted, out, *arguments):
    common = ["--cache", str(planted.root), "--out", str(out), "--jobs", "1"]
    return CliRunner().invoke(main, ["sweep", *common, *map(str, arguments)])


@pytest.fixture
def quick(tmp_path):
    path = tmp_path / "quick.toml"
    path.write_text(
        'targets = "joint"\nwindow = 50\nstride = 40\nbatch = 4\nepochs = 1\n'
        "[tcn_channels]\nvideo = [4]\naudio = [4]\n"
    )
    return path


@pytest.fixture
def planned(monkeypatch):
    """The tasks that a sweep would have run."""
    tasks = []

    def keep(these, **_):
        tasks.extend(these)
        raise KeyboardInterrupt

    monkeypatch.setattr("vapipe.fusion.papers.sweep.run_sweep", keep)
    return tasks


@pytest.mark.parametrize("head", ["grjca", "lfan", "transformer"])
@pytest.mark.parametrize("field", dataclasses.fields(FitConfig), ids=lambda field: field.name)
def test_every_option_of_a_grid_acts_or_is_refused(
    planted, quick, planned, tmp_path, monkeypatch, field, head
):
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{video},{video}" for video in planted.videos())
    (tmp_path / "subjects.csv").write_text(f"video,subject\n{rows}\n")
    values = values_of(field)
    grid = f"{field.name}={','.join(map(typed, values))}"
    heads = [] if field.name == "head" else ["--heads", head]
    result = invoke(planted, tmp_path / "out", "--config", quick, *heads, "--grid", grid)
    if result.exit_code != 3:  # refused, before anything is fitted
        assert result.exit_code in (1, 2), result.output
        assert field.name in result.stderr or "head " in result.stderr
        assert not planned
        return
    found = [task.config.to_json()[field.name] for task in planned]
    assert [json.loads(json.dumps(value)) for value in found] == [
        json.loads(json.dumps(value)) for value in values
    ]
    for task, value in zip(planned, found, strict=True):
        if field.name in ("fold", "seed"):
            assert getattr(task, field.name) == value
        elif field.name == "head":
            assert task.label == value
        else:
            assert task.label.startswith(f"{head}, {field.name} ")


BARE = ["--heads", "transformer", "--set", "tcn_channels={video = [], audio = []}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--split", "stored", "--folds", "0-2"],
            "fold does nothing here: it acts only with",
        ),
        (["--grid", "split=stored", "--folds", "0"], "fold does nothing here"),
        (["--grid", "folds=2,3"], "folds does nothing here: it acts only with split = k-fold"),
        (["--heads", "concat", "--grid", "recursions=1,2"], "recursions does nothing here"),
        (["--heads", "lfan", "--grid", "hidden=8,16"], "hidden does nothing here"),
        ([*BARE, "--set", "causal=false"], "causal does nothing in any row"),
        ([*BARE, "--grid", "tcn_kernels=[3],[5]"], "tcn_kernels does nothing here"),
        (["--heads", "sage", "--grid", "variant=official"], "variant does nothing here"),
        (
            ["--grid", "plateau_factor=0.1,0.5", "--set", "schedule=cosine"],
            "plateau_factor does",
        ),
        (["--grid", "tcn_channels.text=[3],[4]"], "tcn_channels.text does nothing here"),
        (["--heads", "grjca,grjca:official"], "are the same fit"),
        (["--grid", "learning_rate=1e-3,0.001"], "is in the sweep more than once"),
        (["--folds", "0,0"], "are the same fit (fold 0, seed 0)"),
        (["--folds", "2-0"], "expected numbers such as 0-2"),
        (["--folds", "0", "--grid", "fold=1"], "fold is given twice"),
        (["--seeds", "2", "--set", "seed=1"], "seed is given twice"),
        (["--heads", "rjca", "--grid", "head=grjca"], "head is given twice"),
        (["--split", "k-fold", "--grid", "split=k-fold"], "split is given twice"),
        (["--grid", "learning_rate=1,2", "--set", "learning_rate=1"], "learning_rate is both set"),
        (["--grid", "batch=2", "--grid", "batch=3"], "--grid batch is given more than once"),
        (["--set", "head=3"], "head must be text, got 3"),
        (["--heads", "grjca:paper", "--set", "variant=official"], "variant does nothing in any"),
        (
            ["--set", "tcn_channels.video=[3]", "--grid", "tcn_channels={video = [2]}"],
            "tcn_channels.video does nothing in any row: it acts only where no row sets it",
        ),
        (
            ["--grid", "tcn_channels.video=[3]", "--grid", "tcn_channels={video = [2]}"],
            "tcn_channels.video is varied, and with it its whole option",
        ),
        (["--devices", "cpu", "--set", "device=cpu"], "device is set, and varied"),
        (["--grid", "device=cpu,cuda"], "where fits run is said by --devices"),
        (["--grid", "tcn_kernels=[3,5"], "[3,5: [ is not closed"),
        (["--grid", "tcn_kernels=3,5"], "tcn_kernels must be a list"),
        (["--grid", "recursions=2.5"], "recursions must be a whole number"),
        (["--grid", "fold=a"], "fold must be a whole number"),
        (["--heads", "grjca:nothing"], "no variant or preset `nothing`; variants: official, paper"),
        (["--heads", "transformer:x"], "presets: ctyunai, hfut-mac, situ-rucaim3, netease-fuxi"),
        (["--heads", "grjca:paper", "--grid", "variant=paper"], "variant is varied, and set by"),
    ],
)
def test_what_cannot_act_is_refused_by_name(planted, quick, planned, tmp_path, arguments, message):
    result = invoke(planted, tmp_path / "out", "--config", quick, *arguments)
    assert result.exit_code in (1, 2), result.output
    assert message in result.stderr
    assert not planned


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--folds", "0-2"], [("aff-wild2", f, 0) for f in (0, 1, 2)]),
        (["--grid", "fold=0,1,2"], [("aff-wild2", f, 0) for f in (0, 1, 2)]),
        (["--set", "split=k-fold", "--folds", "0-2"], [("k-fold", f, 0) for f in (0, 1, 2)]),
        (["--split", "k-fold", "--grid", "fold=1"], [("k-fold", 1, 0)]),
        (["--split", "aff-wild2", "--set", "fold=2"], [("aff-wild2", 2, 0)]),
        (["--grid", "seed=1,7"], [("stored", 0, 1), ("stored", 0, 7)]),
        (["--seeds", "2"], [("stored", 0, 0), ("stored", 0, 1)]),
        (["--set", "seed=5"], [("stored", 0, 5)]),
    ],
)
def test_folds_and_seeds_are_those_asked_for(
    planted, quick, planned, tmp_path, arguments, expected
):
    result = invoke(planted, tmp_path / "out", "--config", quick, *arguments)
    assert result.exit_code == 3, result.output
    assert [(u.config.split, u.config.fold, u.config.seed) for u in planned] == expected
    assert [(u.fold, u.seed) for u in planned] == [each[1:] for each in expected]
    assert {task.label for task in planned} == {"grjca"}


def test_streams_lists_variants_and_presets_are_swept(planted, quick, planned, tmp_path):
    result = invoke(
        planted, tmp_path / "out", "--config", quick, "--heads", "concat",
        "--grid", 'streams={video="onet"},{audio="logmel"},{video="onet",audio="logmel"}',
        "--grid", "tcn_kernels=[3],[3,5]",
    )  # fmt: skip
    assert result.exit_code == 3, result.output
    assert [(set(u.config.streams), u.config.tcn_kernels) for u in planned] == [
        (roles, kernels)
        for roles in ({"video"}, {"audio"}, {"video", "audio"})
        for kernels in ((3,), (3, 5))
    ]
    assert planned[5].label == (
        "concat, streams {video = onet, audio = logmel}, tcn_kernels [3, 5]"
    )
    planned.clear()
    result = invoke(planted, tmp_path / "out", "--heads", "grjca:paper,sage,transformer:ctyunai")
    assert result.exit_code == 3, result.output
    assert [(u.config.head, u.config.variant, u.config.head_options) for u in planned] == [
        ("grjca", "paper", {}),
        ("sage", "paper", {}),
        ("transformer", "paper", {"preset": "ctyunai"}),
    ]


def test_what_all_rows_share_is_left_out_where_it_does_nothing(planted, quick, planned, tmp_path):
    result = invoke(
        planted, tmp_path / "out", "--config", quick, "--heads", "concat,lfan,grjca",
        "--set", "recursions=3", "--set", "hidden=8",
    )  # fmt: skip
    assert result.exit_code == 3, result.output
    assert [u.config.hidden for u in planned] == [8, 256, 8]
    assert [u.config.recursions for u in planned] == [None, None, 3]


def test_every_label_is_what_the_run_says_of_itself(planted, quick, tmp_path):
    """Through processes, interrupted between, over devices, with a seed added later."""
    out = tmp_path / "out"
    common = [
        "--config", quick, "--heads", "concat,rjca:paper", "--folds", "0-1",
        "--grid", "tcn_kernels=[3],[3,5]",
    ]  # fmt: skip
    first = invoke(planted, out, *common, "--devices", "cpu,auto")
    assert first.exit_code == 0, first.output
    again = invoke(planted, out, *common, "--devices", "cpu,auto", "--seeds", 2)
    assert again.exit_code == 0, again.output
    assert again.stdout.count("(finished before)") == 8
    records = json.loads((out / "results.json").read_text())
    assert len({record["run"] for record in records}) == len(records) == 16
    for record in records:
        config = json.loads((out / record["run"] / "config.json").read_text())
        name = {"rjca": f"rjca:{config['variant']}"}.get(config["head"], config["head"])
        kernels = ", ".join(map(str, config["tcn_kernels"]))
        assert record["label"] == f"{name}, tcn_kernels [{kernels}]"
        assert (record["fold"], record["seed"]) == (config["fold"], config["seed"])
        assert f"-fold{config['fold']}-seed{config['seed']}" in record["run"]


def test_an_interrupted_fit_goes_on_where_it_began(planted, small, tmp_path):
    """Another seed or device in the command moves no fit that has begun elsewhere."""
    (task,) = plan(planted, small, tmp_path, heads=("concat",), seeds=(0,), devices=["auto"])

    def interrupt(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(planted, task.config, task.folder, interrupt)
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
    tasks = plan_sweep(planted, small.changed({"head_options": {}}), rows, out=tmp_path)
    assert [(u.label, u.config.head) for u in tasks] == [
        ("without video", "concat"),
        ("full model", "grjca"),
    ]
    assert tasks[0].folder.name == "without_video-fold0-seed0"
