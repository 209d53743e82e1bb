"""Which device computes: one judge for both stages; chosen once, stated, never changed silently."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import ConfigError

if TYPE_CHECKING:
    import torch

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
            "use --device cpu, or --device auto to take what there is"
        )
    return device


def describe_device(device: torch.device) -> str:
    """Name a device for people and for the run's record."""
    import torch

    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
