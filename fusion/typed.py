"""Values of options: read from text, and made what the annotation of the option asks for."""

from __future__ import annotations

import json
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from ..errors import ConfigError


@dataclass(frozen=True)
class Among:
    """Limits an annotated type to some values."""

    values: tuple[str, ...]

    def allows(self, value: Any) -> bool:
        """Whether it is one of them."""
        return value in self.values

    def words(self, kind: str) -> str:
        """The type's name with the limit."""
        return f"one of {', '.join(filter(None, self.values))}"


@dataclass(frozen=True)
class Within:
    """Limits an annotated number to [low, below), or ]low, below[ where it is `open`."""

    low: float
    below: float = math.inf
    open: bool = False

    def allows(self, value: Any) -> bool:
        """Whether it is inside."""
        return (self.low < value if self.open else self.low <= value) and value < self.below

    def words(self, kind: str) -> str:
        """The type's name with the limit."""
        upper = f" and < {self.below:g}" if self.below < math.inf else ""
        return f"{kind} {'>' if self.open else '>='} {self.low:g}{upper}"


def conform(name: str, value: Any, kind: Any) -> Any:
    """Give a value as its annotated type: a list as a tuple, 100.0 as 100, "False" as False.

    Known are bool, int, float, str, None and what `|`, `tuple[..., ...]`, `Mapping`, `Literal` and
    `Annotated` (with `Among`, `Within`) make of them; other types take any value.

    Args:
        value: from TOML, JSON, the command line or Python.

    Raises:
        ConfigError: names the option, what it must be, and the value.
    """
    if get_origin(kind) is _MAPPING and isinstance(value, Mapping):
        keys, values = get_args(kind)
        return {
            conform(f"every name in {name}", key, keys): conform(f"{name}.{key}", each, values)
            for key, each in value.items()
        }
    try:
        return _convert(value, kind)
    except ValueError as error:
        raise ConfigError(f"{name} must be {_words(kind)}, got {value!r}") from error


_MAPPING = get_origin(Mapping[str, Any])


def _convert(value: Any, kind: Any) -> Any:
    """As `conform`; a ValueError where it cannot be."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        converted = _convert(value, inner[0])
        if all(limit.allows(converted) for limit in inner[1:]):
            return converted
    elif origin in (Union, types.UnionType):
        for each in inner:
            try:
                return _convert(value, each)
            except ValueError:
                continue
    elif origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_convert(each, inner[0]) for each in value)
    elif origin is Literal and value in inner:
        return value
    elif kind is bool and str(value).lower() in _BOOLEANS:
        return _BOOLEANS[str(value).lower()]
    elif kind is int and _number(value) and (isinstance(value, int) or value.is_integer()):
        return int(value)
    elif kind is float and _number(value) and math.isfinite(value):
        return float(value)
    elif kind is str and isinstance(value, str):
        return value
    elif kind is type(None) and (value is None or str(value).lower() in ("none", "null")):
        return None
    elif origin not in (tuple, Literal, _MAPPING) and kind not in _NAMES:
        return value
    raise ValueError


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_BOOLEANS = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False}
_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "text",
    type(None): "none",
}


def _words(kind: Any, *, plural: bool = False) -> str:
    """What a type takes, for people."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return str(inner[1].words(_words(inner[0], plural=plural)))
    if origin in (Union, types.UnionType):
        return " or ".join(_words(each, plural=plural) for each in inner)
    if origin is tuple:
        return f"{'lists' if plural else 'a list'} [...] of {_words(inner[0], plural=True)}"
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if origin is _MAPPING:
        return f"a table {{name = value, ...}} whose values are {_words(inner[1], plural=True)}"
    name = _NAMES.get(kind, "anything")
    return name.removeprefix("a ") + "s" if plural and name.startswith("a ") else name


def types_of(owner: Any) -> dict[str, Any]:
    """Name -> annotated type of the fields of a class or the parameters of a function.

    Raises:
        ConfigError: a type is named that cannot be found.
    """
    try:
        return typing.get_type_hints(owner, include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"the types of the options of {owner.__module__}.{owner.__qualname__} cannot be read "
            f"({error}); import them outside of TYPE_CHECKING"
        ) from error


def read_value(text: str) -> Any:
    """A TOML or JSON value as it is typed; anything that is neither is text."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        try:
            return json.loads(text)
        except ValueError:
            return text


def read_values(text: str) -> list[Any]:
    """Values divided by commas that stand in no bracket and no quotation.

    Raises:
        ConfigError: a bracket or quotation is not closed.
    """
    parts, open_brackets, quote = [""], "", ""
    for sign in text:
        if quote or sign in "\"'":
            quote = "" if sign == quote else quote or sign
        elif sign in "[{":
            open_brackets += sign
        elif sign in "]}":
            open_brackets = open_brackets[:-1]
        if sign == "," and not open_brackets and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    if open_brackets or quote:
        raise ConfigError(f"{text}: {open_brackets or quote} is not closed")
    return [read_value(part.strip()) for part in parts]
