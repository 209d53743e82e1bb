"""Encoders by name, and families of encoders: `timm:NAME` is the member NAME of the family timm."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from ...device import choose_device
from ...errors import ConfigError
from ...plugins import load_plugins
from ..weights.files import find_weights
from ..weights.table import WeightFile
from .base import Encoder, EncoderOptions
from .pretrained import is_path, open_file

_ENCODERS: dict[str, type[EncoderOptions]] = {}
_FAMILIES: dict[str, type[EncoderOptions]] = {}
_T = TypeVar("_T", bound=type)


def register_encoder(name: str) -> Callable[[_T], _T]:
    """Class decorator: make an encoder known by a name.

    Takes `EncoderOptions`, or an encoder that is one class: the keyword arguments of its
    constructor are its options, and `device`.
    """

    def register(made: _T) -> _T:
        if name in _ENCODERS:
            raise ValueError(f"encoder `{name}` is already {_ENCODERS[name].__qualname__}")
        options: Any = made
        if not issubclass(made, EncoderOptions):
            options = _options_of(made)
            options.encoder.name = name
        options.registered = name
        _ENCODERS[name] = options
        return made

    return register


def register_family(prefix: str) -> Callable[[_T], _T]:
    """Class decorator: `prefix:MEMBER` makes the options of the class with the field `member`."""

    def register(made: _T) -> _T:
        if prefix in _FAMILIES:
            raise ValueError(f"family `{prefix}` is already {_FAMILIES[prefix].__qualname__}")
        options: Any = made
        options.registered = prefix
        _FAMILIES[prefix] = options
        return made

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
    options = _FAMILIES[name] if name in _FAMILIES else _ENCODERS[name]
    return options.modality, (inspect.getdoc(options) or "").partition("\n")[0]


def create_encoder(name: str, *, device: Any = "cpu", **options: Any) -> Encoder:
    """Load an encoder.

    Args:
        name: one of `list_encoders()`, or `PREFIX:MEMBER` with one of `list_families()`.
        device: torch device.
        **options: the encoder's own options.

    Raises:
        ConfigError: unknown name or option, an option out of range, a package not installed, or no
            such device.
        WeightsError: missing or wrong weights.
    """
    place = str(choose_device(device))
    return encoder_options(name, options).load(place)


def encoder_options(name: str, options: Mapping[str, Any]) -> EncoderOptions:
    """The options of an encoder, checked, those that are not given at their defaults.

    Raises:
        ConfigError: unknown name or option, an option out of range, or a package not installed.
        WeightsError: a family whose weights are not given.
    """
    made, member = _find(name)
    known = option_names(name)
    if unknown := [option for option in options if option not in known]:
        raise ConfigError(
            f"encoder `{name}` has no option {', '.join(f'`{o}`' for o in unknown)}; "
            + (f"its options are: {', '.join(known)}" if known else "it has none")
        )
    return made(**options, **member)


def option_names(name: str) -> list[str]:
    """Names of an encoder's options.

    Raises:
        ConfigError: unknown name.
    """
    made = _find(name)[0]
    return [field.name for field in dataclasses.fields(made) if field.name != "member"]


def options_module(name: str) -> str:
    """The module that registered an encoder; a plug-in's has a digest.

    Raises:
        ConfigError: unknown name.
    """
    return _find(name)[0].__module__


def _find(name: str) -> tuple[type[EncoderOptions], dict[str, str]]:
    """The class of a name, and the member where it is a family."""
    load_plugins()
    prefix, colon, member = name.partition(":")
    made = _FAMILIES.get(prefix) if colon and member else _ENCODERS.get(name)
    if made is None:
        near = difflib.get_close_matches(name, _ENCODERS, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        known = [*list_encoders(), *(f"{family}:NAME" for family in list_families())]
        raise ConfigError(
            f"no encoder `{name}`; {hint}known are: {', '.join(known)}; an encoder of your own is "
            "found with `vapipe --plugin FILE`"
        )
    return made, {"member": member} if colon else {}


class _OneClass(EncoderOptions):
    """Options of an encoder that is one class."""

    encoder: ClassVar[Callable[..., Encoder]]

    def weights_files(self) -> dict[str, WeightFile]:
        """The file of an option `weights`: a path, or a name that `vapipe weights list` shows."""
        weights = getattr(self, "weights", None)
        if not weights:
            return {}
        if is_path(weights):
            return {"weights": open_file(weights, architecture=self.name, encoder=self.name)}
        return {"weights": find_weights(weights)}

    def load(self, device: str) -> Encoder:
        """Make the encoder."""
        options = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return type(self).encoder(**options, device=device)


def _options_of(encoder: Any) -> type[EncoderOptions]:
    fields = [
        (name, Any, dataclasses.field(default=parameter.default))
        for name, parameter in inspect.signature(encoder).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name != "device"
    ]
    dim = getattr(encoder, "dim", None)
    return dataclasses.make_dataclass(
        encoder.__name__,
        fields,
        bases=(_OneClass,),
        namespace={
            "encoder": encoder,
            "modality": encoder.modality,
            "dim": dim if isinstance(dim, int) else None,
            "__doc__": encoder.__doc__,
            "__module__": encoder.__module__,
        },
        frozen=True,
        kw_only=True,
    )
