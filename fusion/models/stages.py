"""Training in stages: weights taken from an earlier run, and parts that stay frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ...errors import ConfigError, counted


def freeze(network: nn.Module, parts: Sequence[str]) -> None:
    """Take parts of a network, such as `encoders.video` or `head`, out of training.

    Raises:
        ConfigError: no such part, or nothing is left to train.
    """
    known = {name: part for name, part in network.named_modules() if name and _holds_weights(part)}
    for part in parts:
        if part not in known:
            shown = [name for name in known if name.count(".") < 1 + name.startswith("encoders.")]
            raise ConfigError(
                f"freeze: the network has no part `{part}`; parts: {', '.join(shown)}, or a part "
                "of these"
            )
        known[part].requires_grad_(False)
    if parts and not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError(f"freeze: {', '.join(parts)} is all of the network; nothing is trained")


def set_training(network: nn.Module, frozen: Sequence[str]) -> None:
    """Put a network into training mode; frozen parts run as in evaluation.

    So BatchNorm keeps its statistics there, and nothing is dropped.
    """
    network.train()
    for part in frozen:
        for module in network.get_submodule(part).modules():
            # An LSTM drops nothing itself, and cuDNN's has no gradient in evaluation mode.
            module.training = isinstance(module, nn.RNNBase)


def read_initial(run: Path, model: nn.Module) -> dict[str, Tensor]:
    """The weights of a finished run whose names and shapes are those of the model's.

    Raises:
        ConfigError: not a finished run, or nothing fits.
    """
    path = run / "model.safetensors"
    try:
        stored = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"init_from: cannot read {path} ({error}); it must be the folder of a finished run "
            "(`vapipe runs` lists them)"
        ) from error
    own = model.state_dict()
    fitting = {
        name: value
        for name, value in stored.items()
        if name in own and own[name].shape == value.shape
    }
    if not fitting:
        raise ConfigError(
            f"init_from: none of the {counted(len(stored), 'tensor')} of {run} has the name and "
            f"shape of one of this model's ({', '.join(_count_parts(stored))} there; "
            f"{', '.join(_count_parts(own))} here)"
        )
    return fitting


def describe_initial(run: Path, model: nn.Module, taken: Mapping[str, Tensor]) -> str:
    """What was taken from a run and what starts anew, part by part, as one line."""
    whole, got = _count_parts(model.state_dict()), _count_parts(taken)
    from_run = [
        part if got[part] == count else f"{part} ({got[part]} of {counted(count, 'tensor')})"
        for part, count in whole.items()
        if part in got
    ]
    anew = [part for part in whole if part not in got]
    line = f"starts from the weights of {run}: {', '.join(from_run)}"
    return f"{line}; anew: {', '.join(anew)}" if anew else line


def _count_parts(state: Mapping[str, Tensor]) -> dict[str, int]:
    """`network.part` -> number of tensors; encoders count one by one."""
    parts: dict[str, int] = {}
    for name in state:
        _, network, part, *rest = [*name.split("."), "", ""]
        label = f"{network}.{part}.{rest[0]}" if part == "encoders" else f"{network}.{part}"
        parts[label] = parts.get(label, 0) + 1
    return parts


def _holds_weights(part: nn.Module) -> bool:
    return next(part.parameters(), None) is not None


def start_from(model: nn.Module, run: Path) -> None:
    """Overwrite what fits with the weights (and normalisation) of a run; errors as above."""
    with torch.no_grad():
        model.load_state_dict({**model.state_dict(), **read_initial(run, model)})
