"""Every command that README and documentation show runs as written, or says why it cannot here."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import click
import pytest
import torch
from docs_commands import PAGES, ROOT, blocks, check, commands, is_vapipe, name, spans
from docs_sandbox import ADDED, folder, made  # noqa: F401 (fixtures)
from terminal import vapipe_

from vapipe.extract.options import choose_options
from vapipe.fusion import FitConfig

# Beginning of a command -> why the tests do not run it. Its words are parsed all the same.
NOT_RUN = {
    "python3 -m venv": "makes an environment",
    ". .venv": "the same",
    "pip install": "needs the network",
    "pytest": "runs the tests from inside the tests",
    "dask": "needs several nodes; tests/extract/test_dask.py has some on this machine",
    "vapipe evaluate vapipe-runs/* --ensemble ccc --partition test": "needs videos for testing",
    "vapipe extract --videos ./aff-wild2 --streams resnet50,vggish": "needs weights",
    "vapipe weights add": "needs a file of 100 MB; tests/extract/test_weights_command.py has one",
    "vapipe cache remove": "asks first; tests/test_cli.py has it",
    "vapipe sweep --paper": "takes minutes; tests/fusion/test_papers.py has a little paper",
    "vapipe demo": "takes minutes; tests/demo/test_dataset.py makes its clips",
    "vapipe weights fetch": "needs the network",
}
# Pages that begin with no cache and no runs.
ANEW = {"docs/your-data.md"}
# What the Python of a page takes as given.
GIVEN = {
    "docs/heads.md": {
        "x_v": torch.zeros(2, 300, 256),
        "x_a": torch.zeros(2, 300, 128),
        "mask": torch.ones(2, 300, dtype=torch.bool),
    }
}
# What is written of other machines -> what stands for it here.
HERE = {"/data/aff-wild2": "./aff-wild2", "/shared/cache": "./vapipe-cache"}


def shown():
    return [(name(page), words) for page in PAGES for words in commands(page)]


def why_not(words):
    line = " ".join(word for word in words if "=" not in word or word.startswith("-"))
    if "--scheduler" in words:
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
    odd = ("fitt", "fit --hed x", "fit --targets both", "extract --engine dask", "heads a b")
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


def has_code(page):
    return bool(list(commands(page))) or any(block.language == "python" for block in blocks(page))


@pytest.mark.parametrize("page", [p for p in PAGES if has_code(p)], ids=name)
def test_the_files_commands_and_python_of_a_page_work_in_order(page, folder, monkeypatch):  # noqa: F811
    if name(page) in ANEW:
        shutil.rmtree("vapipe-cache")
        shutil.rmtree("vapipe-runs")
    for block in blocks(page):
        if block.title:
            Path(block.title).parent.mkdir(parents=True, exist_ok=True)
            Path(block.title).write_text(block.text)
    for words in commands(page):
        if why_not(words) is None:
            run(list(words), monkeypatch)
    names = dict(GIVEN.get(name(page), {}))
    for block in blocks(page):
        if block.language == "python" and not block.title and "state_dict)" not in block.text:
            exec(block.text, names)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_configuration_shown_is_one(page, tmp_path):
    for block in blocks(page):
        if block.language == "toml":
            (tmp_path / "shown.toml").write_text(block.text)
            if {"streams", "crops"} & tomllib.loads(block.text).keys():
                choose_options(None, None, tmp_path / "shown.toml")
            else:
                FitConfig.load(tmp_path / "shown.toml").resolved()


def test_the_head_of_the_page_passes_the_tests_of_all_heads(tmp_path):
    (block,) = [b for b in blocks(ROOT / "docs/own-head.md") if b.title]
    (tmp_path / block.title).write_text(block.text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/fusion/test_registry.py", "-k", "gated-sum"],
        cwd=ROOT,
        env={**os.environ, "VAPIPE_PLUGINS": str(tmp_path / block.title)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 20
