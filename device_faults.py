"""Faults of the device that computes, told apart from those of files and programs.

Memory that runs out costs a smaller batch, any other fault the process that saw it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from .errors import DeviceError, VapipeError

T = TypeVar("T")

# As torch, CUDA's libraries, ROCm, CuPy and ONNX Runtime put it. torch has classes of its own for
# two kinds only; the others are plain RuntimeErrors.
_FAULT = re.compile(
    r"\b(CUDA|HIP) (error|driver error|failure \d+|unknown error|out of memory)\b"
    r"|\b(cuDNN|cuDNN Frontend|MIOpen|cuFFT|hipFFT|cusolver|cusparse|NCCL) [eE]rror\b"
    r"|\b(CUBLAS|CUDNN|CUFFT|CUSOLVER|CUSPARSE|HIPBLAS|MIOPEN|ROCBLAS)_STATUS_|\bcudaError[A-Z]"
    r"|No CUDA GPUs are available|Found no NVIDIA driver|CUDA driver initialization failed"
    r"|unable to find an engine to execute this computation"
)
_MEMORY = re.compile(r"out of memory|ALLOC_FAILED|ALLOCATION_FAILED|cudaErrorMemoryAllocation")
_ASIDE = re.compile(r"\n| Including non-PyTorch memory| If reserved but unallocated")

_lock = threading.Lock()
_notes: dict[str, str] = {}  # what computes -> that its batches were made smaller


def find_device_fault(error: BaseException | None) -> BaseException | None:
    """The error, or one behind it, by which a device says that it failed; None without one.

    A `DeviceError` has been judged before.
    """
    seen = set[int]()
    while error is not None and id(error) not in seen and not isinstance(error, DeviceError):
        if _is_device_fault(error):
            return error
        seen.add(id(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return None


def _is_device_fault(error: BaseException) -> bool:
    if isinstance(error, VapipeError) or not isinstance(error, Exception):
        return False
    import torch

    if isinstance(error, torch.OutOfMemoryError | torch.AcceleratorError):
        return True
    return _FAULT.search(str(error)) is not None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device has no memory left for what was asked of it."""
    import torch

    fault = find_device_fault(error)
    if fault is None:
        return False
    return isinstance(fault, torch.OutOfMemoryError) or _MEMORY.search(str(fault)) is not None


@contextmanager
def device_errors(device: str) -> Iterator[None]:
    """Turn faults of the device, whoever raises them, into `DeviceError`.

    Args:
        device: where the work computes, for the message.
    """
    try:
        yield
    except DeviceError:
        raise
    except Exception as error:
        fault = find_device_fault(error)
        if fault is None:
            raise
        raise _blame(device, fault) from error


def _blame(device: str, fault: BaseException, doing: str = "") -> DeviceError:
    name = "cuda" if device == "cpu" else device  # what a plug-in uses beside the device asked for
    words = _ASIDE.split(str(fault))[0].strip(" .") or type(fault).__name__
    if is_out_of_memory(fault):
        return DeviceError(
            f"device {name} has too little memory{doing}: {words}. End other programs on it "
            "(`nvidia-smi` lists them), use a smaller network, input or batch, or --device cpu"
        )
    return DeviceError(
        f"device {name} failed{doing}: {words}. The input is not at fault: run the command again; "
        "if it stays so, `nvidia-smi` and the system's log say more, or use --device cpu"
    )


class Batches:
    """Computes as much at once as the device's memory holds.

    Where it runs out, the batch is halved, which stays so; batches of other sizes may round
    differently.

    Attributes:
        most: so much is computed at once.
    """

    def __init__(self, what: str, most: int, device: str = "cuda") -> None:
        """Begin.

        Args:
            what: computes, for messages.
            most: so much at once at first.
            device: where, for messages.
        """
        self.most = most
        self._what, self._device = what, device

    def map(self, compute: Callable[..., T], *whole: Any) -> list[T]:
        """What comes of successive parts of things of one length, each cut alike.

        Raises:
            DeviceError: the memory does not even hold one.
        """
        found: list[T] = []
        start = 0
        while start < len(whole[0]):
            size = min(self.most, len(whole[0]) - start)
            try:
                found.append(compute(*(each[start : start + size] for each in whole)))
                start += size
                continue
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    fault = find_device_fault(error) or error
                    doing = f" for `{self._what}`, even with a batch of one"
                    raise _blame(self._device, fault, doing) from error
            self._halve(size)  # behind the error, whose frames hold tensors
        return found

    def _halve(self, size: int) -> None:
        import torch

        self.most = size // 2
        if torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        with _lock:
            _notes[self._what] = (
                f"device {self._device} ran out of memory: `{self._what}` computes {self.most} at "
                "once from now on"
            )


def take_notes() -> dict[str, str]:
    """What this process has to say since the last call of what computes on its devices."""
    with _lock:
        notes = dict(_notes)
        _notes.clear()
    return notes


def add_notes(notes: Mapping[str, str]) -> None:
    """Take over what another process has to say."""
    with _lock:
        _notes.update(notes)
