"""How exactly torch computes: the one place where its flags are set, for both stages.

They are the process's, not a thread's: set when the first computation begins and put back when the
last one ends, so that none changes them beside another one.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

# Where nothing is set ("none") the next wider place counts, so all are set.
_PLACES = (
    ("generic", "all"),
    *((backend, op) for backend in ("cuda", "mkldnn") for op in ("all", "matmul", "conv", "rnn")),
)
_lock = threading.Lock()
_inside = 0  # computations going on
_flags: _Flags  # as the user has them


@contextmanager
def exactly() -> Iterator[None]:
    """Compute float32 as float32 (neither TF32 nor bfloat16) and by the same algorithms every time.

    It holds for all threads. Whatever the user has set comes back at the end.
    """
    global _inside, _flags
    with _lock:
        if not _inside:
            _flags = _Flags()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _flags.put_back()


@contextmanager
def on_threads(number: int) -> Iterator[None]:
    """Compute on so many threads of the CPU; how many it were before comes back at the end.

    Sums split over threads round differently: where bytes must not depend on the machine, on one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def inferring() -> Iterator[None]:
    """`exactly`, without gradients."""
    with exactly(), torch.inference_mode():
        yield


@contextmanager
def reproducibly(device: torch.device) -> Iterator[None]:
    """`exactly`, and gradients by the same algorithms every time, which CPUs have anyhow.

    Where torch has none for an operation it warns.
    """
    if device.type == "cpu":
        with exactly():
            yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS is first used
    # A property that type checkers do not see. What it fills costs time and finds faults only.
    memory: Any = torch.utils.deterministic
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    memory.fill_uninitialized_memory = False
    try:
        with exactly():
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        memory.fill_uninitialized_memory = before[2]


class _Flags:
    """What was set, and can be put back; sets all flags to exact."""

    def __init__(self) -> None:
        get, set_ = torch._C._get_fp32_precision_getter, torch._C._set_fp32_precision_setter
        cudnn = torch.backends.cudnn
        self._cudnn = cudnn.enabled, cudnn.benchmark, cudnn.deterministic
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = True, False, True
        self._own = {}  # the wider place is cleared before: what is read is the place's own
        for place in _PLACES:
            self._own[place] = get(*place)
            set_(*place, "none")
        for place, precision in self._own.items():
            set_(*place, precision)
        # The older names of the same; where only the newer were used, they cannot be read.
        self._tf32 = self._matmul = None
        with suppress(RuntimeError):
            self._tf32 = torch._C._get_cudnn_allow_tf32()
            torch._C._set_cudnn_allow_tf32(False)
        with suppress(RuntimeError):
            self._matmul = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("highest")
        for place in _PLACES:
            set_(*place, "ieee")

    def put_back(self) -> None:
        cudnn = torch.backends.cudnn
        cudnn.enabled, cudnn.benchmark, cudnn.deterministic = self._cudnn
        if self._tf32 is not None:
            torch._C._set_cudnn_allow_tf32(self._tf32)
        if self._matmul is not None:
            torch.set_float32_matmul_precision(self._matmul)
        for place, precision in self._own.items():
            torch._C._set_fp32_precision_setter(*place, precision)
