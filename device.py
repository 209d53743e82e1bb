"""Which device computes, for both stages; chosen once, stated, never changed silently."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    import torch

_FAST_BFLOAT16 = (8, 0)  # compute capability of the first NVIDIA GPUs with bfloat16 units
_DRIVER = Path("/proc/driver/nvidia/version")
_NAMES = re.compile(r"auto|cpu|cuda(:\d+)?")


def check_device_name(name: str) -> None:
    """Refuse what cannot be a device, without asking whether it is there.

    Raises:
        ConfigError: says what it may be.
    """
    if not _NAMES.fullmatch(name):
        raise ConfigError(f"device is `{name}`; it may be auto, cpu, cuda or cuda:N")


def choose_device(name: str | torch.device) -> torch.device:
    """Turn `auto`, `cpu`, `cuda` or `cuda:N` into a device; `auto` takes CUDA if there is one.

    Raises:
        ConfigError: another name, or a CUDA device that torch does not see.
    """
    import torch

    check_device_name(str(name))
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if str(name) == "auto":
        return torch.device("cuda" if count else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= count:
        seen = {0: "no CUDA device", 1: "one CUDA device"}.get(count, f"{count} CUDA devices")
        raise ConfigError(
            f"device {device} was asked for, but torch {torch.__version__} sees {seen}; "
            "take device cpu, or auto for what there is"
        )
    return device


def find_device(name: str) -> str:
    """The name of the device that `choose_device` chooses; without torch where there is no GPU.

    Raises:
        ConfigError: as `choose_device`.
    """
    check_device_name(name)
    if name == "cpu" or (name == "auto" and not _gpu_files()):
        return "cpu"
    return str(choose_device(name))


def fast_precision(device: str) -> str:
    """ "bfloat16" on CPUs and GPUs that compute in it fast, else "float32"; for CPUs without torch.

    A GPU of another machine (a planner has none) is taken for one of the last years.
    """
    if device == "cpu":
        # AVX512-BF16 or AMX; with less, oneDNN converts to float32 and back.
        flags = set(Path("/proc/cpuinfo").read_text().split())
        return "bfloat16" if flags & {"avx512_bf16", "amx_tile"} else "float32"
    import torch

    if not torch.cuda.is_available():
        return "bfloat16"
    return "bfloat16" if bfloat16_is_fast(torch.device(device)) else "float32"


def _gpu_files() -> bool:
    """Whether the system shows any NVIDIA device (the last is Windows' under WSL)."""
    return any(Path("/dev").glob("nvidia*")) or Path("/dev/dxg").exists()


def describe_device(device: torch.device) -> str:
    """Name a device for people and for the run's record."""
    import torch

    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"


@cache
def describe_versions(device: str) -> dict[str, str]:
    """What of a GPU and its software decides values: device, cuda, cudnn, driver; {} for CPUs.

    To be asked for in the process that computes there: asking opens the device. It stands in the
    provenance of every shard, beside the versions of libraries (`extract.video`).
    """
    import torch

    if not device.startswith("cuda"):
        return {}
    driver = "unknown"
    with suppress(OSError):  # none under WSL
        found = re.search(r"Module.*?\s(\d+\.[\d.]+)", _DRIVER.read_text())
        driver = found[1] if found else driver
    return {
        "device": torch.cuda.get_device_name(device),
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "driver": driver,
    }


def bfloat16_is_fast(device: torch.device) -> bool:
    """Whether a device multiplies matrices in bfloat16 rather than turn them into float32."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _FAST_BFLOAT16
    if device.type != "cpu":
        return False
    # AVX512-BF16 or AMX, and oneDNN free to use them; with less, it converts back and forth.
    units = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return units and torch.ops.mkldnn._is_mkldnn_bf16_supported()
