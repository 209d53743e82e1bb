"""`vapipe heads`: the fusion heads, and the equations and options of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ..fusion.models.heads import HeadInfo

_WIDTHS = {"video": 256, "audio": 128, "audio2": 128}  # published widths behind the TCNs
_LENGTH = 300


@click.command()
@click.argument("name", required=False)
def heads(name: str | None) -> None:
    """List the fusion heads, or show the equations and options of one."""
    from ..fusion.models.heads import describe_head, list_heads

    if name is not None:
        _explain(describe_head(name))
        return
    click.echo(f"{'head':12}{'streams':8}{'parameters':>11}")
    for each in list_heads():
        info = describe_head(each)
        click.echo(f"{each:12}{_streams(info):8}{_parameters(info):>11}")
        details = []
        if len(info.variants) > 1:
            details.append(f"variants {', '.join(info.variants)}")
        if info.recursions is not None:
            details.append(f"M = {info.recursions}")
        if info.options:
            details.append(f"options {', '.join(info.options)}")
        for line in filter(None, (info.summary, f"source: {info.source}", "; ".join(details))):
            click.echo(click.wrap_text(line, 79, " " * 4, " " * 4))
    widths = " + ".join(str(_WIDTHS[role]) for role in ("video", "audio"))
    click.echo(
        f"\nParameters of the head alone: streams {widths} wide (a third one "
        f"{_WIDTHS['audio2']}),\nwindows of {_LENGTH} frames. `vapipe heads NAME` shows equations "
        "and defaults,\n`vapipe fit --head NAME` trains."
    )


def _explain(info: HeadInfo) -> None:
    click.echo(info.equations)
    click.echo(f"\nsource: {info.source}")
    click.echo(f"variants: {', '.join(info.variants)} (default: {info.variants[0]})")
    click.echo(f"streams: {_streams(info)}; parameters as listed: {_parameters(info)}")
    if info.recursions is not None:
        click.echo(f"recursions: {info.recursions} (--recursions)")
    for option, default in info.options.items():
        click.echo(f"option {option} = {default!r}")
    for preset, options in info.presets.items():
        twins = [n for n, other in info.presets.items() if n != preset and other == options]
        same = f" (the same model as {', '.join(twins)})" if twins else ""
        click.echo(f"preset {preset}: {', '.join(f'{k}={v!r}' for k, v in options.items())}{same}")
    if info.options:
        click.echo(
            "Set options with --set head_options.NAME=VALUE, or in a file under [head_options]."
        )
    _show_recipes(info)


def _show_recipes(info: HeadInfo) -> None:
    """Print every option of the recipes side by side, with the source of each value."""
    from ..fusion.config import recipe_of

    default = recipe_of(info.name, "default")
    click.echo(f"\n{'--recipe':20}{'default':24}published")
    for option, ours in default.items():
        theirs = info.published.get(option)
        for entry, value in _entries(option, ours.value).items():
            stated = dict(_entries(option, theirs.value)).get(entry) if theirs else None
            click.echo(f"{entry:20}{value:23} {stated or 'not stated; ours'}")
        sources = [f"default: {ours.source}"]
        if theirs and theirs != ours:
            sources.append(f"published: {theirs.source}")
        click.echo(click.wrap_text("; ".join(sources), 79, " " * 4, " " * 4))


def _entries(option: str, value: Any) -> dict[str, str]:
    """Rows of a value of an option, as short as it can be typed; channels by role."""
    if isinstance(value, Mapping):
        return {f"{option}.{role}": _entries("", value[role])[""] for role in _WIDTHS}
    if isinstance(value, tuple):
        return {option: ",".join(map(str, value)) or "none"}
    return {option: f"{value:g}" if isinstance(value, float) else str(value)}


def _streams(info: HeadInfo) -> str:
    """How many streams a head takes: `2-4`, `3`."""
    if info.min_streams == info.max_streams:
        return str(info.min_streams)
    return f"{info.min_streams}-{info.max_streams}"


def _parameters(info: HeadInfo) -> str:
    from ..fusion.models.heads import create_head
    from ..fusion.models.network import count_parameters

    roles = list(_WIDTHS)[: max(2, info.min_streams)]
    head = create_head(info.name, {role: _WIDTHS[role] for role in roles}, length=_LENGTH)
    return f"{count_parameters(head):,}"
