"""Heads by name: register, list, describe; `models.heads.create` makes them."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar, get_origin

from ...errors import ConfigError
from ...plugins import load_plugins
from ..recipes import Stated
from ..typed import Among, conform, types_of
from .facts import BuiltIn, HeadFacts

_HEADS: dict[str, type[HeadFacts]] = {}
_COMMON = ("self", "dims", "length", "variant", "recursions")

H = TypeVar("H", bound=type[HeadFacts])


@dataclass(frozen=True)
class HeadInfo:
    """What a newcomer wants to know of a head; attributes not listed are those of `HeadFacts`.

    Attributes:
        summary: first line of its description, which is `equations`.
        recursions: default number of recursions M, or None when it has none.
        takes_length: whether weights of at least one variant depend on the window length.
        options: further options with their defaults.
        types: the annotated types of these.
        parameter_count: trainable values of the head alone, None where it does not state them.
    """

    name: str
    summary: str
    equations: str
    source: str
    variants: tuple[str, ...]
    min_streams: int
    max_streams: int
    recursions: int | None
    takes_length: bool
    published: dict[str, Stated]
    options: dict[str, Any]
    types: dict[str, Any]
    revision: int
    presets: dict[str, Mapping[str, Any]]
    belongs: dict[str, str]
    parameter_count: int | None


def register_head(name: str) -> Callable[[H], H]:
    """Class decorator that makes a head available as `name`."""

    def enter(head: H) -> H:
        if name in _HEADS:
            raise ValueError(f"head `{name}` is already {_HEADS[name].__qualname__}")
        _HEADS[name] = head
        return head

    return enter


def list_heads() -> list[str]:
    """Names of all heads, sorted."""
    load_plugins()
    return sorted(_HEADS)


def find_head(name: str) -> type[HeadFacts]:
    """The class that is registered: of facts, or a network that has its own.

    Raises:
        ConfigError: no such head.
    """
    load_plugins()
    if name in _HEADS:
        return _HEADS[name]
    near = difflib.get_close_matches(name.lower(), _HEADS, n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ConfigError(
        f"no head is called `{name}`.{hint} There are: {', '.join(list_heads())}; a head of your "
        "own is found with `vapipe --plugin FILE`"
    )


def describe_head(name: str) -> HeadInfo:
    """Describe a head.

    Raises:
        ConfigError: no such head.
    """
    head = find_head(name)
    parameters = _parameters(head)  # type: ignore[arg-type]  # classes can be hashed
    text = inspect.getdoc(head) or ""
    own = {k: (p.default, p.annotation) for k, p in parameters.items() if k not in _COMMON}
    if head.presets:
        own = {"preset": (None, Annotated[str, Among(tuple(head.presets))] | None), **own}
    return HeadInfo(
        name=name,
        summary=text.partition("\n")[0],
        equations=text,
        source=head.source,
        variants=head.variants,
        min_streams=head.min_streams,
        max_streams=head.max_streams,
        recursions=parameters["recursions"].default if "recursions" in parameters else None,
        takes_length="length" in parameters,
        published=dict(head.published),
        options={k: default for k, (default, _) in own.items()},
        types={k: kind for k, (_, kind) in own.items()},
        revision=head.revision,
        presets=dict(head.presets),
        belongs=dict(head.belongs),
        parameter_count=getattr(head, "parameter_count", None),
    )


def resolve_variant(name: str, variant: str) -> str:
    """The variant of a head that is built: its first one where it has no `official`.

    Raises:
        ConfigError: no such head or variant.
    """
    variants = describe_head(name).variants
    if variant == "official" and "official" not in variants:
        return variants[0]
    if variant not in variants:
        raise ConfigError(
            f"head {name} has no variant `{variant}`; there are: {', '.join(variants)}"
        )
    return variant


@functools.cache
def _parameters(head: type[HeadFacts]) -> dict[str, inspect.Parameter]:
    """What a network is made with, types resolved: as its facts say, else as its constructor does.

    A constructor passes on what it has no name for to that of its base.
    """
    if issubclass(head, BuiltIn):
        kind = inspect.Parameter.KEYWORD_ONLY
        return {
            name: inspect.Parameter(name, kind, default=getattr(head, name), annotation=annotation)
            for name, annotation in types_of(head).items()
            if get_origin(annotation) is not ClassVar
        }
    found: dict[str, inspect.Parameter] = {}
    for base in head.__mro__:
        if "__init__" not in vars(base):
            continue
        constructor = vars(base)["__init__"]
        types = types_of(constructor)
        own = {
            name: p.replace(annotation=types.get(name, Any))
            for name, p in inspect.signature(constructor).parameters.items()
        }
        passes_on = [name for name, p in own.items() if p.kind is p.VAR_KEYWORD]
        found = {**own, **found}
        if not passes_on:
            break
        del found[passes_on[0]]
    return found


def check_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options of a head with the types that its constructor asks for.

    Raises:
        ConfigError: unknown head or option, or a value of another type.
    """
    info = describe_head(name)
    unknown = sorted(set(options) - set(info.options))
    if unknown:
        known = ", ".join(f"{k}={v!r}" for k, v in info.options.items()) or "none"
        raise ConfigError(f"head {name} has no option {', '.join(unknown)}; its options: {known}")
    return {k: conform(f"head_options.{k}", v, info.types[k]) for k, v in options.items()}
