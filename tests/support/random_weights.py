"""Networks with random weights that are no special case, and files of them in public layouts."""

from pathlib import Path

import numpy as np
import torch
from torch import nn


def shake(network: nn.Module, images: torch.Tensor, *, branch_end: str = "-") -> nn.Module:
    """Give batch norms statistics of real images and random factors; evaluating, no gradients.

    Those called `branch_end`, at the end of residual branches, get factors of 0.1 to 0.3, small as
    after training: branches as strong as the trunk would blow up every rounding.
    """
    torch.manual_seed(1)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
            scale = 0.2 if name.endswith(branch_end) else 1.0
            nn.init.uniform_(module.weight, 0.5 * scale, 1.5 * scale)
            nn.init.normal_(module.bias, std=0.2)
    with torch.no_grad():
        network.train()(images)
    return network.eval().requires_grad_(False)


def save(network: nn.Module, path: Path, **more: torch.Tensor) -> Path:
    """Write the state dict, and further tensors as heads of public files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**network.state_dict(), **more}, path)
    return path


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The smallest cosine between rows."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(((first * second).sum(axis=1) / lengths).min())


def spread_cosine(first: np.ndarray, second: np.ndarray) -> float:
    """The smallest cosine between rows of what is left after taking their mean away.

    Random networks give nearly the same vector for every image, so that a plain cosine says little.
    """
    centre = second.mean(axis=0)
    return cosine(first - centre, second - centre)
