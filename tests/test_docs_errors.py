"""The page of errors knows every error class, and every message on it is one that is raised."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from vapipe.cache import VapipeError
from vapipe.commands import console

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/errors.md").read_text()


@pytest.fixture(scope="module")
def listing():
    """The module that lists the messages."""
    spec = importlib.util.spec_from_file_location("messages", ROOT / "docs/hooks/messages.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["messages"] = module  # dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def table(heading):
    """Rows of the table below a heading: lists of cells."""
    part = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def test_every_class_is_on_the_page_and_no_other(listing):
    assert {row[0].strip("`") for row in table("Classes")} == set(listing.error_classes())


def test_classes_are_found_as_python_finds_them(listing):
    import vapipe.cli
    import vapipe.extract.run
    import vapipe.extract.weights.files
    import vapipe.fusion  # noqa: F401

    def below(error):
        return {error.__name__, *(name for sub in error.__subclasses__() for name in below(sub))}

    loaded = {name for name in below(VapipeError) if name != "VapipeError"}
    assert loaded <= set(listing.error_classes())


def test_every_message_on_the_page_is_raised(listing):
    sources = " ".join(path.read_text() for path in ROOT.glob("extract/*.py"))
    raised = [message.text for message in listing.messages()]
    listed = [
        "shares the id",
        "not tried, since it failed in an earlier run",
        "would get other values than in training",
    ]  # not raised
    assert all(each in sources for each in listed)
    rows = table("The ones that everybody meets")
    assert len(rows) > 15
    quoted = [re.fullmatch(r"`(.*)`", row[0]).group(1) for row in rows]
    assert [text for text in quoted if not any(text in each for each in raised + listed)] == []


def test_the_list_holds_every_message(listing):
    written = listing.as_markdown()
    plain = written.replace("\\", "")
    found = listing.messages()
    assert len(found) > 250
    for message in found:
        if message.text != listing.UNKNOWN:
            assert message.text.replace("\\", "") in plain
    assert sum(message.text == listing.UNKNOWN for message in found) < len(found) / 10


def test_the_exit_codes_are_those_of_the_program():
    codes = {int(row[0]): row[1] for row in table("Exit codes")}
    assert set(codes) == {0, console.ERROR, 2, console.PARTLY, console.STOPPED}
