"""Encoders by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from ...cache.errors import ConfigError
from .base import Encoder

_ENCODERS: dict[str, type[Encoder]] = {}
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


def list_encoders() -> list[str]:
    """Names of all encoders, sorted."""
    return sorted(_ENCODERS)


def summarise_encoder(name: str) -> tuple[str, str]:
    """Modality and the first line of the description of a registered encoder."""
    encoder = _ENCODERS[name]
    return encoder.modality, (inspect.getdoc(encoder) or "").partition("\n")[0]


def create_encoder(name: str, **options: Any) -> Encoder:
    """Load an encoder.

    Args:
        name: one of `list_encoders()`.
        **options: the encoder's own options; every encoder takes `device`.

    Raises:
        ConfigError: unknown name or option, an option out of range, or missing weights.
    """
    encoder = _ENCODERS.get(name)
    if encoder is None:
        near = difflib.get_close_matches(name, _ENCODERS, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"no encoder `{name}`; {hint}known are: {', '.join(list_encoders())}")
    known = list(inspect.signature(encoder).parameters)
    if unknown := [option for option in options if option not in known]:
        raise ConfigError(
            f"encoder `{name}` has no option {', '.join(f'`{o}`' for o in unknown)}; "
            f"its options are: {', '.join(known)}"
        )
    return encoder(**options)
