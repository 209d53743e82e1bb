"""`vapipe sweep --paper` makes every table in every form, says how long, and refuses clearly."""

import json

import pytest
from fitted import QUICK
from terminal import vapipe_

from vapipe.fusion.papers import paper as papers

TOML = """
title = "Little"
roles = ["video", "audio"]
training = ""

[shared]
split = "aff-wild2"
window = 50
stride = 40

[[table]]
name = "systems"
title = "Systems on fold 0"
rows = [{ heads = ["concat"] }, { heads = ["rjca"], vary = [{ recursions = 1 }] }]

[[table]]
name = "under"
title = "Robustness"
rows = [{ heads = ["concat"] }]
damages = ["drop-audio=0,1", "noise-video=1"]
"""


@pytest.fixture
def command(planted, tmp_path, monkeypatch):
    """`vapipe sweep --paper little` with further words, beside the folder `out`."""
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "little.toml").write_text(TOML)
    monkeypatch.setattr(papers, "files", lambda package: tmp_path / "papers")
    quick = [f"--set={key}={json.dumps(value)}" for key, value in QUICK.items()]

    def run(*words, out="out"):
        fixed = ("--cache", planted.root, "--out", tmp_path / out, "--jobs", 1)
        return vapipe_("sweep", "--paper", "little", *fixed, *quick, *words)

    return run


def test_the_command_makes_every_table_in_every_form(command, tmp_path):
    plan = command("--dry-run")
    assert plan.exit_code == 0, plan.output
    assert "systems: 2 rows of 2 fits" in plan.stdout
    assert "under-drop-audio: 1 row of 1 fit under 2 damages" in plan.stdout
    assert "2 fits" in plan.stdout
    assert "0 finished, 2 to fit: at most about" in " ".join(plan.stdout.split())
    assert "2 by one timed training step of each kind" in " ".join(plan.stdout.split())
    assert not (tmp_path / "out").exists()
    result = command()
    assert result.exit_code == 0, result.output
    for title in ("Systems on fold 0", "Robustness: drop-audio", "Robustness: noise-video"):
        assert f"\n{title}\n" in result.stdout
    assert "concat, drop-audio 1, fold 0, seed 0: evaluated" in result.stdout
    for name in ("systems", "under-drop-audio", "under-noise-video"):
        for suffix in ("csv", "md", "tex"):
            text = (tmp_path / f"out/{name}.{suffix}").read_text()
            assert "concat" in text
            assert suffix == "csv" or "All rows with epochs=1, hidden=8," in text
    again = command()
    assert again.stdout.count("(finished before)") == 2
    assert "evaluated" not in again.stdout
    assert "all are finished" in command("--dry-run").stdout
    other = " ".join(command("--dry-run", "--seeds", 2).stdout.split())
    assert "2 finished, 2 to fit" in other
    assert "2 as long as finished runs of their kind" in other


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--heads", "grjca"], 2, "--paper says what is compared; leave out --heads"),
        (["--grid", "hidden=8,16"], 2, "leave out --grid"),
        (["--folds", "0-1"], 2, "leave out --folds"),
        (["--per-fold"], 2, "leave out --per-fold"),
        (["--baseline", "rjca"], 2, "leave out --baseline"),
        (["--set", "head=rjca"], 2, "leave out --set head"),
        (["--set", "folds=3"], 1, "folds does nothing in any row"),
        (["--set", "epoch=3"], 1, "did you mean `epochs`?"),
        (
            ["--set", "streams.video=onet"],
            1,
            "the systems of the paper little have the streams video, audio; ",
        ),
    ],
)
def test_what_cannot_be_is_one_message(command, tmp_path, words, code, message):
    result = command(*words)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_paper_that_is_not_there_is_named(planted):
    result = vapipe_("sweep", "--paper", "rjca", "--cache", planted.root)
    assert result.exit_code == 1
    assert "no paper is called `rjca`; there are: grjca, mstcn, sage, tagf" in result.stderr


def test_dry_run_of_a_sweep_without_a_paper(planted, tmp_path):
    small = {**QUICK, "window": 50, "stride": 40}
    quick = [f"--set={key}={json.dumps(value)}" for key, value in small.items()]
    words = ("--heads", "concat", "--cache", planted.root, "--out", tmp_path / "out", "--dry-run")
    result = vapipe_("sweep", *words, *quick)
    assert result.exit_code == 0, result.output
    assert "table: 1 row of 1 fit" in result.stdout
    assert "0 finished, 1 to fit" in " ".join(result.stdout.split())
    assert not (tmp_path / "out").exists()
