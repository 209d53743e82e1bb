"""A plug-in whose encoders fail as a device does, when and as the file of a folder tells.

`faulty` sees pictures, `faulty-sound` hears. The file `plan` in the folder says `WHEN KIND`: WHEN
is never, always, once (the first call of all), from:N (the N-th call of a process, and all later
ones), after:N (the same, counted over all processes), rows:N (batches of N) or above:N (batches of
more than N). The KIND `kill` kills.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vapipe.cache.timeline import Timeline
from vapipe.extract.encoders import AudioEncoder, VisualEncoder, register_encoder

ASKED = "Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 15.00 GiB of which 1.00 GiB"
ADVICE = " is free. Including non-PyTorch memory, this process has 13.99 GiB memory in use."
LATER = "\nCUDA kernel errors might be asynchronously reported at some other API call"
KINDS = {
    "memory": torch.OutOfMemoryError(f"CUDA out of memory. {ASKED}{ADVICE}"),
    "raw-memory": torch.AcceleratorError(f"CUDA error: out of memory{LATER}"),
    "cublas-memory": RuntimeError(
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"
    ),
    "cudnn-memory": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "illegal": torch.AcceleratorError(
        f"CUDA error: an illegal memory access was encountered{LATER}"
    ),
    "launch": RuntimeError(f"CUDA error: unspecified launch failure{LATER}"),
    "cublas": RuntimeError(
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa)`"
    ),
    "cudnn": RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
    "engine": RuntimeError("FIND was unable to find an engine to execute this computation"),
    "driver": RuntimeError("CUDA driver error: device kernel image is invalid"),
    "fft": RuntimeError("cuFFT error: CUFFT_EXEC_FAILED"),
    "gone": RuntimeError("No CUDA GPUs are available"),
}
_calls = 0  # of this process


def _fail(folder: Path, size: int) -> None:
    global _calls
    _calls += 1
    with (folder / "calls").open("a") as file:
        file.write(f"{os.getpid()} {size}\n")
    when, kind = (folder / "plan").read_text().split()
    when, _, number = when.partition(":")
    every = len((folder / "calls").read_text().splitlines())
    if {
        "never": False,
        "always": True,
        "once": every == 1,
        "after": every >= int(number or 0),
        "from": _calls >= int(number or 0),
        "rows": size == int(number or 0),
        "above": size > int(number or 0),
    }[when]:
        if kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise type(KINDS[kind])(*KINDS[kind].args)


@register_encoder("faulty")
class Faulty(VisualEncoder):
    """The mean colours of a crop."""

    dim = 3
    input_size = 1

    def __init__(self, *, folder: str = ".", device: str = "cpu") -> None:
        self._folder = Path(folder)

    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        _fail(self._folder, len(crops))
        return crops.mean(axis=(1, 2), dtype=np.float32)


@register_encoder("faulty-sound")
class FaultySound(AudioEncoder):
    """Ones."""

    dim = 2

    def __init__(self, *, folder: str = ".", device: str = "cpu") -> None:
        self._folder = Path(folder)

    def encode(
        self, blocks: Iterable[Any], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        try:
            _fail(self._folder, len(timeline))
        except RuntimeError as error:  # as a library may wrap it
            raise ValueError("the sound cannot be encoded") from error
        yield np.ones((len(timeline), 2), np.float32), np.ones(len(timeline), np.uint8)
