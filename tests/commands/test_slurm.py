"""`--slurm FILE` of `fit` and `sweep`: batch files, run here as SLURM's array tasks would."""

import json
import os
import shlex
import subprocess

import pytest
from fusion_caches import write_planted
from terminal import vapipe_

QUICK = {
    "targets": "joint",
    "window": 50,
    "stride": 40,
    "batch": 4,
    "epochs": 1,
    "hidden": 8,
    "tcn_channels": {"video": [8], "audio": [8]},
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    write_planted(folder / "my cache")
    (folder / "quick.json").write_text(json.dumps(QUICK))
    return folder


@pytest.fixture
def common(planted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return ("--config", planted / "quick.json", "--cache", planted / "my cache")


def task(script, number=None):
    """Run the file as one task of the array; `srun` is played by what runs its words."""
    tools = script.parent / "tools"
    tools.mkdir(exist_ok=True)
    (tools / "srun").write_text('#!/bin/sh\nexec "$@"\n')
    (tools / "srun").chmod(0o755)
    words = {} if number is None else {"SLURM_ARRAY_TASK_ID": str(number)}
    environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}"} | words
    done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tasks_of_a_sweep_and_then_its_command_make_the_tables_of_a_sweep(common, tmp_path):
    words = ("sweep", "--heads", "concat", "--seeds", 2, *common)
    script = tmp_path / "job.sh"
    written = vapipe_(*words, "--slurm", script)
    assert written.exit_code == 0
    assert "2 tasks for 2 fits" in written.stdout
    assert not (tmp_path / "vapipe-sweep").exists()
    said = task(script, 1)
    assert said.count(": CCC") == 1
    assert "the same command without --partition makes the tables" in said
    made = {path.name for path in (tmp_path / "vapipe-sweep").iterdir()}
    assert made == {"concat-fold0-seed0"}  # no table, no results
    collect = shlex.split(written.stdout.split("makes the tables: ")[1])
    assert collect == [str(word) for word in ("vapipe", *words)]
    task(script, 2)
    whole = vapipe_(*collect[1:])
    assert whole.stdout.count("(finished before)") == 2
    assert vapipe_(*words, "--out", "once").exit_code == 0
    for table in ("table.csv", "table.md"):
        one, parts = tmp_path / "once" / table, tmp_path / "vapipe-sweep" / table
        assert one.read_text() == parts.read_text()


def test_a_fit_over_folds_is_an_array_and_a_task_goes_on_where_it_was(common, tmp_path):
    script = tmp_path / "kf.sh"
    words = ("fit", "--head", "concat", "--split", "k-fold", "--folds", 3, *common)
    written = vapipe_(*words, "--slurm", script)
    assert "kf.sh: 3 tasks" in written.stdout
    assert "#SBATCH --array=0-2\n" in script.read_text()
    assert "epoch 1 " in task(script, 2)
    run = tmp_path / "vapipe-runs" / "kf-fold2"
    config = json.loads((run / "config.json").read_text())
    assert (config["fold"], config["folds"]) == (2, 3)
    assert "vapipe-runs/kf-fold2 is finished" in task(script, 2)
    (run / "model.safetensors").unlink()  # as if it had been stopped
    assert f"resuming vapipe-runs/{run.name}" in task(script, 2)
    assert (run / "model.safetensors").exists()
    listed = shlex.split(written.stdout.split("through: ")[1].splitlines()[0])
    assert "kf-fold2" in vapipe_(*listed[1:]).stdout


def test_one_fit_is_one_task(common, tmp_path):
    script = tmp_path / "one.sh"
    for own in ((), ("--split", "k-fold", "--fold", 1)):
        vapipe_("fit", "--head", "concat", *own, *common, "--slurm", script, "--run", "my run")
        text = script.read_text()
        assert "--array" not in text
        assert "run='my run'\n" in text


def test_the_site_s_settings_are_given_or_left_open(common, tmp_path):
    script = tmp_path / "job.sh"
    fit = ("fit", "--head", "concat", *common, "--slurm", script)
    vapipe_(*fit)
    assert "##SBATCH --partition=NAME\n##SBATCH --account=NAME\n" in script.read_text()
    site = ("--sbatch", "partition=gpu", "--sbatch", "account=me", "--sbatch", "time=04:00:00")
    vapipe_(*fit, *site, "--device", "cuda")
    text = script.read_text()
    for line in ("partition=gpu", "account=me", "time=04:00:00", "gres=gpu:1", "signal=TERM@120"):
        assert f"\n#SBATCH --{line}\n" in text
    assert "=NAME" not in text
    assert "24:00:00" not in text
    assert text.index("activate") < text.index("vapipe fit") or "export PATH=" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fit", "--sbatch", "time=1"), "--sbatch is of the file that --slurm FILE writes"),
        (("sweep", "--tasks", 2), "--tasks and --sbatch are of the file that --slurm FILE writes"),
        (
            ("sweep", "--slurm", "f.sh", "--partition", "1/2"),
            "--slurm FILE makes the parts itself: leave --partition out",
        ),
        (("fit", "--slurm", "f.sh", "--sbatch", "gpu"), "--sbatch gpu: expected NAME=VALUE"),
    ],
)
def test_what_does_not_go_together_is_refused(common, words, said):
    result = vapipe_(*words, *common)
    assert result.exit_code == 2
    assert said in result.stderr


def test_a_part_that_is_none_is_refused(common):
    result = vapipe_("sweep", *common, "--partition", "3/2")
    assert result.exit_code == 1
    assert "--partition 3/2: give i/n with i from 1 to n" in result.stderr
