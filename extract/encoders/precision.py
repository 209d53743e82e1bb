"""How exactly networks compute: float32 or bfloat16, reproducible sums."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional

from ...device import fast_precision
from ...errors import ConfigError
from .base import check_precision

_LEAST_COSINE = 0.98  # sound networks reach 0.999


def resolve_precision(precision: str, device: torch.device, encoder: str) -> str:
    """ "float32" or "bfloat16"; "auto" is bfloat16 where the device computes it fast.

    Raises:
        ConfigError: an unknown precision.
    """
    check_precision(encoder, precision)
    if precision != "auto":
        return precision
    return fast_precision(str(device))


def torch_dtype(precision: str) -> torch.dtype:
    """The type of weights and activations of a resolved precision."""
    return {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]


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

    A sample must give in bfloat16 what it gives in float32: some networks need the precision, and
    oneDNN 3.10 computes some grouped convolutions wrongly on CPUs with AMX.

    Args:
        network: evaluating, float32, on the CPU; from a tensor to [..., D].
        device: where it goes.
        precision: "float32" or "bfloat16".
        sample: what it reads, float32.
        encoder: for messages.
        images: whether it reads [n, C, H, W]; these are faster with the channels last.

    Raises:
        ConfigError: bfloat16 gives other values.
    """
    dtype = torch_dtype(precision)
    layout: dict[str, Any] = {"memory_format": torch.channels_last} if images else {}
    with exactly():
        exact = network(sample) if dtype == torch.bfloat16 else None
        network = network.to(device, dtype, **layout)
        if exact is not None:
            given = network(sample.to(device, dtype, **layout)).float().cpu()
            _check_agreement(exact, given, encoder)
    return network


def _check_agreement(exact: torch.Tensor, given: torch.Tensor, encoder: str) -> None:
    cosine = float(functional.cosine_similarity(exact, given, dim=-1).min())
    if not cosine >= _LEAST_COSINE:
        raise ConfigError(
            f"encoder `{encoder}`: its network gives other values in bfloat16 than in float32 here "
            f"(cosine {cosine:.3f} on a sample, at least {_LEAST_COSINE} wanted); use "
            "precision=float32"
        )


@contextmanager
def exactly() -> Iterator[None]:
    """No gradients; on GPUs the same algorithms every time, and float32 that is not TF32."""
    flags = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    with torch.inference_mode(), flags:
        yield
