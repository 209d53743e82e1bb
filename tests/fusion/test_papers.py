"""The tables of papers: labels say what ran, fits are shared, and all goes on when stopped."""

import dataclasses
import itertools
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from fitted import QUICK

import vapipe
from vapipe.cache import ConfigError
from vapipe.fusion import Corruption, FitConfig, describe_head, evaluate
from vapipe.fusion.acting import idle_options
from vapipe.fusion.config import option_types
from vapipe.fusion.evaluation.robustness import read_points
from vapipe.fusion.papers import estimate as estimates
from vapipe.fusion.papers.estimate import estimate
from vapipe.fusion.papers.fits import Result, run_fits
from vapipe.fusion.papers.paper import (
    Group,
    Paper,
    TableSpec,
    list_papers,
    of_table,
    plan_paper,
    read_paper,
)
from vapipe.fusion.papers.table import tabulate
from vapipe.fusion.typed import read_value

STRUCTURE = {"recursions", "tcn_channels", "tcn_kernels", "tcn_norm", "regressor", "hidden"}
NAMES = ("grjca", "mstcn", "sage", "tagf")
THREE = {"streams.video": "onet", "streams.audio": "logmel", "streams.audio2": "logmel"}
SMALL = {**QUICK, "window": 50, "stride": 40}


def changes_of(name):
    no_tcn = {"tcn_channels.video": (), "tcn_channels.audio": ()}  # quicker to build
    return {**SMALL, **(THREE if name == "mstcn" else no_tcn)}


def spoken(label, damage=None):
    """What a label says, as options; of a damaged row without its damage."""
    if damage is not None:
        label = label.removesuffix(f", {damage.kind} {damage.severity:g}")
    parts, depth = [""], 0
    for letter in label:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    head, *options = (part.strip() for part in parts)
    name, _, which = head.partition(":")
    said = {"head": name}
    if which:
        presets = describe_head(name).presets
        said["head_options.preset" if which in presets else "variant"] = which
    for option in options:
        key, _, value = option.partition(" ")
        said[key] = _value(value)
    return said


def _value(text):
    if text.startswith("{"):
        pairs = (pair.split(" = ") for pair in text.strip("{}").split(", "))
        return dict(pairs)
    return read_value(text)


# -- the four papers -------------------------------------------------------------------------------


def test_the_papers_are_there_and_installed():
    assert tuple(list_papers()) == NAMES
    root = Path(vapipe.__file__).parent
    tool = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert "*.toml" in tool["package-data"]["vapipe.fusion.papers"]


@pytest.fixture(scope="module")
def planned(planted, tmp_path_factory):
    """Name -> tables and fits of a paper on the planted cache."""
    out = tmp_path_factory.mktemp("planned")
    return {
        name: plan_paper(planted, read_paper(name), out=out / name, changes=changes_of(name))
        for name in NAMES
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_label_is_all_that_makes_a_row(planned, name):
    """The configuration is what the label says, and what all rows of the paper share."""
    paper, (tables, _) = read_paper(name), planned[name]
    streams = dict.fromkeys(paper.roles, "logmel") | {"video": "onet"}
    recipe = FitConfig(head=paper.training, recipe="published").resolved()
    trained = {*describe_head(paper.training).published} - STRUCTURE
    training = {option: getattr(recipe, option) for option in trained}
    found = {"streams": streams, "target_names": ("valence", "arousal")}  # in the cache
    shared = {**training, **paper.shared, **changes_of(name), **found}
    for table in tables:
        for task in table.tasks:
            changes = {**shared, **spoken(task.label), "fold": task.fold, "seed": task.seed}
            changes |= {"streams": changes.pop("streams")}  # wins over the names of its entries
            said = FitConfig().changed(changes).resolved()
            idle = {name.partition(".")[0] for name in idle_options(said, option_types())}
            expected, config = said.to_json(), task.config.to_json()
            channels, own = expected.pop("tcn_channels"), config.pop("tcn_channels")
            assert all(own[role] == channels[role] for role in config["streams"])
            for option in config.keys() - idle - {"tcn_channels"}:
                assert config[option] == expected[option], f"{task.label}: {option}"


@pytest.mark.parametrize("name", NAMES)
def test_every_paper_has_its_tables_and_each_row_is_another_model(planned, name):
    tables, tasks = planned[name]
    names = [table.name for table in tables]
    assert {"modalities", "windows", "robustness-shift-audio", "robustness-drop-audio"} <= {*names}
    assert {"robustness-occlude-video", "robustness-noise-audio"} <= {*names}
    main, gates = ("folds", "attention") if name == "mstcn" else ("systems", "gates")
    assert names[0] == main
    assert gates in names
    assert ("recursions" in names) == (name in ("grjca", "tagf"))
    for table in tables:
        assert table.baseline in [task.label for task in table.tasks]
        assert len({task.folder for task in table.tasks}) == len(table.tasks)
        for one, two in itertools.combinations(table.tasks, 2):
            assert one.config != two.config
            assert (one.label != two.label) or (one.fold != two.fold)
    folders = {task.folder for table in tables for task in table.tasks}
    assert [task.folder for task in tasks] == list(dict.fromkeys(task.folder for task in tasks))
    assert {task.folder for task in tasks} == folders
    assert len(tasks) < sum(len(table.tasks) for table in tables if not table.damages)
    same = {}
    for task in tasks:
        same.setdefault(json.dumps(task.config.to_json(), default=list), []).append(task.folder)
    assert all(len(found) == 1 for found in same.values())


@pytest.mark.parametrize(
    ("name", "table", "published"),
    [
        ("grjca", "systems", {"grjca, recursions 3": (0.459, 0.652), "dca": (0.451, 0.647)}),
        ("grjca", "recursions", {"hgrjca, recursions 3": (0.623, 0.671)}),
        ("tagf", "systems", {"tagf": (0.427, 0.676)}),
        ("sage", "systems", {"sage": (0.509, 0.674), "transformer:ctyunai": (0.55, 0.681)}),
        ("mstcn", "folds", {"mstcn": (0.367, 0.663)}),
    ],
)
def test_on_aff_wild2_the_published_figures_stand_beside(planned, name, table, published):
    """With as many videos as Aff-Wild2 has, and the papers' windows."""
    tables, _ = planned[name]
    (chosen,) = [each for each in tables if each.name == table]
    videos = {0: (356, 76), 1: (360, 72)}
    results = []
    for task in chosen.tasks:
        config = dataclasses.replace(task.config, window=300, stride=200)
        full = dataclasses.replace(task, config=config, videos=videos.get(task.fold, (361, 71)))
        results.append(Result(full, {"valence": 0.1, "arousal": 0.2, "mean": 0.15}))
    first_fold = [r for r in results if r.task.fold == chosen.tasks[0].fold]
    rows = {row.label: row.published for row in tabulate(first_fold, chosen.baseline)}
    assert {label: rows[label] for label in published} == published
    damage = Corruption("drop-audio", 1)
    damaged = []
    for result in first_fold:
        task = dataclasses.replace(result.task, corruption=damage)
        damaged.append(dataclasses.replace(result, task=task))
    assert not any(row.published for row in tabulate(damaged, chosen.baseline))


# -- from fits to tables ---------------------------------------------------------------------------

LITTLE = Paper(
    name="little",
    title="Two tables",
    roles=("video", "audio"),
    training="tagf",
    shared={"split": "aff-wild2", "window": 50, "stride": 40},
    tables=(
        TableSpec(
            "systems",
            "Systems",
            (Group(("concat",)), Group(("rjca",), ({"recursions": 1},))),
            folds=(0, 1),
        ),
        TableSpec(
            "gates",
            "Gates",
            (Group(("concat",), modalities=(("audio",), ("video", "audio"))),),
            baseline="concat, streams {video = onet, audio = logmel}",
        ),
        TableSpec("under", "Under", (Group(("concat",)),), damages=("drop-audio=0,1",)),
    ),
)


def lay_out(planted, out, **more):
    return plan_paper(planted, LITTLE, out=out, changes=QUICK, **more)


@pytest.fixture(scope="module")
def finished(planted, tmp_path_factory):
    """Tables, fits and results of the little paper, run in one go."""
    tables, tasks = lay_out(planted, tmp_path_factory.mktemp("little") / "out")
    return tables, tasks, run_fits(tasks, jobs=1, report=lambda result: None)


def rows_of(table, results, store, said=None):
    own, baseline = of_table(table, results, store, (said if said is not None else []).append)
    return own, tabulate(own, baseline)


def test_a_fit_of_several_tables_is_trained_once(finished, planted):
    tables, tasks, results = finished
    assert [len(table.tasks) for table in tables] == [4, 2, 1]
    assert len(tasks) == 5
    runs = tasks[0].folder.parent
    assert len(list(runs.iterdir())) == 5
    assert not any(result.earlier for result in results)
    alone = {t.name: [r.ccc for r in rows_of(t, results, planted)[0]] for t in tables[:2]}
    assert alone["gates"][1] == alone["systems"][0]  # concat of both streams, fold 0


def test_every_cell_is_of_the_run_that_its_label_names(finished, planted):
    tables, _, results = finished
    for table in tables:
        own, rows = rows_of(table, results, planted)
        for result in own:
            run = json.loads((result.task.folder / "config.json").read_text())
            record = json.loads((result.task.folder / "evaluation-validation.json").read_text())
            said = spoken(result.task.label, result.task.corruption)
            for option, value in said.items():
                name, dot, entry = option.partition(".")
                assert (run[name][entry] if dot else run[name]) == value
            assert (run["fold"], run["seed"]) == (result.task.fold, result.task.seed)
            if result.task.corruption is None:
                assert result.ccc == record["ccc"]
        for row in rows:
            mine = [r.ccc["mean"] for r in own if r.task.label == row.label]
            assert row.mean["mean"] == pytest.approx(np.mean(mine))


def test_rows_under_damage_are_the_damaged_evaluation_and_are_kept(finished, planted):
    tables, _, results = finished
    own, rows = rows_of(tables[2], results, planted)
    assert [row.label for row in rows] == ["concat, drop-audio 0", "concat, drop-audio 1"]
    for result in own:
        plain = evaluate(result.task.folder, planted, corruption=result.task.corruption)
        assert result.ccc == plain.ccc
        for file, sums in plain.moments.items():
            assert np.array_equal(result.moments[file], sums)
    assert own[0].ccc == next(r for r in results if r.task.folder == own[0].task.folder).ccc
    said = []
    again, _ = rows_of(tables[2], results, planted, said)
    assert said == []
    assert [r.ccc for r in again] == [r.ccc for r in own]
    assert all(row.same_as == "" for row in rows)
    assert len(read_points(own[0].task.folder, "validation")) == 2


def test_an_interrupted_paper_goes_on_to_the_same_tables(finished, planted, tmp_path):
    tables, _, results = finished
    _, tasks = lay_out(planted, tmp_path / "out")

    def stop(result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fits(tasks, jobs=1, report=stop)
    more, tasks = lay_out(planted, tmp_path / "out")
    resumed = run_fits(tasks, jobs=1, report=lambda result: None)
    assert sum(result.earlier for result in resumed) == 1
    for one, two in zip(tables, more, strict=True):
        whole, parts = rows_of(one, results, planted)[1], rows_of(two, resumed, planted)[1]
        assert [(r.label, r.mean, r.fits) for r in whole] == [
            (r.label, r.mean, r.fits) for r in parts
        ]


def test_other_options_make_other_runs_beside_the_first(finished, planted):
    _, tasks, _ = finished
    out = tasks[0].folder.parents[1]
    _, others = plan_paper(planted, LITTLE, out=out, changes={**QUICK, "learning_rate": 0.002})
    assert not {task.folder for task in tasks} & {task.folder for task in others}
    _, again = lay_out(planted, out, devices=["cpu"])
    assert [task.folder for task in again] == [task.folder for task in tasks]


def test_a_failed_fit_is_empty_in_its_tables_and_no_other(finished, planted):
    tables, _, results = finished
    broken = [
        dataclasses.replace(r, ccc=None, moments={}, problem="no") if i == 0 else r
        for i, r in enumerate(results)
    ]
    _, rows = rows_of(tables[2], broken, planted)
    assert [(row.fits, row.failed) for row in rows] == [(0, 1), (0, 1)]
    _, rows = rows_of(tables[0], broken, planted)
    assert [(row.fits, row.failed) for row in rows] == [(1, 1), (2, 0)]


# -- how long --------------------------------------------------------------------------------------


def test_the_estimate_is_steps_times_epochs_of_what_is_left(
    finished, planted, tmp_path, monkeypatch
):
    _, tasks, _ = finished
    monkeypatch.setattr(estimates, "time_step", lambda store, plan: 2.0)
    _, new = plan_paper(planted, LITTLE, out=tmp_path, changes={**QUICK, "epochs": 7, "batch": 1})
    left = estimate(planted, new[:1])
    assert (left.fits, left.finished, left.measured, left.timed) == (1, 0, 0, 1)
    lengths = {0: ([130, 95, 40, 130, 95, 40], [130, 95])}[new[0].fold]
    windows, after = ([max(1, -(-(n - 50) // 40) + 1) for n in part] for part in lengths)
    assert left.seconds == pytest.approx(2.0 * 7 * (sum(windows) + sum(after) / 3))
    done = estimate(planted, tasks)
    assert (done.fits, done.finished, done.seconds) == (0, 5, 0.0)


def test_a_fit_like_a_finished_one_takes_as_long(finished, planted):
    _, tasks, _ = finished
    out = tasks[0].folder.parents[1]
    _, both = lay_out(planted, out, seeds=[0, 1])
    left = estimate(planted, both)
    assert (left.fits, left.finished, left.measured, left.timed) == (5, 5, 5, 0)
    lines = [
        json.loads(line)["seconds"]
        for task in tasks
        for line in (task.folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert left.seconds == pytest.approx(sum(lines), rel=0.9)


def test_a_timed_step_leaves_nothing_behind(planted, tmp_path):
    _, tasks = lay_out(planted, tmp_path / "out")
    assert 0 < estimate(planted, tasks[:1]).seconds < 600
    assert not (tmp_path / "out").exists()


def test_the_streams_of_a_paper_are_named_one_by_one(planted, tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"paper mstcn have the streams video, audio, audio2; .* gives video=onet, "
        r"audio=logmel. Name one for each: --set streams.video=NAME --set streams.audio=NAME "
        r"--set streams.audio2=NAME",
    ):
        plan_paper(planted, read_paper("mstcn"), out=tmp_path, changes=SMALL)
