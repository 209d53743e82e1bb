"""Every command that README and documentation show runs as written, or says why it cannot here."""

import contextlib
import json
import os
import shutil
from pathlib import Path

import click
import pytest
from docs_commands import PAGES, blocks, check, commands, is_vapipe, name, spans
from plugged import forget_afterwards
from terminal import vapipe_

from vapipe.extract.synthetic.demo_set import write_demo_set

SMALL = {
    "tcn_channels": {"video": [8, 8], "audio": [8, 8], "audio2": [8, 8]},
    "window": 20,
    "stride": 20,
    "hidden": 8,
    "targets": "joint",
}
_SMALL = [f"--set={key}={json.dumps(value).replace(': ', ' = ')}" for key, value in SMALL.items()]
# Added to what is written, so that it takes a moment.
ADDED = {
    "extract": ["--jobs=1"],
    "fit": [*_SMALL, "--set=epochs=1"],
    "sweep": [*_SMALL, "--set=epochs=1", "--seeds=1", "--jobs=1"],
}
# Beginning of a command -> why the tests do not run it. Its words are parsed all the same.
NOT_RUN = {
    "python3 -m venv": "makes an environment",
    ". .venv": "the same",
    "pip install": "needs the network",
    "pytest": "runs the tests from inside the tests",
    "dask": "needs several nodes; tests/extract/test_dask.py has some on this machine",
    "vapipe evaluate vapipe-runs/* --ensemble ccc --partition test": "needs videos for testing",
    "vapipe weights add": "needs a file of 100 MB; tests/extract/test_weights_command.py has one",
    "vapipe demo": "takes minutes; tests/extract/test_synthetic.py makes its clips",
    "vapipe weights fetch": "needs the network",
}
# What is written of other machines -> what stands for it here.
HERE = {"/data/aff-wild2": "./aff-wild2", "/shared/cache": "./vapipe-cache"}


def shown():
    return [(name(page), words) for page in PAGES for words in commands(page)]


def why_not(words):
    line = " ".join(word for word in words if "=" not in word or word.startswith("-"))
    if "dask" in line and "--engine" in words:
        return NOT_RUN["dask"]
    return next((reason for start, reason in NOT_RUN.items() if line.startswith(start)), None)


# -- what is written parses ------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_and_option_exists(page):
    wrong = []
    for words in [*commands(page), *spans(page)]:
        if is_vapipe(words):
            try:
                check(words)
            except click.UsageError as error:
                wrong.append(f"{' '.join(words)}: {error.format_message()}")
    assert not wrong


def test_the_check_refuses_what_does_not_exist():
    odd = ("fitt", "fit --hed x", "fit --targets both", "extract --engine spark", "heads a b")
    for line in odd:
        with pytest.raises(click.UsageError):
            check(["vapipe", *line.split()])
    for line in ("cache gc --dry-run", "fit --targets TARGETS", "-V"):
        check(["vapipe", *line.split()])


def test_commands_are_found():
    found = {" ".join(words) for _, words in shown()}
    assert "vapipe demo" in found
    assert len(found) > 40
    assert any(page == "docs/cluster.md" and words[0] == "dask" for page, words in shown())


def test_what_is_not_run_is_shown_somewhere():
    lines = [" ".join(words) for _, words in shown()]
    assert not [start for start in NOT_RUN if not any(line.startswith(start) for line in lines)]


# -- what is written runs --------------------------------------------------------------------------


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder with a small data set in the Aff-Wild2 layout, its cache and three runs."""
    folder = tmp_path_factory.mktemp("docs") / "made"
    videos = folder / "aff-wild2"
    paths = write_demo_set(videos, train=5, validation=2, seconds=2, fps=10, jobs=1)
    with contextlib.chdir(folder):
        assert vapipe_("extract", "--videos", "aff-wild2", "--jobs", 1).exit_code == 0
        for head in ("grjca", "jca", "lfan"):
            assert vapipe_("fit", "--head", head, *ADDED["fit"]).exit_code == 0
        shutil.copy(paths[0], "clip.mp4")
        Path("clips").mkdir()
        for path in paths[1:3]:
            shutil.copy(path, Path("clips") / f"new-{path.name}")
        rows = [f"{paths[-1].stem}/{frame:05d}.jpg,0,0\n" for frame in range(1, 21)]
        Path("sample.txt").write_text("image_location,valence,arousal\n" + "".join(rows))
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of it; plug-ins that a page makes known are forgotten afterwards."""
    copy = tmp_path / "folder"
    shutil.copytree(made, copy)
    monkeypatch.chdir(copy)
    monkeypatch.setenv("PWD", str(copy))
    monkeypatch.setenv("VAPIPE_WEIGHTS", str(copy / "weights"))
    forget_afterwards(monkeypatch)
    return copy


def _spread(word):
    """The paths that a pattern of a shell stands for."""
    return sorted(map(str, Path().glob(word))) if word.endswith("/*") else [word]


def run(words, monkeypatch):
    """Run a command in the present folder."""
    while "=" in words[0]:
        variable, _, value = words.pop(0).partition("=")
        monkeypatch.setenv(variable, os.path.expandvars(value))
    if words[0] == "export":
        variable, _, value = words[1].partition("=")
        monkeypatch.setenv(variable, os.path.expandvars(value))
        return
    assert words[0] == "vapipe", f"no test knows how to run {words[0]}: name it in NOT_RUN"
    command = next((word for word in words[1:] if word in ADDED), None)
    added = [] if command is None or "--print-config" in words else ADDED[command]
    written = [HERE.get(word, word) for word in words[1:]]
    spread = [each for word in written for each in _spread(word)]
    result = vapipe_(*spread, *added)
    assert result.exit_code == 0, f"{' '.join(words)}\n{result.stdout}\n{result.stderr}"


@pytest.mark.parametrize("page", [p for p in PAGES if list(commands(p))], ids=name)
def test_the_commands_of_a_page_run_in_order(page, folder, monkeypatch):
    for block in blocks(page):
        if block.title:
            Path(block.title).write_text(block.text)
    for words in commands(page):
        if why_not(words) is None:
            run(list(words), monkeypatch)
