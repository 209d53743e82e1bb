"""What is asked of a sweep acts, or is refused by name; rows are called what their runs hold."""

import dataclasses
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import vapipe
from vapipe.cache import ConfigError
from vapipe.cli import main
from vapipe.fusion import FitConfig
from vapipe.fusion.config import typed_option

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

    monkeypatch.setattr("vapipe.fusion.papers.sweep.run_fits", keep)
    return tasks


@pytest.mark.parametrize("head", ["grjca", "transformer"])
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
    if result.exit_code != 130:  # refused, before anything is fitted
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
        (["--split", "stored", "--folds", "0-2"], "fold does nothing here: it acts only with"),
        (["--grid", "split=stored", "--folds", "0"], "fold does nothing here"),
        (["--grid", "folds=2,3"], "folds does nothing here: it acts only with split = k-fold"),
        (["--heads", "concat", "--grid", "recursions=1,2"], "recursions does nothing here"),
        (["--heads", "lfan", "--grid", "hidden=8,16"], "hidden does nothing here"),
        ([*BARE, "--set", "causal=false"], "causal does nothing in any row"),
        ([*BARE, "--grid", "tcn_kernels=[3],[5]"], "tcn_kernels does nothing here"),
        (["--heads", "sage", "--grid", "variant=official"], "variant does nothing here"),
        (["--grid", "plateau_factor=0.1,0.5", "--set", "schedule=cosine"], "plateau_factor does"),
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
    assert result.exit_code == 130, result.output
    assert [(u.config.split, u.config.fold, u.config.seed) for u in planned] == expected
    assert [(u.fold, u.seed) for u in planned] == [each[1:] for each in expected]
    assert {task.label for task in planned} == {"grjca"}


STATED = {
    "file": ({"config": 'split = "stored"\n'}, []),
    "run": ({"config": None}, []),  # config.json of a run, which states everything
    "set": ({}, ["--set", "split=stored"]),
    "option": ({}, ["--split", "stored"]),
    "grid": ({}, ["--grid", "split=stored"]),
}


@pytest.mark.parametrize("folds", [["--folds", "0-1"], ["--grid", "fold=0,1"]], ids=str)
@pytest.mark.parametrize("way", STATED)
def test_a_stated_split_is_kept_wherever_it_is_stated(planted, planned, tmp_path, way, folds):
    """Folds take aff-wild2 only where nothing says a split."""
    files, words = STATED[way]
    if files:
        path = tmp_path / ("own.toml" if files["config"] else "config.json")
        path.write_text(
            files["config"] or json.dumps(FitConfig(head="concat").resolved().to_json())
        )
        words = ["--config", path]
    result = invoke(planted, tmp_path / "out", "--heads", "concat", *words, *folds)
    assert result.exit_code == 1
    assert "fold does nothing here: it acts only with split = aff-wild2, k-fold or" in result.stderr
    assert not planned
    if files:  # an option wins over a file
        won = invoke(planted, tmp_path / "out", *words, *folds, "--split", "aff-wild2")
        assert won.exit_code == 130
        assert {task.config.split for task in planned} == {"aff-wild2"}
    with pytest.raises(ConfigError, match="fold does nothing here"):
        vapipe.sweep(planted, config=FitConfig(head="concat"), folds=[0, 1])


def test_streams_lists_variants_and_presets_are_swept(planted, quick, planned, tmp_path):
    result = invoke(
        planted, tmp_path / "out", "--config", quick, "--heads", "concat",
        "--grid", 'streams={video="onet"},{audio="logmel"},{video="onet",audio="logmel"}',
        "--grid", "tcn_kernels=[3],[3,5]",
    )  # fmt: skip
    assert result.exit_code == 130, result.output
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
    assert result.exit_code == 130, result.output
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
    assert result.exit_code == 130, result.output
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


def test_advice_of_a_plan_or_fit_can_be_followed_in_fit_and_in_sweep_alike():
    """What an error says outside of a whole command is an option of both."""
    root = Path(vapipe.__file__).parent
    shared = set.intersection(
        *({o for p in main.commands[c].params for o in p.opts} for c in ("fit", "sweep"))
    )
    for part in (
        "fusion/config.py",
        "fusion/acting.py",
        "fusion/data",
        "fusion/models",
        "device.py",
    ):
        for path in [root / part] if part.endswith(".py") else (root / part).rglob("*.py"):
            text = re.sub(r'"\s+f?"', "", path.read_text())
            for line in re.findall(r'f?"(.*)"', re.sub(r"`vapipe [^`]*`", "", text)):
                assert set(re.findall(r"--[a-z][a-z-]*", line)) <= shared, f"{path}: {line}"
