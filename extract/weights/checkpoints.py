"""Files of weights into networks: read without executing anything, renamed, checked, loaded.

Which files there are and whether they are the right ones is for `files.py`.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ...errors import WeightsError, some
from ..networks.architectures import blueprint
from ..networks.ir50 import ir50_spatial, map_side
from .checkpoint_names import State, recognise, rename
from .table import WeightFile

_WRAPPERS = ("state_dict", "model_state_dict", "model", "backbone", "network", "net", "weights")
_LINEAR = "output_layer.3.weight"  # of IR-50; its width tells the size of the map before it
_LONGEST_LIST = 4  # keys named in a message

# NumPy arrays of numbers, pickled, as in torchvggish's PCA file; NumPy 1 wrote the older name.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_NUMPY: list[Any] = [
    (_RECONSTRUCT, "numpy.core.multiarray._reconstruct"),
    (_RECONSTRUCT, "numpy._core.multiarray._reconstruct"),
    (np.ndarray, "numpy.ndarray"),
    (np.dtype, "numpy.dtype"),
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
]


def load_network(weights: WeightFile, *, crop: int | None = None) -> nn.Module:
    """The network of a file of weights, in float32 on the CPU, evaluating, without gradients.

    Args:
        weights: from `files.find_weights`.
        crop: for IR-50, the side of its input in pixels; the file decides the rest.

    Raises:
        WeightsError: the file cannot be read or does not fit the network.
        ConfigError: unknown architecture.
    """
    state = read_state(weights.path)
    options: dict[str, Any] = {}
    if weights.architecture == "ir50":
        options = _ir50_options(state, weights.path, crop)
    network = blueprint(weights.architecture, **options)
    fitted = fit_state(network, state, weights.architecture, weights.path)
    network.to_empty(device="cpu")
    network.load_state_dict(fitted)
    return network.eval().requires_grad_(False)


def check_checkpoint(path: Path, architecture: str) -> None:
    """Read a file and compare its names and shapes with the network's.

    Raises:
        WeightsError: the file cannot be read or does not fit.
        ConfigError: unknown architecture.
    """
    state = read_state(path)
    options = _ir50_options(state, path, None) if architecture == "ir50" else {}
    fit_state(blueprint(architecture, **options), state, architecture, path)


def fit_state(
    network: nn.Module, state: Mapping[str, torch.Tensor], architecture: str, path: Path
) -> State:
    """The state under the network's names, complete, every shape right.

    Counters of batches that older files lack are set to zero; evaluation does not use them.

    Raises:
        WeightsError: which keys are missing, unexpected or of another shape.
    """
    wanted = network.state_dict()
    fitted = rename(state, architecture, wanted)
    for key in wanted.keys() - fitted.keys():
        if key.endswith("num_batches_tracked"):
            fitted[key] = torch.zeros((), dtype=torch.long)
    problems = _misfits(wanted, fitted)
    if problems:
        seen = recognise(state)
        looks = f"; it looks like a checkpoint of {seen}" if seen else ""
        raise WeightsError(
            f"{path}: the weights do not fit {architecture}: {problems}{looks}. "
            f"Use a checkpoint of {architecture}, or name the network it is made for"
        )
    return fitted


def load_strictly(network: nn.Module, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load a state whose names and shapes must be the network's, all of them.

    Raises:
        WeightsError: which keys are missing, left over or of another shape.
    """
    problems = _misfits(network.state_dict(), state)
    if problems:
        raise WeightsError(
            f"{path}: the weights do not fit the network: {problems}. Give the file of this very "
            "network"
        )
    network.load_state_dict(state)


def read_state(path: Path) -> State:
    """All tensors of a file: safetensors, or what torch.save wrote, loaded as data only.

    A state dict inside a training checkpoint (`state_dict`, `model` ...) is taken out of it.

    Raises:
        WeightsError: damaged, not a checkpoint, without tensors, or needing code to load.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: there is no such file of weights")
    try:
        content: Any = load_file(path) if _is_safetensors(path) else _load_pickled(path)
    except pickle.UnpicklingError as error:
        if "Unsupported global" not in str(error):
            raise _unreadable(path, error) from error
        what = str(error).partition("Unsupported global: ")[2].split(maxsplit=2)[1:2]
        raise WeightsError(
            f"{path}: the checkpoint holds more than tensors ({''.join(what) or 'objects'}), and "
            "loading that would execute code from the file. docs/weights.md has a script that "
            "takes the tensors out and executes nothing (Pickled checkpoints)"
        ) from error
    except Exception as error:  # damaged files make the readers raise nearly anything
        raise _unreadable(path, error) from error
    state = _tensors(content)
    if not state:
        raise WeightsError(
            f"{path}: no tensors found, neither at the top nor under {', '.join(_WRAPPERS)}; "
            "expected a state dict: torch.save(model.state_dict(), FILE)"
        )
    return state


def _ir50_options(state: Mapping[str, torch.Tensor], path: Path, crop: int | None) -> dict:
    """Size of the input and first stride that lead to the map the file's linear layer wants."""
    linear = next((value for key, value in state.items() if key.endswith(_LINEAR)), None)
    side = map_side(linear.shape[1]) if linear is not None and linear.ndim == 2 else None
    if side is None:  # not an IR-50; the comparison of all keys says so
        return {}
    if crop is None:
        return {"crop": 16 * side}
    for first_stride in (2, 1):
        if ir50_spatial(crop, first_stride) == side:
            return {"crop": crop, "first_stride": first_stride}
    raise WeightsError(
        f"{path}: these IR-50 weights expect a map of {side} x {side} before the linear layer; "
        f"crops of {crop} px give {ir50_spatial(crop, 2)} x {ir50_spatial(crop, 2)}, or "
        f"{ir50_spatial(crop, 1)} x {ir50_spatial(crop, 1)} where the first stage keeps the size. "
        f"Use crops of {16 * side} px or {8 * side} px, the size of their training"
    )


def _is_safetensors(path: Path) -> bool:
    """Eight bytes of header length, then the header: a JSON object."""
    with path.open("rb") as handle:
        start = handle.read(9)
    length = int.from_bytes(start[:8], "little")
    return start[8:] == b"{" and length < 2**27


def _load_pickled(path: Path) -> Any:
    """What torch.save wrote: tensors, containers of them, NumPy arrays; never other objects."""
    with torch.serialization.safe_globals(_NUMPY):
        return torch.load(
            path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
        )


def _tensors(content: Any) -> State:
    """The tensors of a state dict, or of the first state dict inside a checkpoint."""
    if not isinstance(content, Mapping):
        return {}
    for name in _WRAPPERS:
        inner = _tensors(content.get(name))
        if inner:
            return inner
    arrays = {
        key: torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        for key, value in content.items()
    }
    return {
        key: value
        for key, value in arrays.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }


def _unreadable(path: Path, error: Exception) -> WeightsError:
    kind = "safetensors" if isinstance(error, SafetensorError) else "PyTorch"
    why = str(error).strip().splitlines()
    return WeightsError(
        f"{path}: not a readable {kind} checkpoint ({path.stat().st_size} bytes; "
        f"{type(error).__name__}{': ' + why[0][:120] if why else ''}); half-downloaded, damaged, "
        "or another kind of file. Get it again"
    )


def _misfits(wanted: State, given: Mapping[str, torch.Tensor]) -> str:
    """`2 missing (a, b); ...`: keys that a network wants and that are given; empty where alike."""
    problems = {
        "missing": sorted(wanted.keys() - given.keys()),
        "unexpected": sorted(given.keys() - wanted.keys()),
        "of another shape": [
            f"{key} {list(given[key].shape)} instead of {list(wanted[key].shape)}"
            for key in wanted
            if key in given and given[key].shape != wanted[key].shape
        ],
    }
    found = {what: keys for what, keys in problems.items() if keys}
    return "; ".join(f"{len(k)} {what} ({some(k, _LONGEST_LIST)})" for what, k in found.items())
