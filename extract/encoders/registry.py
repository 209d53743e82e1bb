"""Encoders by name, and families of encoders: `timm:NAME` is the member NAME of the family timm."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ...errors import ConfigError
from ...plugins import load_plugins
from .base import Encoder

_ENCODERS: dict[str, type[Encoder]] = {}
_FAMILIES: dict[str, type[Encoder]] = {}
_HOW = ("precision", "chunk", "context")  # change values by little, not what they stand for
_E = TypeVar("_E", bound=type[Encoder])


def register_encoder(name: str) -> Callable[[_E], _E]:
    """Class decorator: make an encoder known by a name, which becomes its attribute `name`."""

    def register(encoder: _E) -> _E:
        if name in _ENCODERS:
            raise ValueError(f"encoder `{name}` is already {_ENCODERS[name].__qualname__}")
        encoder.name = name
        _ENCODERS[name] = encoder
        return encoder

    return register


def register_family(prefix: str) -> Callable[[_E], _E]:
    """Class decorator: `prefix:MEMBER` makes the class's encoder with the first argument MEMBER."""

    def register(encoder: _E) -> _E:
        if prefix in _FAMILIES:
            raise ValueError(f"family `{prefix}` is already {_FAMILIES[prefix].__qualname__}")
        _FAMILIES[prefix] = encoder
        return encoder

    return register


def list_encoders() -> list[str]:
    """Names of all encoders, sorted; families have members of their own."""
    load_plugins()
    return sorted(_ENCODERS)


def list_families() -> list[str]:
    """Prefixes of all families, sorted."""
    load_plugins()
    return sorted(_FAMILIES)


def summarise_encoder(name: str) -> tuple[str, str]:
    """Modality and the first line of the description of an encoder or a family."""
    encoder = _FAMILIES[name] if name in _FAMILIES else _ENCODERS[name]
    return encoder.modality, (inspect.getdoc(encoder) or "").partition("\n")[0]


def create_encoder(name: str, **options: Any) -> Encoder:
    """Load an encoder.

    Args:
        name: one of `list_encoders()`, or `PREFIX:MEMBER` with one of `list_families()`.
        **options: the encoder's own options; every encoder takes `device`.

    Raises:
        ConfigError: unknown name or option, an option out of range, or a package not installed.
        WeightsError: missing or wrong weights.
    """
    encoder, members = _find(name)
    options_known = encoder_options(name)
    if unknown := [option for option in options if option not in options_known]:
        raise ConfigError(
            f"encoder `{name}` has no option {', '.join(f'`{o}`' for o in unknown)}; "
            f"its options are: {', '.join(options_known)}"
        )
    return encoder(*members, **options)


def encoder_options(name: str) -> list[str]:
    """Names of an encoder's options.

    Raises:
        ConfigError: unknown name.
    """
    return [
        option
        for option, parameter in inspect.signature(_find(name)[0]).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]


def _find(name: str) -> tuple[type[Encoder], list[str]]:
    """The class of a name, and the member where it is a family."""
    load_plugins()
    prefix, colon, member = name.partition(":")
    encoder = _FAMILIES.get(prefix) if colon and member else _ENCODERS.get(name)
    if encoder is None:
        near = difflib.get_close_matches(name, _ENCODERS, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        known = [*list_encoders(), *(f"{family}:NAME" for family in list_families())]
        raise ConfigError(
            f"no encoder `{name}`; {hint}known are: {', '.join(known)}; an encoder of your own is "
            "found with `vapipe --plugin FILE`"
        )
    return encoder, [member] if colon else []


def same_values(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two encoders' identities are of the same network on the same input.

    Precision and the length of the pieces that long sound is cut into do not count: their values
    differ by little, and a second stream of them brings nothing new.
    """
    return _what(first) == _what(second)


def _what(identity: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in identity.items() if key not in _HOW}
