"""Shells complete names of heads, streams and runs, of which click knows nothing by itself."""

import shutil

import pytest
from click.shell_completion import ShellComplete

from vapipe.cli import main


def completed(line):
    *words, last = line.split(" ")
    found = ShellComplete(main, {}, "vapipe", "_VAPIPE_COMPLETE").get_completions(words, last)
    return [each.value for each in found if each.type == "plain"]


@pytest.fixture
def place(cache, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs, "vapipe-runs")
    shutil.copytree(cache, "vapipe-cache")
    return cache


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("heads gr", ["grjca"]),
        ("fit --head tr", ["transformer"]),
        ("sweep --heads concat,hg", ["concat,hgrjca"]),
        ("extract --streams onet,log", ["onet,logmel"]),
        ("fit --stream vi", ["video="]),
        ("fit --stream audio=l", ["audio=logmel"]),
        ("evaluate vapipe-runs/o", ["vapipe-runs/one"]),
        ("predict vapipe-runs/one --with vapipe-runs/t", ["vapipe-runs/two"]),
        ("runs compare v", ["vapipe-runs/one", "vapipe-runs/two", "vapipe-runs/voice"]),
        ("fit --resume vapipe-runs/v", ["vapipe-runs/voice"]),
        ("report nothing", []),
    ],
)
def test_names_are_completed(place, line, names):
    found = completed(line)
    assert [name.partition("@")[0] for name in found] == names


def test_where_nothing_is_there_is_nothing_to_complete(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert completed("evaluate v") == completed("fit --stream audio=") == []
