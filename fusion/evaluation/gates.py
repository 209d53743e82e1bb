"""The gates of heads, frame by frame: what they are, and the file that keeps them.

Kept is what says something of a frame: weights of recursions, of modalities, reliabilities, and
how much attention the frame receives. Attention of frames to frames itself, as long as the window,
is not: it means other frames in each window.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor

from ...cache.durable import write_bytes
from ...errors import ConfigError

ATTENTION = " attention"  # behind the name of attention weights, of which frames' shares are kept
_FORMAT = "vapipe-gates 1"


@dataclass(frozen=True)
class GateGroup:
    """One gate of one network.

    Attributes:
        network: name of the network: valence, arousal or joint.
        gate: name that the head gives it.
        shape: of its values in a frame; () is one value.
    """

    network: str
    gate: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Values per frame."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Gates:
    """The gates of a partition.

    Attributes:
        groups: what the columns are, in order, each group `size` columns in C order; empty where
            the head has no gates per frame.
        values: video -> [T, C] float16, windows merged as predictions are.
    """

    groups: list[GateGroup]
    values: dict[str, np.ndarray]


_Found = Mapping[str, Mapping[str, Tensor]]  # network -> name -> [B, L, ...]


def gates_per_frame(found: _Found, mask: Tensor | None) -> dict[str, dict[str, Tensor]]:
    """What of a pass says something of a frame: network -> name -> [B, L, ...] without further L.

    Attention weights [B, L, heads, L] (who asks, head, who answers) become the attention [B, L]
    that a frame receives: the mean over the frames that ask and over heads, times the number of
    frames that may answer. 1 is an even share, and the mean over a window. Scores [B, L, L], which
    are no weights, are left out.

    Args:
        mask: [B, L] bool, existing rows, or None for all.
    """
    kept: dict[str, dict[str, Tensor]] = {}
    for network, own in found.items():
        kept[network] = {}
        for name, values in own.items():
            length = values.shape[1]
            if length not in values.shape[2:]:
                kept[network][name] = values
            elif values.ndim == 4 and values.shape[3] == length:
                asked = values.float().mean(dim=2)
                if mask is not None:
                    asked = asked * mask[..., None]
                kept[network][name + ATTENTION] = asked.sum(dim=1)  # L askers / L times L answers
    return kept


def gate_groups(found: _Found) -> list[GateGroup]:
    """The gates among what `gates_per_frame` gives."""
    return [
        GateGroup(network, name, tuple(values.shape[2:]))
        for network, own in found.items()
        for name, values in own.items()
    ]


def gate_columns(found: _Found, groups: Sequence[GateGroup]) -> np.ndarray:
    """The values of the groups side by side: [B, L, C] float32."""
    parts = [found[group.network][group.gate] for group in groups]
    flat = [part.float().reshape(*part.shape[:2], -1).cpu().numpy() for part in parts]
    return np.concatenate(flat, axis=-1)


def gates_file(path: Path, partition: str) -> Path:
    """Where a run keeps the gates of a partition."""
    return path / f"gates-{partition}.safetensors"


def write_gates(path: Path, partition: str, gates: Gates) -> Path:
    """Write the gates of a partition durably into a run's folder; returns the file."""
    groups = [[group.network, group.gate, list(group.shape)] for group in gates.groups]
    metadata = {"format": _FORMAT, "groups": json.dumps(groups)}
    file = gates_file(path, partition)
    write_bytes(file, save(gates.values if groups else {}, metadata=metadata))
    return file


def read_gates(path: Path, partition: str) -> Gates | None:
    """Read the gates of a partition from a run's folder; None where it has none.

    Raises:
        ConfigError: the file is damaged, or not one that `write_gates` writes.
    """
    file = gates_file(path, partition)
    if not file.exists():
        return None
    try:
        with safe_open(file, framework="numpy") as stored:
            metadata = stored.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError(f"its format is {metadata.get('format')!r}, not {_FORMAT!r}")
            groups = [GateGroup(n, g, tuple(s)) for n, g, s in json.loads(metadata["groups"])]
            values = {video: stored.get_tensor(video) for video in stored.keys()}  # noqa: SIM118
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ConfigError(
            f"cannot read {file} ({error}); `vapipe evaluate {path} --partition {partition} "
            "--gates` makes it anew"
        ) from error
    return Gates(groups, values)
