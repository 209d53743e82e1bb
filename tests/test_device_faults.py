"""What counts as a fault of the device, and batches that are halved where memory runs out."""

import numpy as np
import pytest
import torch

from vapipe.device_faults import (
    Batches,
    device_errors,
    find_device_fault,
    is_out_of_memory,
    take_notes,
)
from vapipe.errors import ConfigError, DeviceError, MediaError

MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    torch.OutOfMemoryError("HIP out of memory. Tried to allocate 20.00 MiB."),
    torch.AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("cudaErrorMemoryAllocation: out of memory"),
]
FAULTS = [
    torch.AcceleratorError("CUDA error: device-side assert triggered"),
    RuntimeError("CUDA error: uncorrectable ECC error encountered"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    RuntimeError("cuDNN Frontend error: [cudnn_frontend] Error: No valid execution plans built."),
    RuntimeError("cuFFT error: CUFFT_INTERNAL_ERROR"),
    RuntimeError("CUDA driver initialization failed, you might not have a CUDA gpu."),
    RuntimeError("Found no NVIDIA driver on your system."),
    RuntimeError("HIP error: invalid device function"),
]
OTHERS = [
    ValueError("no good: 3 rows"),
    RuntimeError("Expected all tensors to be on the same device, but found at least two devices"),
    RuntimeError("Could not run 'aten::x' with arguments from the 'CUDA' backend."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to"),
    MemoryError(),
    MediaError("cuda.mp4: damaged"),
    ConfigError("device is `gpu`; it may be auto, cpu, cuda or cuda:N"),
]


def wrapped(error):
    """As a library may hand it on: named as the cause, or raised while it was dealt with."""
    try:
        try:
            raise error
        except Exception:
            raise KeyError("behind it")  # noqa: B904
    except KeyError as handled:
        yield handled
    outer = ValueError("because of it")
    outer.__cause__ = error
    yield outer


@pytest.mark.parametrize("error", MEMORY + FAULTS, ids=str)
def test_faults_of_the_device_are_told_also_behind_other_errors(error):
    for each in (error, *wrapped(error)):
        assert find_device_fault(each) is error
        assert is_out_of_memory(each) == (error in MEMORY)
        with (
            pytest.raises(DeviceError, match=r"device cuda:1 (failed|has too little memory): "),
            device_errors("cuda:1"),
        ):
            raise each


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors_are_not(error):
    for each in (error, *wrapped(error)):
        assert find_device_fault(each) is None
        with pytest.raises(type(each)), device_errors("cuda"):
            raise each


def test_what_was_judged_keeps_its_words():
    judged = DeviceError("device cuda has too little memory for `x`")
    judged.__cause__ = MEMORY[0]
    assert not is_out_of_memory(judged)
    with pytest.raises(DeviceError, match=r"for `x`$"), device_errors("cuda"):
        raise judged


@pytest.mark.parametrize("most", [1, 3, 256])
@pytest.mark.parametrize("held", [1, 2, 5, 300])
@pytest.mark.parametrize("count", [0, 1, 7, 20])
def test_parts_are_all_in_order_and_no_larger_than_memory_holds(most, held, count):
    sizes = []

    def compute(one, other):
        sizes.append(len(one))
        if len(one) > held:
            raise MEMORY[0]
        return one + other

    batches = Batches("x", most)
    for _ in range(2):
        parts = batches.map(compute, np.arange(count), 10 * np.arange(count))
        np.testing.assert_array_equal(np.concatenate([*parts, np.zeros(0)]), 11 * np.arange(count))
    tried = [size for size in sizes if size > held]
    assert tried == sorted(set(tried), reverse=True)  # no size fails twice
    notes = take_notes()
    assert len(notes) == bool(tried)
    if tried:
        assert f"`x` computes {batches.most} at once from now on" in notes["x"]


def test_a_batch_of_one_that_is_too_large_says_how_much_was_asked_for():
    def compute(part):
        raise MEMORY[0]

    with pytest.raises(
        DeviceError, match=r"cuda:1 has .* for `x`, .* allocate 20.00 MiB.*--device"
    ):
        Batches("x", 4, "cuda:1").map(compute, range(9))
    take_notes()


def test_other_errors_of_a_part_are_raised_as_they_are():
    def compute(part):
        raise FAULTS[0]

    with pytest.raises(torch.AcceleratorError):
        Batches("x", 4).map(compute, range(9))
