"""Which device computes: chosen once, stated, never changed silently."""

from __future__ import annotations

import torch

from ..cache.errors import ConfigError


def choose_device(name: str) -> torch.device:
    """Turn `auto`, `cpu` or `cuda` into a device; `auto` takes CUDA where there is one.

    Raises:
        ConfigError: another name, or `cuda` where torch sees no CUDA device.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"device is `{name}`; it may be auto, cpu, cuda")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError(
            f"device cuda was asked for, but torch {torch.__version__} sees no CUDA device; "
            "use --device cpu, or --device auto to take what there is"
        )
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def describe_device(device: torch.device) -> str:
    """Name a device for people and for the run's record."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({torch.get_num_threads()} threads)"
