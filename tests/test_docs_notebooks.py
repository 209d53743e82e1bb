"""The notebooks of the documentation were executed whole, and still run."""

import copy
import itertools
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[1] / "docs/examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shapes(notebook):
    """What kinds of output every cell has; text that arrives in pieces counts once."""
    kinds = [
        [sorted(out.get("data", {"text": 0})) for out in cell.outputs] for cell in cells(notebook)
    ]
    return [[kind for kind, _ in itertools.groupby(each)] for each in kinds]


def test_there_is_one():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_stored_as_executed_from_top_to_bottom_and_small(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [
        out for cell in cells(notebook) for out in cell.outputs if out.output_type == "error"
    ]
    assert sum(bool(cell.outputs) for cell in cells(notebook)) > len(counts) / 2
    assert path.stat().st_size < 150_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_again_with_outputs_of_the_same_kinds(path, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    stored = nbformat.read(path, as_version=4)
    fresh = copy.deepcopy(stored)
    NotebookClient(fresh, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()
    for cell in cells(fresh):
        cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    assert shapes(fresh) == shapes(stored)
