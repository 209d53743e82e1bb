"""What is installed says whose it is, under which licence, what it needs, and that it is typed."""

import ast
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

import vapipe

ROOT = Path(vapipe.__file__).parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OTHER_NAMES = {"facenet_pytorch": "facenet-pytorch", "PIL": "pillow"}


def imported() -> set[str]:
    """Packages of others that the package imports at the top of its modules."""
    found = set()
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] in ("tests", "docs", "benchmarks", "build"):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                found |= {name.name.partition(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add((node.module or "").partition(".")[0])
    return found - set(sys.stdlib_module_names)


def test_what_is_imported_is_declared():
    declared = {each.split("=")[0].split(">")[0].strip() for each in PROJECT["dependencies"]}
    assert {OTHER_NAMES.get(name, name) for name in imported()} <= declared
    assert "joblib" in declared


def test_the_tried_trios_are_in_the_range_and_all_others_are_not():
    """That of constraints.txt, and the one before it; torchaudio ends with 2.11."""
    needs = {each.name: each.specifier for each in map(Requirement, PROJECT["dependencies"])}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    said = (ROOT / "docs/dependencies.md").read_text().replace("\n", " ")
    other = {"torch": "2.10.0", "torchaudio": "2.10.0", "torchvision": "0.25.0"}
    assert pins.keys() == other.keys()
    for trio in (pins, other):
        assert all(version in needs[name] for name, version in trio.items())
        assert (
            "torch {torch}, torchaudio {torchaudio} and torchvision {torchvision}".format(**trio)
            in said
        )
    assert "2.9.1" not in needs["torch"]
    assert "2.12.0" not in needs["torch"]


def test_files_and_metadata_agree():
    assert PROJECT["authors"] == [{"name": "vapipe developers"}]
    assert "urls" not in PROJECT
    assert PROJECT["version"] == vapipe.__version__
    assert (ROOT / "LICENSE").read_text().startswith(f"{PROJECT['license']} License")
    cited = (ROOT / "CITATION.cff").read_text()
    assert f"version: {vapipe.__version__}" in cited
    assert f"license: {PROJECT['license']}" in cited
    assert f"## {vapipe.__version__}" in (ROOT / "CHANGELOG.md").read_text()
    assert (ROOT / "py.typed").is_file()
