"""What commands say is in one form: numbers of things, errors, and lines on narrow terminals."""

import ast
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from terminal import vapipe_

import vapipe
from vapipe.cli import main
from vapipe.commands.console import break_line
from vapipe.errors import counted

ROOT = Path(vapipe.__file__).parent
PLURALS = (
    "videos|frames|items|files|shards|rows|runs|fits|epochs|clips|pictures|streams|packs|values|"
    "tasks|sheets|windows|parameters|entries|processes|subjects|folds|heads|annotations"
)


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "video", "0 videos"),
        (1, "video", "1 video"),
        (2, "video", "2 videos"),
        (1, "annotated frame", "1 annotated frame"),
        (12345, "annotated frame", "12,345 annotated frames"),
        (1, "entry", "1 entry"),
        (3, "entry", "3 entries"),
        (1, "process", "1 process"),
        (2, "process", "2 processes"),
    ],
)
def test_one_thing_is_one_thing(number, noun, words):
    assert counted(number, noun) == words


@pytest.mark.parametrize("room", ["cache", "commands", "demo", "extract", "fusion", "reports"])
def test_no_message_counts_without_it(room):
    """The length of what there is is never put before a plural as it stands."""
    bare = re.compile(
        rf"(?<!at most )(?<!up to )(?<!from 2 to )(?<!/)\{{[^{{}}]*\}} (\w+ )?({PLURALS})\b(?!/)"
    )
    found = []
    for path in (ROOT / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                text = ast.unparse(node)
                if "(s)" in re.sub(r"\{[^{}]*\}", "", text) or any(
                    "len(" in m[0] for m in bare.finditer(text)
                ):
                    found.append(f"{path.name}: {text}")
    assert found == []


def commands_of(command, words=()):
    yield words
    for name, each in getattr(command, "commands", {}).items():
        yield from commands_of(each, (*words, name))


@pytest.mark.parametrize("words", list(commands_of(main)), ids=" ".join)
def test_help_breaks_no_word_on_a_narrow_terminal(words):
    def shown(columns):
        settings = {"terminal_width": columns, "max_content_width": columns}
        text = CliRunner().invoke(main, [*words, "--help"], **settings).stdout
        return [word for word in text.split() if not word.endswith("...")]

    assert set(shown(60)) <= set(shown(400))


@pytest.mark.parametrize(
    "words",
    [
        "--nonsense",
        "nonsense",
        "fit --nonsense",
        "fit --fold x",
        "fit --targets both",
        "fit --stream video",
        "extract --videos . --json",
        "cache nonsense",
        "cache status --cache nowhere",
        "runs nowhere",
        "heads nonsense",
        "predict nowhere",
    ],
)
def test_every_error_has_one_form(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = vapipe_(*words.split())
    assert result.exit_code in (1, 2)
    lines = result.stderr.splitlines()
    assert [line[:7] for line in lines if "rror:" in line] == ["error: "]
    if result.exit_code == 2:
        assert lines[0].startswith("Usage: ")
        assert lines[-2].endswith("--help` lists what there is")


def test_a_command_without_its_subcommand_shows_them():
    for words in ((), ("cache",)):
        result = vapipe_(*words)
        assert result.exit_code == 2
        assert "error" not in result.stderr
        assert "Commands:" in result.stderr


@pytest.mark.parametrize("words", [(), ("cache",), ("weights",), ("labels",), ("runs",)])
def test_lists_of_commands_are_whole_on_narrow_terminals(words):
    result = CliRunner().invoke(main, [*words, "--help"], terminal_width=60)
    listed = result.output.split("Commands:")[1]
    assert "..." not in listed
    assert max(map(len, listed.splitlines())) <= 60


def test_a_question_that_is_declined_changes_nothing(cache):
    result = CliRunner().invoke(main, ["cache", "remove", "--cache", str(cache), "a"], input="n\n")
    assert result.exit_code == 1
    assert result.stderr == "stopped; nothing was done\n"


LINES = [
    "a short line",
    "  two: 2 audio streams: 1 (aac) is taken, not 2 (aac); --audio-stream takes another of them",
    "error: k-fold, leave-one-subject-out and aff-wild2 are splits that go without any file at all",
    "next: vapipe labels import FOLDER --videos /data/set --cache /data/cache --rate 25 --yes",
    "no video is annotated; `vapipe labels import FOLDER --videos DIR --cache C` takes them in",
    "table    1    2    3    4    5    6    7    8    9   10   11   12   13",
    "/a/very/long/path/that/fits/into/no/line/of/this/terminal/whatever/one/does.mp4: damaged",
]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("columns", [20, 40, 60])
def test_lines_break_between_words(line, columns):
    broken = break_line(line, columns).split("\n")
    pasted = " ".join(broken).replace(" \\ ", " ")
    assert pasted.split() == line.split()
    assert len(broken) > 1 or len(line) <= columns or line.startswith("/a/very")
    for each in broken:
        assert len(each) <= columns or len(each.removesuffix(" \\").split()) == 1


@pytest.mark.parametrize("columns", [25, 40, 60])
def test_a_command_that_is_broken_can_be_pasted(columns):
    broken = break_line(LINES[3], columns)
    assert shlex.split(broken.replace("\\\n", "")) == shlex.split(LINES[3])
    (command,) = re.findall("`([^`]*)`", break_line(LINES[4], columns))
    command = command.replace("\\\n", "")
    assert shlex.split(command) == shlex.split("vapipe labels import FOLDER --videos DIR --cache C")


def test_an_error_on_a_narrow_terminal_breaks_between_words(tmp_path):
    ours, theirs = pty.openpty()
    program = [sys.executable, "-c", "from vapipe.cli import main; main()"]
    words = ["fit", "--cache", "nowhere", "--head", "grjca"]
    wide = subprocess.run([*program, *words], cwd=tmp_path, capture_output=True, text=True).stderr
    subprocess.run(
        [*program, *words], cwd=tmp_path, stderr=theirs, env={**os.environ, "COLUMNS": "40"}
    )
    os.close(theirs)
    said = os.read(ours, 10_000).decode().splitlines()
    os.close(ours)
    assert len(said) > 1
    assert max(map(len, said)) <= 40
    assert " ".join(said).replace("\\", "").split() == wide.split()
