"""A device that is none: its tensors compute on the CPU, under a GPU's rules, and are counted.

Operations on tensors of two devices fail as on CUDA (numbers without dimensions are free, index
tensors of the CPU are copied). Copies to the host and whatever makes the host wait are counted.
Importing this changes torch for the whole process, so it belongs into one of its own.
"""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

from vapipe import device as devices

COUNTS: Counter[str] = Counter()  # "to host", "to device", "waits", "operations"
# Their results, or the shapes of these, are known to the host only when the device is done.
_WAITS = {
    *("aten::_local_scalar_dense", "aten::equal", "aten::nonzero", "aten::masked_select"),
    *("aten::_unique2", "aten::unique_dim", "aten::bincount", "aten::repeat_interleave"),
    "torchvision::nms",
}


class _Module(_DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


_setup_privateuseone_for_python_backend(rename="pretend", backend_module=_Module())
devices._NAMES = re.compile(devices._NAMES.pattern + r"|pretend(:0)?")
DEVICE = torch.device("pretend", 0)


class Pretended(torch.Tensor):
    """A tensor on the device; `held` is where its numbers are."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Pretended:
        return torch.Tensor._make_wrapper_subclass(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sees operations without tensors, too: `torch.zeros(3, device=...)`."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    name = func.name().partition(".")[0]
    tensors: list[torch.Tensor] = []
    tree_map(lambda x: tensors.append(x) if isinstance(x, torch.Tensor) else None, (args, kwargs))
    ours = [x for x in tensors if isinstance(x, Pretended)]
    asked = kwargs.get("device")
    to_device = bool(ours) if asked is None else torch.device(asked).type == "pretend"
    if name == "aten::_to_copy":
        if bool(ours) != to_device:
            COUNTS["to device" if to_device else "to host"] += 1
    elif name == "aten::copy_" and len(ours) == 1:
        COUNTS["to device" if isinstance(args[0], Pretended) else "to host"] += 1
    elif ours:
        _check(name, args, tensors)
        COUNTS["operations"] += 1
        COUNTS["waits"] += name in _WAITS
    given = {**kwargs, "device": "cpu"} if asked is not None else kwargs
    given = {key: value for key, value in given.items() if key != "pin_memory"}
    known = {id(x.held): x for x in ours}

    def open_(x: Any) -> Any:
        return x.held if isinstance(x, Pretended) else x

    def wrap(x: Any) -> Any:
        if not to_device or not isinstance(x, torch.Tensor):
            return x
        return known[id(x)] if id(x) in known else Pretended(x)

    func = _ONLY_ON_GPUS.get(name, func)
    return tree_map(wrap, func(*tree_map(open_, args), **tree_map(open_, given)))


def _lstm_cell(
    given: torch.Tensor,
    hidden: torch.Tensor,
    cell: torch.Tensor,
    bias: torch.Tensor | None = None,
    other_bias: torch.Tensor | None = None,
) -> tuple[torch.Tensor, ...]:
    """Of gates [B, 4 H] the next states [B, H], and what `_lstm_cell_backward` needs of it."""
    total = given + hidden + (0 if bias is None or other_bias is None else bias + other_bias)
    i, f, g, o = total.chunk(4, dim=1)
    i, f, g, o = i.sigmoid(), f.sigmoid(), g.tanh(), o.sigmoid()
    after = f * cell + i * g
    return o * after.tanh(), after, torch.cat([i, f, g, o], dim=1)


def _lstm_cell_backward(
    to_hidden: torch.Tensor | None,
    to_cell: torch.Tensor | None,
    cell: torch.Tensor,
    after: torch.Tensor,
    gates: torch.Tensor,
    has_bias: bool,
) -> tuple[torch.Tensor, ...]:
    i, f, g, o = gates.chunk(4, dim=1)
    to_hidden = torch.zeros_like(cell) if to_hidden is None else to_hidden
    to_after = to_hidden * o * (1 - after.tanh() ** 2) + (0 if to_cell is None else to_cell)
    parts = (
        to_after * g * i * (1 - i),
        to_after * cell * f * (1 - f),
        to_after * i * (1 - g**2),
        to_hidden * after.tanh() * o * (1 - o),
    )
    to_gates = torch.cat(parts, dim=1)
    return to_gates, to_after * f, to_gates.sum(0) if has_bias else to_gates.new_zeros(0)


_ONLY_ON_GPUS = {
    "aten::_thnn_fused_lstm_cell": _lstm_cell,
    "aten::_thnn_fused_lstm_cell_backward_impl": _lstm_cell_backward,
}


def _check(name: str, args: Any, tensors: list[torch.Tensor]) -> None:
    strangers = [x for x in tensors if not isinstance(x, Pretended) and x.dim()]
    if strangers and name.startswith("aten::index") and isinstance(args[0], Pretended):
        COUNTS["to device"] += len(strangers)
    elif strangers:
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two devices, "
            f"pretend:0 and cpu! ({name})"
        )
    if name in ("aten::index", "aten::index_put", "aten::_index_put_impl_"):
        masks = [x for x in tensors[1:] if x.dtype in (torch.bool, torch.uint8)]
        COUNTS["waits"] += bool(masks) and name == "aten::index"  # how many there are


@contextmanager
def pretending() -> Iterator[None]:
    """Have the device, also in threads begun meanwhile."""
    before = torch.inference_mode, threading.Thread.run, torch._C._only_lift_cpu_tensors()

    def run(thread: threading.Thread) -> None:
        with _Mode():
            before[1](thread)

    threading.Thread.run = run
    torch.inference_mode = torch.no_grad  # which subclasses of tensors do not go through
    torch._C._set_only_lift_cpu_tensors(True)
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _Mode():
            yield
    finally:
        torch.inference_mode, threading.Thread.run = before[:2]
        torch._C._set_only_lift_cpu_tensors(before[2])
        torch.__future__.set_overwrite_module_params_on_conversion(False)


def counted(work: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
    """What comes of it, and how often host and device met meanwhile."""
    COUNTS.clear()
    return work(), dict(COUNTS)
