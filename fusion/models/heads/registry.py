"""Heads by name: register, list, describe, create."""

from __future__ import annotations

import difflib
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import torch

from ....errors import ConfigError
from ....plugins import load_plugins
from ...recipes import Stated
from ...typed import Among, conform, types_of
from .base import ROLES, Head

_HEADS: dict[str, type[Head]] = {}
_COMMON = ("self", "dims", "length", "variant", "recursions")

H = TypeVar("H", bound=type[Head])


@dataclass(frozen=True)
class HeadInfo:
    """What a newcomer wants to know of a head; attributes not listed are those of `Head`.

    Attributes:
        summary: first line of its description, which is `equations`.
        recursions: default number of recursions M, or None when it has none.
        takes_length: whether weights of at least one variant depend on the window length.
        options: further options with their defaults.
        types: the annotated types of these.
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


def _find(name: str) -> type[Head]:
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
    head = _find(name)
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
def _parameters(head: type[Head]) -> dict[str, inspect.Parameter]:
    """What the constructor takes, also what it passes on to those of its bases; types resolved."""
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


def create_head(
    name: str,
    dims: Mapping[str, int],
    *,
    length: int | None = None,
    variant: str = "official",
    recursions: int | None = None,
    **options: Any,
) -> Head:
    """Make a head.

    Args:
        dims: role -> channels D of the stream that enters the head; roles are video, audio,
            audio2 and text. Streams are concatenated in that order, whatever the order here.
        length: window length L in frames; only heads whose weights depend on it look at it.
        variant: `official` computes what the authors' released code computes. A head without
            released code has no such variant; it takes `official` for its first variant.
        recursions: M; None takes the head's default.
        **options: the head's own options (`describe_head(name).options`).

    Returns:
        A module: forward(streams, mask) -> [B, L, head.out_dim]; gates(streams, mask).

    Raises:
        ConfigError: unknown head, role, variant or option; too few streams; a length or a number
            of recursions that is missing, not taken or not positive.
    """
    info, head = describe_head(name), _find(name)
    _check_dims(info, dims)
    variant = resolve_variant(name, variant)
    given = check_options(name, options)
    preset = given.pop("preset", "") if info.presets else ""
    arguments: dict[str, Any] = {"dims": dict(dims), **info.presets.get(preset or "", {}), **given}
    for option, owner in head.belongs.items():
        value = arguments.get(option, info.options[option])
        if variant != owner and value != info.options[option]:
            raise ConfigError(
                f"head {name}: {option}={value!r} belongs to variant={owner}; leave it out, or "
                f"take variant={owner}"
            )
    if len(info.variants) > 1:
        arguments["variant"] = variant
    if info.takes_length:
        arguments["length"] = length
    if recursions is not None:
        if info.recursions is None:
            raise ConfigError(f"head {name} has no recursions; leave recursions={recursions} out")
        if recursions < 1:
            raise ConfigError(f"head {name} needs at least one recursion, got {recursions}")
        arguments["recursions"] = recursions
    return head(**arguments)


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


def digest_head(name: str, roles: Iterable[str], **made: Any) -> str:
    """SHA-256 of what a head computes: one for two heads that are the same model by two names.

    Equal seeds draw the weights and the dropout of a training step on small windows, so heads that
    agree here to the last bit train to the same numbers.

    Args:
        **made: variant, recursions and options, as in `create_head`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = create_head(name, dict.fromkeys(roles, 8), length=7, **made)
        torch.manual_seed(1)
        streams = {role: torch.randn(3, 7, 8, requires_grad=True) for role in head.dims}
        out = head(streams, torch.arange(7) < torch.tensor([[7], [5], [2]]))
        out.square().sum().backward()
    digest = hashlib.sha256(out.detach().numpy().tobytes())
    for tensor in (*streams.values(), *head.parameters()):
        digest.update(b"" if tensor.grad is None else tensor.grad.numpy().tobytes())
    return digest.hexdigest()


def _check_dims(info: HeadInfo, dims: Mapping[str, int]) -> None:
    unknown = sorted(set(dims) - set(ROLES))
    if unknown:
        raise ConfigError(
            f"head {info.name}: no role is called {', '.join(unknown)}; roles: {', '.join(ROLES)}"
        )
    if len(dims) < info.min_streams:
        raise ConfigError(
            f"head {info.name} fuses at least {info.min_streams} stream(s), got {len(dims)} "
            f"({', '.join(dims) or 'none'}); head concat takes any number"
        )
    if len(dims) > info.max_streams:
        raise ConfigError(
            f"head {info.name} fuses at most {info.max_streams} streams, got {len(dims)} "
            f"({', '.join(dims)}); head concat takes any number"
        )
    for role, dim in dims.items():
        if dim < 1:
            raise ConfigError(f"head {info.name}: stream {role} has {dim} channels; needs >= 1")
