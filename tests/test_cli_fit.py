"""`vapipe fit` as one types it: configuration, resuming, splits, what it prints."""

import json
import signal

import pytest
from children import Child
from fusion_caches import write_planted
from terminal import vapipe_

from vapipe.fusion.training.checkpoint import read_checkpoint

QUICK = """
head = "concat"
targets = "joint"
window = 50
stride = 40
batch = 4
epochs = 2
hidden = 16
[tcn_channels]
video = [8]
audio = [8]
"""


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_planted(tmp_path_factory.mktemp("planted") / "cache").root


@pytest.fixture
def quick(tmp_path):
    path = tmp_path / "quick.toml"
    path.write_text(QUICK)
    return path


def printed(*arguments):
    result = vapipe_("fit", "--print-config", *arguments)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_file_is_read_and_options_win(quick):
    config = printed("--config", quick, "--epochs", 5, "--set", "window=60", "--seed", 3)
    assert (config["head"], config["epochs"], config["window"], config["seed"]) == (
        "concat",
        5,
        60,
        3,
    )
    assert (config["tcn_channels"]["video"], config["tcn_channels"]["audio"]) == ([8], [8])


def test_a_recipe_is_taken_and_options_win_over_it():
    config = printed("--head", "lfan", "--recipe", "published", "--batch", 4)
    assert (config["recipe"], config["learning_rate"], config["batch"]) == ("published", 1e-5, 4)
    set_again = printed("--head", "lfan", "--recipe", "published", "--learning-rate", 1e-4)
    assert set_again["learning_rate"] == printed("--head", "lfan")["learning_rate"] == 1e-4
    assert [name for name, value in config.items() if value is None] == ["recursions"]


def test_stages_are_told(quick):
    config = printed("--init-from", "first", "--freeze", "head", "--freeze", "encoders.video")
    assert (config["init_from"], config["freeze"]) == ("first", ["head", "encoders.video"])


def test_any_option_can_be_set():
    config = printed(
        "--set", "head_options.dropout=0.3", "--set", "causal=false", "--set", "schedule=cosine"
    )
    assert config["head_options"] == {"dropout": 0.3}
    assert config["causal"] is False
    assert config["schedule"] == "cosine"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--set", "window"], 2, "expected OPTION=VALUE"),
        (["--set", "windw=3"], 1, "did you mean `window`?"),
        (["--set", "window.x=3"], 1, "option window has no entries, so window.x cannot be set"),
        (["--stream", "onet"], 2, "expected ROLE=NAME"),
        (["--set", "batch=2", "--set", "batch=3"], 2, "--set batch is given more than once"),
        (["--resume", "a", "--run", "b"], 2, "--resume RUN names the folder"),
    ],
)
def test_options_that_cannot_be_are_refused(arguments, code, message):
    result = vapipe_("fit", "--print-config", *arguments)
    assert result.exit_code == code
    assert message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fold", 3], "fold does nothing here: it acts only with split = aff-wild2, k-fold or"),
        (["--folds", 3, "--split", "aff-wild2"], "folds does nothing here"),
        (["--head", "lfan", "--set", "hidden=8"], "hidden does nothing here"),
        (["--set", "regressor=linear", "--set", "hidden=256"], "hidden does nothing here"),
        (["--head", "transformer", "--set", "causal=false"], "causal does nothing here"),
        (["--head", "transformer", "--set", "tcn_kernels=[3]"], "tcn_kernels does nothing here"),
        (["--head", "sage", "--variant", "official"], "variant does nothing here"),
        (["--head", "concat", "--recursions", 2], "recursions does nothing here"),
        (["--set", "schedule=cosine", "--set", "plateau_patience=2"], "plateau_patience does no"),
        (["--set", "schedule=constant", "--set", "min_learning_rate=0"], "min_learning_rate does"),
        (["--stream", "video=onet", "--set", "modality_dropout=0.1"], "modality_dropout does no"),
        (["--stream", "video=onet", "--set", "tcn_channels.text=[3]"], "tcn_channels.text does"),
    ],
)
def test_options_that_do_nothing_are_refused(arguments, message):
    result = vapipe_("fit", "--print-config", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr


def test_options_of_a_file_that_do_nothing_are_refused_and_so_are_those_the_cache_rules_out(
    planted, quick
):
    quick.write_text(f"folds = 3\n{QUICK}")
    result = vapipe_("fit", "--cache", planted, "--config", quick)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "folds does nothing here" in result.stderr
    quick.write_text(QUICK)
    common = ["fit", "--cache", planted, "--config", quick]
    result = vapipe_(*common, "--set", "tcn_channels.audio2=[3]")
    assert result.exit_code == 1
    assert "tcn_channels.audio2 does nothing here: it acts only where a stream" in result.stderr


def test_a_fit_says_what_it_does_and_an_interrupted_one_goes_on(planted, quick, tmp_path):
    run = tmp_path / "run"
    common = ["fit", "--cache", planted]
    result = vapipe_(
        *common, "--config", quick, "--run", run, "--split", "aff-wild2", "--fold", 1,
        "--track", "tensorboard",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "fitting concat (official, joint) on video=onet, audio=logmel" in result.stdout
    assert "2 validation videos (split aff-wild2, fold 1)" in result.stdout
    assert list((run / "tensorboard").glob("events*"))
    done = vapipe_(*common, "--resume", run)
    assert done.exit_code == 1
    assert "is finished; there is nothing to resume" in done.stderr
    (run / "model.safetensors").unlink()
    other = vapipe_(*common, "--resume", run, "--batch", 5)
    assert other.exit_code == 1
    assert "another configuration (batch: 4 then, 5 now)" in other.stderr
    again = vapipe_(*common, "--resume", run)
    assert again.exit_code == 0, again.output
    assert f"resuming {run}" in again.stdout
    lines = [line.partition("(")[0] for line in result.stdout.splitlines()]
    epochs = [line for line in lines if "epoch" in line and "loss" in line]
    assert epochs == [
        line.partition("(")[0] for line in again.stdout.splitlines() if "loss" in line
    ]


def test_an_unfinished_run_says_how_to_go_on(planted, quick, tmp_path):
    run = tmp_path / "run"
    assert vapipe_("fit", "--cache", planted, "--config", quick, "--run", run).exit_code == 0
    (run / "model.safetensors").unlink()
    result = vapipe_("evaluate", run, "--cache", planted)
    assert result.exit_code == 1
    assert f"`vapipe fit --resume {run}` resumes it" in result.stderr


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_a_fit_hears_how_to_go_on(planted, quick, tmp_path, asked):
    run = tmp_path / "run"
    options = ("--config", quick, "--epochs", 500, "--set", "patience=500")
    child = Child(["fit", "--cache", planted, *options, "--run", run], tmp_path)
    child.wait_until_said("epoch 3")
    child.signal(asked)
    result = child.result()
    assert result["code"] == 130
    assert f"stopped; `vapipe fit --resume {run}` resumes" in result["said"]
    assert not result["trace"]
    records = (run / "metrics.jsonl").read_text().splitlines()
    progress, _ = read_checkpoint(run)
    assert len(records) in (progress.epoch, progress.epoch - 1)
