"""The rooms of the package import each other in one direction."""

import ast
from pathlib import Path

import pytest

import vapipe

ROOT = Path(vapipe.__file__).parent
STAGES = {"extract", "fusion"}
MAY_NOT_IMPORT = {
    "cache": {*STAGES, "reports", "demo", "commands", "cli"},
    "extract": {"fusion", "reports", "demo", "commands", "cli"},
    "fusion": {"extract", "reports", "demo", "commands", "cli"},
    "reports": {"demo", "commands", "cli"},
    "demo": {*STAGES, "reports", "commands", "cli"},
}


def imported(path: Path) -> set[str]:
    """Rooms and modules at the root that a file imports."""
    package = path.relative_to(ROOT).parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            whole = [*package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            found.add(next((name for name in whole if name), "") or node.names[0].name)
    return found


@pytest.mark.parametrize("room", sorted(MAY_NOT_IMPORT))
def test_no_import_runs_upwards(room: str) -> None:
    paths = list((ROOT / room).rglob("*.py"))
    assert paths
    for path in paths:
        assert not imported(path) & MAY_NOT_IMPORT[room], path
