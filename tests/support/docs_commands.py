"""The commands that README and documentation show: where they stand, and whether they parse."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from vapipe.cli import main

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_PROGRAMS = {
    "cd",
    "dask",
    "export",
    "mkdocs",
    "pip",
    "pytest",
    "python",
    "python3",
    "sbatch",
    "vapipe",
}
_FENCE = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```", re.M | re.S)
_INDENTED = re.compile(r"^(?:(?:    |\t).*\n|\n)+", re.M)
_PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|.*\.\.\.|.*<\w+>.*")


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, language, title (or "") and text."""

    page: str
    language: str
    title: str
    text: str


def name(page):
    return page.relative_to(ROOT).as_posix()


def blocks(page):
    """All fenced blocks of a page."""
    for indent, language, rest, text in _FENCE.findall(page.read_text()):
        title = re.search(r'title="(.*?)"', rest)
        body = "".join(line.removeprefix(indent) for line in text.splitlines(keepends=True))
        yield Block(name(page), language, title.group(1) if title else "", body)


def commands(page):
    """All commands of a page, in order: each the words of one program, assignments first.

    Every line of a `sh` block is one or holds several joined by `&&`; of blocks without a language
    and of indented ones those that begin with a known program. Where output goes is left out.
    """
    text = page.read_text()
    found = []
    for match in _FENCE.finditer(text):
        if match.group(2) in ("sh", "bash", "console", ""):
            found.append((match.start(), match.group(4), bool(match.group(2))))
    bare = _FENCE.sub(lambda match: " " * len(match.group()), text)
    found += [(match.start(), match.group(), False) for match in _INDENTED.finditer(bare)]
    for _, body, strict in sorted(found):
        for line in body.replace("\\\n", " ").splitlines():
            for words in _split(line):
                program = next((word for word in words if "=" not in word), words[0])
                if program in _PROGRAMS or strict:
                    yield words


def _split(line):
    try:
        lexer = shlex.shlex(line.strip(), posix=True, punctuation_chars="&;|")
        lexer.commenters, lexer.whitespace_split = "#", True
        words = list(lexer)
    except ValueError:  # no shell line: an equation, say
        return []
    if ">" in words:
        words = words[: words.index(">")]
    parts = [[]]
    for word in words:
        if word in ("&&", ";", "|", "||"):
            parts.append([])
        else:
            parts[-1].append(word)
    return [part for part in parts if part]


def spans(page):
    """Commands in the running text: `vapipe fit --resume RUN`; an option may lack its value."""
    text = _FENCE.sub("", page.read_text())
    for span in re.findall(r"`(vapipe [^`]+)`", text.replace("\n", " ")):
        words = shlex.split(span)
        yield [*words, "VALUE"] if _lacks_value(words) else words


def _lacks_value(words):
    try:
        check(words)
    except click.BadOptionUsage:
        return True
    except click.UsageError:
        return False
    return False


def is_vapipe(words):
    return next((word for word in words if "=" not in word), "") == "vapipe"


def check(words):
    """Parse a command as the program would, without running it.

    Raises:
        click.UsageError: a command, an option or a choice that does not exist, too many arguments.
    """
    arguments = words[words.index("vapipe") + 1 :]
    command, context = main, click.Context(main, info_name="vapipe")
    while True:
        if hasattr(command, "in_full"):  # a group that takes a command for granted
            arguments = command.in_full(context, list(arguments))
        values, rest, _ = command.make_parser(context).parse_args(args=list(arguments))
        _check_values(command, context, values)
        if not isinstance(command, click.Group):
            if rest:
                raise click.UsageError(f"{command.name} takes no {' '.join(rest)}")
            return
        if not rest:
            return
        found = command.get_command(context, rest[0])
        if found is None:
            raise click.UsageError(f"no command {rest[0]}")
        command, arguments = found, rest[1:]
        context = click.Context(command, info_name=rest[0], parent=context)


def _check_values(command, context, values):
    for parameter in command.params:
        given = values.get(parameter.name)
        if isinstance(parameter, click.Argument) or not given or given is True:
            continue
        for value in given if isinstance(given, list) else [given]:
            free = isinstance(parameter.type, click.Path) or _PLACEHOLDER.fullmatch(str(value))
            if isinstance(value, str) and not free:
                parameter.type.convert(value, parameter, context)
