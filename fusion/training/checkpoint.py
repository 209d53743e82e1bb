"""The state of a fit after an epoch, in one file that appears whole or not at all."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ...cache.durable import write_bytes
from ...errors import CheckpointError

CHECKPOINT = "checkpoint.safetensors"


Saved: TypeAlias = dict[str, dict[str, Tensor]]


@dataclass
class FitState:
    """Where a fit stands.

    Attributes:
        network: the network in training, or "" before the first epoch.
        epoch: epochs of it that are done.
        best: its best validation CCC.
        best_epoch: when that was.
        schedule: state of its learning rate.
        records: the lines of metrics.jsonl so far.
        finished: networks that are trained.
    """

    network: str = ""
    epoch: int = 0
    best: float = float("-inf")
    best_epoch: int = 0
    schedule: dict[str, Any] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)


def save_checkpoint(
    folder: Path,
    state: FitState,
    model: nn.Module,
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the checkpoint of a run folder: state, weights, best weights, optimizer."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, moments in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in moments.items()}
    contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_bytes(folder / CHECKPOINT, save(contiguous, metadata={"state": json.dumps(vars(state))}))


def read_checkpoint(folder: Path) -> tuple[FitState, Saved]:
    """Read the checkpoint of a run folder.

    Returns:
        The state, and the tensors of the groups `model`, `best` and `optimizer` by name.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    path = folder / CHECKPOINT
    groups: Saved = {"model": {}, "best": {}, "optimizer": {}}
    try:
        with safe_open(path, framework="pt") as file:
            state = FitState(**json.loads((file.metadata() or {})["state"]))
            for name in file.keys():  # noqa: SIM118 - not a dict
                group, _, rest = name.partition(".")
                groups[group][rest] = file.get_tensor(name)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise CheckpointError(
            f"cannot read the checkpoint {path} ({error}); fit again into a new folder"
        ) from error
    return state, groups


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `save_checkpoint` took from an optimizer of the same parameters."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, _, entry = name.partition(".")
        state.setdefault(int(index), {})[entry] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
