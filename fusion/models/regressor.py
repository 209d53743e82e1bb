"""From fused features to valence and arousal, frame by frame: the forms of the papers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..recipes import REGRESSORS
from .masking import MaskedBatchNorm, zero_masked


class Regressor(nn.Module):
    """One of `REGRESSORS`.

    `mlp`: Linear, BatchNorm, LeakyReLU, Linear, tanh (released GRJCA, HGRJCA and TAGF code)
    `linear`: Linear, tanh (released LFAN code)
    `gelu`: LayerNorm, Linear, GELU, Dropout 0.1, Linear (USTC's paper), unbounded
    `relu`: Linear, ReLU, Dropout 0.6, Linear (released JCA and DCA code), unbounded
    """

    def __init__(
        self, kind: str = "mlp", *, in_dim: int, outputs: int, hidden: int | None = None
    ) -> None:
        super().__init__()
        self.kind = kind
        width = hidden or REGRESSORS[kind]
        if kind == "gelu":
            self.norm: nn.Module = nn.LayerNorm(in_dim)
        if kind != "linear":
            self.hidden = nn.Linear(in_dim, width)
        if kind == "mlp":
            self.norm = MaskedBatchNorm(width)
        self.dropout = nn.Dropout({"gelu": 0.1, "relu": 0.6}.get(kind, 0.0))
        self.output = nn.Linear(in_dim if kind == "linear" else width, outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x [B, L, D] to [B, L, outputs]; frames that mask [B, L] leaves out mean nothing."""
        x = zero_masked(x, mask)
        if self.kind == "mlp":
            x = F.leaky_relu(self.norm(self.hidden(x), mask))
        elif self.kind == "gelu":
            x = F.gelu(self.hidden(self.norm(x)))
        elif self.kind == "relu":
            x = torch.relu(self.hidden(x))
        x = self.output(self.dropout(x))
        return torch.tanh(x) if self.kind in ("mlp", "linear") else x
