"""The precision of networks: float32, bfloat16 or float16, tried on a sample."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from ...device import fast_precision
from ...errors import ConfigError
from ...numerics import inferring
from .base import check_precision

# Of embeddings of a sample: sound networks reach 0.999, in float32 on another device 0.99999.
_LEAST_COSINE = {"float32": 0.9999, "bfloat16": 0.98, "float16": 0.98}


def resolve_precision(precision: str, device: torch.device, encoder: str) -> str:
    """The precision that is meant; "auto" is bfloat16 where the device computes it fast.

    Raises:
        ConfigError: an unknown precision.
    """
    check_precision(encoder, precision)
    if precision != "auto":
        return precision
    return fast_precision(str(device))


def torch_dtype(precision: str) -> torch.dtype:
    """The type of weights and activations of a resolved precision."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[
        precision
    ]


def to_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Move what lies on the CPU; to CUDA without waiting for it."""
    if device.type == "cuda":
        return values.pin_memory().to(device, non_blocking=True)
    return values.to(device)


def place(
    network: Any,
    device: torch.device,
    precision: str,
    *,
    sample: torch.Tensor,
    encoder: str,
    images: bool = False,
) -> Any:
    """Move a network to its device and precision.

    A sample must give there what it gives in float32 on the CPU: some networks need the precision
    or, in float16, the range, and oneDNN 3.10 computes some grouped convolutions wrongly on CPUs
    with AMX.

    Args:
        network: evaluating, float32, on the CPU; from a tensor to [..., D].
        device: where it goes.
        precision: "float32", "bfloat16" or "float16".
        sample: what it reads, float32.
        encoder: for messages.
        images: whether it reads [n, C, H, W]; these are faster with the channels last.

    Raises:
        ConfigError: it gives other values there.
    """
    dtype = torch_dtype(precision)
    layout: dict[str, Any] = {"memory_format": torch.channels_last} if images else {}
    elsewhere = precision != "float32" or device.type != "cpu"
    with inferring():
        exact = network(sample) if elsewhere else None
        network = network.to(device, dtype, **layout)
        if exact is not None:
            given = network(sample.to(device, dtype, **layout)).float().cpu()
            _check_agreement(exact, given, encoder, precision, device)
    return network


def _check_agreement(
    exact: torch.Tensor, given: torch.Tensor, encoder: str, precision: str, device: torch.device
) -> None:
    cosine = float(functional.cosine_similarity(exact, given, dim=-1).min())
    least = _LEAST_COSINE[precision]
    if not cosine >= least:
        use = "precision=float32" if precision != "float32" else "--device cpu"
        raise ConfigError(
            f"encoder `{encoder}`: its network gives other values in {precision} on {device} than "
            f"in float32 on the CPU (cosine {cosine:.4f} on a sample, at least {least} wanted); "
            f"use {use}"
        )
