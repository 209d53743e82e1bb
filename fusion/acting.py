"""Which options act in a configuration: the one rule for the command line, files and sweeps.

An option that does nothing would be recorded, and make two fits look different that are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .config import FitConfig, option_types
from .heads import ROLES, describe_head


def _has_tcn(config: FitConfig) -> bool:
    return any(config.tcn_channels[role] for role in config.streams or ROLES)


def _plays(role: str) -> Callable[[FitConfig], bool]:
    return lambda config: not config.streams or role in config.streams


_TCN = (_has_tcn, "where a stream has a TCN of its own (set tcn_channels)")
_PLATEAU = (lambda c: c.schedule == "plateau", "with schedule = plateau")

# Option -> when it acts in a resolved configuration, and that in words; others act always.
ACTS: dict[str, tuple[Callable[[FitConfig], bool], str]] = {
    "variant": (
        lambda c: c.variant in describe_head(c.head).variants,
        "where the head has that variant (`vapipe heads NAME` lists them)",
    ),
    "recursions": (
        lambda c: c.recursions is None or describe_head(c.head).recursions is not None,
        "in a head with recursions",
    ),
    "fold": (
        lambda c: c.split in ("aff-wild2", "k-fold", "leave-one-subject-out"),
        "with split = aff-wild2, k-fold or leave-one-subject-out",
    ),
    "folds": (lambda c: c.split == "k-fold", "with split = k-fold"),
    "tcn_kernels": _TCN,
    "tcn_dropout": _TCN,
    "causal": _TCN,
    "hidden": (lambda c: c.regressor != "linear", "with a regressor that has a hidden layer"),
    "modality_dropout": (lambda c: len(c.streams) != 1, "where there are two streams or more"),
    "min_learning_rate": (lambda c: c.schedule != "constant", "with schedule = plateau or cosine"),
    "plateau_factor": _PLATEAU,
    "plateau_patience": _PLATEAU,
    "warmup": (lambda c: c.warmup_epochs > 0, "in epochs of warm-up (set warmup_epochs)"),
    **{
        f"tcn_channels.{role}": (_plays(role), f"where a stream plays the role {role}")
        for role in ROLES
    },
}


def idle_options(config: FitConfig, names: Iterable[str]) -> dict[str, str]:
    """Those of the named options that do nothing in a configuration, and where they would act.

    Args:
        config: with or without its streams; what is known of them counts.
        names: options, or entries such as `tcn_channels.video`.
    """
    config = replace(config.resolved(), variant=config.variant)  # the variant as it was asked for
    return {name: ACTS[name][1] for name in names if name in ACTS and not ACTS[name][0](config)}


def require_acting(config: FitConfig, names: Iterable[str]) -> None:
    """Refuse options that were asked for and do nothing.

    Raises:
        ConfigError: names them, and says where they act.
    """
    for name, where in idle_options(config, names).items():
        raise ConfigError(
            f"{name} does nothing here: it acts only {where}. Leave it out (head {config.head}, "
            f"variant {config.variant}, split {config.split})"
        )


def choose_config(
    config: FitConfig | Path | None, changes: Mapping[str, Any]
) -> tuple[FitConfig, list[str]]:
    """A configuration (or a file of one, or the defaults) with changes, and what is set by hand.

    Raises:
        ConfigError: an option that cannot be, or that does nothing.
    """
    base = config if isinstance(config, FitConfig) else FitConfig.load(config)
    chosen, named = base.changed(changes), [*changes, *own_options(base)]
    require_acting(chosen, named)
    return chosen, named


def own_options(config: FitConfig) -> list[str]:
    """The options whose values are neither the defaults nor those of the recipe."""
    usual = config.bare(), config.bare().resolved()
    return [
        name
        for name in option_types()
        if all(getattr(config, name) != getattr(each, name) for each in usual)
    ]


def without(config: FitConfig, names: Iterable[str]) -> FitConfig:
    """The same with options put back to what the recipe has."""
    usual: dict[str, Any] = FitConfig(head=config.head, recipe=config.recipe).resolved().to_json()
    changes = {}
    for name in names:
        option, dot, entry = name.partition(".")
        changes[name] = usual[option][entry] if dot else usual[option]
    return config.changed(changes)
