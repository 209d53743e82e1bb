"""`vapipe heads`: the fusion heads, and the equations and options of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from .completion import complete_heads
from .console import fold, say

if TYPE_CHECKING:
    from ..fusion.heads import HeadInfo
    from ..fusion.recipes import Stated

_WIDTHS = {"video": 256, "audio": 128, "audio2": 128}  # published widths behind the TCNs
_LENGTH = 300


@click.command()
@click.argument("name", required=False, shell_complete=complete_heads)
def heads(name: str | None) -> None:
    """List the fusion heads, or show the equations and options of one."""
    from ..fusion.heads import describe_head, list_heads

    if name is not None:
        _explain(describe_head(name))
        return
    say(f"{'head':12}{'streams':8}{'parameters':>11}")
    for each in list_heads():
        info = describe_head(each)
        say(f"{each:12}{_streams(info):8}{_parameters(info):>11}")
        details = []
        if len(info.variants) > 1:
            details.append(f"variants {', '.join(info.variants)}")
        if info.recursions is not None:
            details.append(f"M = {info.recursions}")
        if info.options:
            details.append(f"options {', '.join(info.options)}")
        for line in filter(None, (info.summary, f"source: {info.source}", "; ".join(details))):
            say(fold(line, " " * 4, " " * 4))
    widths = " + ".join(str(_WIDTHS[role]) for role in ("video", "audio"))
    say(
        f"\nParameters of the head alone: streams {widths} wide (a third one "
        f"{_WIDTHS['audio2']}),\nwindows of {_LENGTH} frames. `vapipe heads NAME` shows equations "
        "and defaults,\n`vapipe fit --head NAME` trains."
    )


def _explain(info: HeadInfo) -> None:
    say(info.equations)
    say(f"\nsource: {info.source}")
    say(f"variants: {', '.join(info.variants)} (default: {info.variants[0]})")
    say(f"streams: {_streams(info)}; parameters as listed: {_parameters(info)}")
    if info.recursions is not None:
        say(f"recursions: {info.recursions} (--recursions)")
    for option, default in info.options.items():
        say(f"option {option} = {default!r}")
    for preset, options in info.presets.items():
        twins = [p for p, own in info.presets.items() if p != preset and own == options]
        same = f" (the same model as {', '.join(twins)})" if twins else ""
        say(f"preset {preset}: {', '.join(f'{k}={v!r}' for k, v in options.items())}{same}")
    if info.options:
        say("Set options with --set head_options.NAME=VALUE, or in a file under [head_options].")
    _show_recipes(info)


def _show_recipes(info: HeadInfo) -> None:
    """Print what the recipes say, each value with the number of its source, and the sources."""
    from ..fusion.config import recipe_of
    from ..fusion.recipes import STRUCTURE

    default, sources = recipe_of(info.name, "default"), list[str]()

    def cell(stated: Stated | None) -> str:
        if stated is None:
            return "-"
        if stated.source not in sources:
            sources.append(stated.source)
        return f"{_words(stated.value)} [{sources.index(stated.source) + 1}]"

    say("\nbuilt, by either recipe")
    for option in filter(default.__contains__, STRUCTURE):
        lines = f"{option:18}{cell(default[option])}"
        say(fold(lines, hang=" " * 18))
    say(f"\n{'trained, --recipe':18}{'default':18}published")
    for option in (each for each in default if each not in STRUCTURE):
        say(f"{option:18}{cell(default[option]):18}{cell(info.published.get(option))}")
    say("\n-: not published; the default stands")
    for number, source in enumerate(sources, start=1):
        say(fold(f"[{number}] {source}", hang=" " * 4))


def _words(value: Any) -> str:
    """A value as short as it can be typed; of a mapping the entries, those alike together."""
    if isinstance(value, Mapping):
        roles: dict[str, list[str]] = {}
        for role, own in value.items():
            roles.setdefault(_words(own), []).append(role)
        if len(roles) == 1:
            return next(iter(roles))
        return "; ".join(f"{', '.join(names)} {own}" for own, names in roles.items())
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _streams(info: HeadInfo) -> str:
    """How many streams a head takes: `2-4`, `3`."""
    if info.min_streams == info.max_streams:
        return str(info.min_streams)
    return f"{info.min_streams}-{info.max_streams}"


def _parameters(info: HeadInfo) -> str:
    if info.parameter_count is not None:
        return f"{info.parameter_count:,}"
    from ..fusion.models.heads import create_head
    from ..fusion.models.network import count_parameters

    roles = list(_WIDTHS)[: max(2, info.min_streams)]
    head = create_head(info.name, {role: _WIDTHS[role] for role in roles}, length=_LENGTH)
    return f"{count_parameters(head):,}"
