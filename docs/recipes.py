"""Writes the table of recipes into experiments.md: `python docs/recipes.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vapipe.fusion import describe_head, list_heads
from vapipe.fusion.recipes import DEFAULTS, STRUCTURE, Stated

PAGE = Path(__file__).with_name("experiments.md")
MARKS = ("<!-- recipes -->\n", "<!-- end of recipes -->\n")


def table() -> str:
    """One line per option and published value, with the heads that have it."""
    lines = ["| option | default | published | heads | source |", "|---|---|---|---|---|"]
    for option, ours in {"recursions": Stated("", ""), **DEFAULTS}.items():
        heads: dict[tuple[str, str], list[str]] = {}
        for head in list_heads():
            stated = describe_head(head).published.get(option)
            if stated is not None:
                heads.setdefault((show(stated.value), stated.source), []).append(f"`{head}`")
        if ours.source:
            structure = "where the head says nothing" if option in STRUCTURE else "every head"
            lines.append(f"| `{option}` | {show(ours.value)} | | {structure} | {ours.source} |")
        for (value, source), names in heads.items():
            lines.append(f"| `{option}` | | {value} | {', '.join(names)} | {source} |")
    return "\n".join(lines) + "\n"


def show(value: Any) -> str:
    """A value as short as it can be typed; channels by role."""
    if isinstance(value, Mapping):
        return "; ".join(f"{role} {show(each)}" for role, each in value.items())
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def written(page: str) -> str:
    """The page with the table between its marks."""
    before, rest = page.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{after}"


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text()))
