"""Weights of an encoder: by a name of the table, or by the path of a file."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path

import torch
from torch import nn

from ...cache.durable import digest_file
from ...errors import ConfigError, WeightsError
from ..weights.files import WeightFile, find_weights

_LONGEST_LIST = 4  # keys named in a message


def open_weights(weights: str | PathLike[str], *, architecture: str, encoder: str) -> WeightFile:
    """The checked file of weights; never downloads.

    Args:
        weights: a name as `vapipe weights list` shows it, or a path; a path has a slash in it.
        architecture: the network that the file must be for.
        encoder: for messages.

    Raises:
        WeightsError: absent, damaged, or unknown.
        ConfigError: weights of another network.
    """
    if is_path(weights):
        return open_file(weights, architecture=architecture, encoder=encoder)
    found = find_weights(str(weights))
    if found.architecture != architecture:
        raise ConfigError(
            f"encoder `{encoder}`: the weights {found.name} are of {found.architecture}, it needs "
            f"{architecture}; `vapipe weights list` shows which fit"
        )
    return found


def is_path(weights: str | PathLike[str]) -> bool:
    """Whether weights are given as a path and not by a name."""
    return not isinstance(weights, str) or "/" in weights


def open_file(
    weights: str | PathLike[str], *, architecture: str, encoder: str, says: str = ""
) -> WeightFile:
    """A file of weights given by its path.

    Raises:
        WeightsError: there is no such file; `says` is added to the message.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"encoder `{encoder}`: there is no file of weights {path}; correct the option "
            f"`weights`{says}"
        )
    return WeightFile(path.name, architecture, path, digest_file(path), path.stat().st_size)


def load_strictly(network: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load a state whose names and shapes must be the network's, all of them.

    Raises:
        WeightsError: which keys are missing, left over or of another shape.
    """
    wanted = network.state_dict()
    problems = {
        "missing": sorted(wanted.keys() - state.keys()),
        "unexpected": sorted(state.keys() - wanted.keys()),
        "of another shape": sorted(
            key for key in wanted.keys() & state.keys() if wanted[key].shape != state[key].shape
        ),
    }
    if any(problems.values()):
        listed = "; ".join(_listed(what, keys) for what, keys in problems.items() if keys)
        raise WeightsError(
            f"{path}: the weights do not fit the network: {listed}. Give the file of this very "
            "network"
        )
    network.load_state_dict(state)


def _listed(what: str, keys: list[str]) -> str:
    more = f" and {len(keys) - _LONGEST_LIST} more" if len(keys) > _LONGEST_LIST else ""
    return f"{len(keys)} {what} ({', '.join(keys[:_LONGEST_LIST])}{more})"
