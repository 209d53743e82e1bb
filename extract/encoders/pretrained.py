"""Weights of an encoder: by a name of the table, or by the path of a file."""

from __future__ import annotations

from functools import lru_cache
from os import PathLike
from pathlib import Path

from ...cache.durable import digest_file
from ...errors import ConfigError, WeightsError
from ..weights.files import find_weights
from ..weights.table import WeightFile


def open_weights(weights: str | PathLike[str], architecture: str, *, encoder: str) -> WeightFile:
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


def open_file(weights: str | PathLike[str], *, architecture: str, encoder: str) -> WeightFile:
    """A file of weights given by its path.

    Raises:
        WeightsError: there is no such file.
    """
    path = Path(weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"encoder `{encoder}`: there is no file of weights {path}; correct the option `weights`"
        )
    facts = path.stat()
    state = facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns
    return WeightFile(path.name, architecture, path, _digest(path, state), facts.st_size)


@lru_cache
def _digest(path: Path, state: tuple[int, ...]) -> str:
    """SHA-256 of a file in one state: asked for when a stream is specified, checked and loaded."""
    return digest_file(path)
