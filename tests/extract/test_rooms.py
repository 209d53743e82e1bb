"""The rooms of the extraction stage import each other in one direction, and all are installed."""

import ast
import tomllib
from pathlib import Path

import pytest

import vapipe

ROOT = Path(vapipe.__file__).parent
STAGE = ROOT / "extract"
MAY_IMPORT = {
    "annotations": set(),
    "media": {"stages"},
    "networks": set(),
    "weights": {"networks"},
    "encoders": {"media", "networks", "weights"},
    "faces": {"dataset", "media", "stages"},
}


def imported(path):
    """Rooms and modules of the stage, other than its own room, that a file imports."""
    room = path.relative_to(STAGE).parts[0]
    package = ["extract", *path.relative_to(STAGE).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            start = package[: len(package) - node.level + 1]
            target = [*start, *(node.module or "").split(".")]
            if start and target[1] and target[1] != room:
                yield target[1]


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_rooms_import_in_one_direction(room):
    found = {name for path in (STAGE / room).glob("*.py") for name in imported(path)}
    assert found == MAY_IMPORT[room]


def test_every_room_is_known_and_installed():
    rooms = {path.parent.name for path in STAGE.glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    folders = {path.parent for path in ROOT.glob("*/**/__init__.py")}
    inside = {path.relative_to(ROOT).parts for path in folders}
    assert {("vapipe", *parts) for parts in inside} | {("vapipe",)} == {
        tuple(name.split(".")) for name in packages
    }
