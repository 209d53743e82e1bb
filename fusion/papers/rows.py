"""Rows of tables: heads and options crossed, each named by what makes it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigError
from ..config import typed_option
from ..heads import describe_head


@dataclass(frozen=True)
class Row:
    """One row of a sweep's table before it is fitted.

    Attributes:
        label: what the table calls it.
        changes: options that make it, as `FitConfig.changed` takes them.
    """

    label: str
    changes: Mapping[str, Any]


def cross(heads: Sequence[str], grid: Mapping[str, Sequence[Any]]) -> list[Row]:
    """Rows of every head with every combination of options.

    Args:
        grid: option -> the values it takes, as in `FitConfig.changed`.

    Raises:
        ConfigError: no such head, variant or preset.
    """
    rows = []
    for head in heads:
        chosen = _name_head(head)
        clash = sorted(chosen.keys() & grid.keys())
        if clash:
            raise ConfigError(f"{clash[0]} is varied, and set by the head `{head}`: drop one")
        whole = [option for option in grid if option.partition(".")[0] in grid and "." in option]
        if whole:
            raise ConfigError(f"{whole[0]} is varied, and with it its whole option: drop one")
        for values in itertools.product(*grid.values()):
            varied = {
                option: typed_option(chosen["head"], option, value)
                for option, value in zip(grid, values, strict=True)
            }
            words = (f"{option} {_words(value)}" for option, value in varied.items())
            rows.append(Row(", ".join([head, *words]), {**chosen, **varied}))
    return rows


def _name_head(text: str) -> dict[str, str]:
    """`NAME[:VARIANT-or-PRESET]` as options."""
    name, colon, which = text.partition(":")
    info = describe_head(name)
    if not colon:
        return {"head": name}
    if which in info.variants:
        return {"head": name, "variant": which}
    if which in info.presets:
        return {"head": name, "head_options.preset": which}
    presets = f", presets: {', '.join(info.presets)}" if info.presets else ""
    raise ConfigError(
        f"head {name} has no variant or preset `{which}`; variants: "
        f"{', '.join(info.variants)}{presets}"
    )


def _words(value: Any) -> str:
    """A value in a label: as it is typed, without quotation marks."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_words(each)}" for name, each in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_words, value))}]"
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return str(value)
