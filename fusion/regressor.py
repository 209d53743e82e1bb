"""From fused features to valence and arousal, frame by frame."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .masking import MaskedBatchNorm, zero_masked


class Regressor(nn.Module):
    """Linear, BatchNorm, LeakyReLU, Linear, tanh (released GRJCA, HGRJCA and TAGF code)."""

    def __init__(self, *, in_dim: int, outputs: int, hidden: int = 256) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_dim, hidden)
        self.norm = MaskedBatchNorm(hidden)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x [B, L, D] to [B, L, outputs] in (-1, 1); masked frames [B, L] mean nothing."""
        hidden = self.norm(self.hidden(zero_masked(x, mask)), mask)
        return torch.tanh(self.output(F.leaky_relu(hidden)))
