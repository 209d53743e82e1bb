"""Lists every error message of vapipe, read from the source, on the page of errors.

A message is what follows `raise SomeError(`; what is filled in when it is raised stands in braces.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parents[2]
_ROOMS = ("cache", "extract", "fusion", "reports", "demo", "commands")
_BASE = "VapipeError"
_MARK = "<!-- all messages -->"
UNKNOWN = "{...}"


@dataclass(frozen=True, order=True)
class Message:
    """A message as it stands in the source.

    Attributes:
        error: name of the class.
        path: of the file, from the root of the package.
        line: in it.
        text: with {braces} around what is filled in; only `{...}` where it is made elsewhere.
    """

    error: str
    path: str
    line: int
    text: str


def sources() -> dict[str, ast.Module]:
    """The package's modules: path -> its tree."""
    paths = [
        *_ROOT.glob("*.py"),
        *(path for room in _ROOMS for path in (_ROOT / room).rglob("*.py")),
    ]
    return {
        path.relative_to(_ROOT).as_posix(): ast.parse(path.read_text()) for path in sorted(paths)
    }


def error_classes() -> dict[str, str]:
    """Every error class that derives from VapipeError -> the first line of its description."""
    found: dict[str, str] = {}
    classes = [
        n for tree in sources().values() for n in ast.walk(tree) if isinstance(n, ast.ClassDef)
    ]
    while True:
        new = {
            node.name: (ast.get_docstring(node) or "").partition("\n")[0]
            for node in classes
            if node.name not in found
            and any(isinstance(b, ast.Name) and b.id in {_BASE, *found} for b in node.bases)
        }
        if not new:
            return found
        found |= new


def messages() -> list[Message]:
    """All messages, by class and place."""
    names = error_classes()
    return sorted(
        Message(name, path, node.lineno, _shown(node.args[0]))
        for path, tree in sources().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and node.args
        for name in _called(node.func)
        if name in names
    )


def _called(node: ast.expr) -> list[str]:
    """Names of what is called: `A(...)`, `(A if full else B)(...)`."""
    either = [node.body, node.orelse] if isinstance(node, ast.IfExp) else [node]
    return [each.id for each in either if isinstance(each, ast.Name)]


def _shown(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_shown(value) for value in node.values)
    if isinstance(node, ast.FormattedValue):
        node = node.value
    return f"{{{node.id}}}" if isinstance(node, ast.Name) else UNKNOWN


def as_markdown() -> str:
    """All messages as lists, below a heading for each class."""
    lines = []
    written = [message for message in messages() if message.text != UNKNOWN]
    for error in sorted({message.error for message in written}):
        lines += [f"### All of {error}", ""]
        own = [message for message in written if message.error == error]
        lines += [f"- `{m.path}`: {_escaped(m.text)}" for m in own]
        lines.append("")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    for sign in "\\*_<>[]#":
        text = text.replace(sign, f"\\{sign}")
    return text


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put the list where the page has its mark."""
    return markdown.replace(_MARK, as_markdown()) if _MARK in markdown else markdown
