"""Makes the networks of heads by name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import torch

from ....errors import ConfigError, counted
from ...heads import ROLES, HeadInfo, check_options, describe_head, resolve_variant
from ...heads.facts import BuiltIn
from ...heads.registry import find_head
from .base import Head


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
    info = describe_head(name)
    _check_dims(info, dims)
    variant = resolve_variant(name, variant)
    given = check_options(name, options)
    preset = given.pop("preset", "") if info.presets else ""
    arguments: dict[str, Any] = {**info.options, **info.presets.get(preset or "", {}), **given}
    if info.presets:
        del arguments["preset"]
    for option, owner in info.belongs.items():
        value = arguments[option]
        if variant != owner and value != info.options[option]:
            raise ConfigError(
                f"head {name}: {option}={value!r} belongs to variant={owner}; leave it out, or "
                f"take variant={owner}"
            )
    if len(info.variants) > 1:
        arguments["variant"] = variant
    if info.takes_length:
        arguments["length"] = length
    if recursions is not None and info.recursions is None:
        raise ConfigError(f"head {name} has no recursions; leave recursions={recursions} out")
    if recursions is not None and recursions < 1:
        raise ConfigError(f"head {name} needs at least one recursion, got {recursions}")
    if info.recursions is not None:
        arguments["recursions"] = recursions or info.recursions
    return _network(name)(dims=dict(dims), **arguments)


def _network(name: str) -> type[Head]:
    """The class of a head's network."""
    head = find_head(name)
    if issubclass(head, BuiltIn):
        network: type[Head] = getattr(import_module(f".{name}", __package__), head.__name__)
        return network
    if issubclass(head, Head):
        return head
    raise ConfigError(f"head {name} is no subclass of vapipe.fusion.models.heads.Head")


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
            f"head {info.name} fuses at least {counted(info.min_streams, 'stream')}, got "
            f"{len(dims)} ({', '.join(dims) or 'none'}); head concat takes any number"
        )
    if len(dims) > info.max_streams:
        raise ConfigError(
            f"head {info.name} fuses at most {counted(info.max_streams, 'stream')}, got "
            f"{len(dims)} ({', '.join(dims)}); head concat takes any number"
        )
    for role, dim in dims.items():
        if dim < 1:
            raise ConfigError(f"head {info.name}: stream {role} has {dim} channels; needs >= 1")
