"""From fused features to valence and arousal, frame by frame: the forms of the papers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .masking import MaskedBatchNorm, zero_masked


class Regressor(nn.Module):
    """`mlp`: Linear, BatchNorm, LeakyReLU, Linear, tanh (released GRJCA, HGRJCA and TAGF code)."""

    def __init__(self, *, in_dim: int, outputs: int, hidden: int = 256) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_dim, hidden)
        self.norm = MaskedBatchNorm(hidden)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x [B, L, D] to [B, L, outputs] in (-1, 1); masked frames [B, L] mean nothing."""
        hidden = self.norm(self.hidden(zero_masked(x, mask)), mask)
        return torch.tanh(self.output(F.leaky_relu(hidden)))


class LinearRegressor(nn.Module):
    """`linear`: Linear, tanh (released LFAN code)."""

    def __init__(self, *, in_dim: int, outputs: int) -> None:
        super().__init__()
        self.output = nn.Linear(in_dim, outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x [B, L, D] to [B, L, outputs] in (-1, 1); masked frames [B, L] mean nothing."""
        return torch.tanh(self.output(zero_masked(x, mask)))


class GeluRegressor(nn.Module):
    """`gelu`: LayerNorm, Linear, GELU, Dropout, Linear (USTC's paper); its output is unbounded."""

    def __init__(
        self, *, in_dim: int, outputs: int, hidden: int = 256, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dim)
        self.hidden = nn.Linear(in_dim, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x [B, L, D] to [B, L, outputs]; masked frames [B, L] mean nothing."""
        hidden = F.gelu(self.hidden(self.norm(zero_masked(x, mask))))
        return self.output(self.dropout(hidden))


class ReluRegressor(nn.Module):
    """`relu`: Linear, ReLU, Dropout, Linear (released JCA and DCA code), unbounded."""

    def __init__(
        self, *, in_dim: int, outputs: int, hidden: int = 128, dropout: float = 0.6
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(in_dim, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x [B, L, D] to [B, L, outputs]; masked frames [B, L] mean nothing."""
        return self.output(self.dropout(torch.relu(self.hidden(zero_masked(x, mask)))))


REGRESSORS = ("mlp", "linear", "gelu", "relu")


def make_regressor(kind: str, *, in_dim: int, outputs: int, hidden: int | None = None) -> nn.Module:
    """Make one of `REGRESSORS`; `linear` has no hidden layer, the others a usual width."""
    if kind == "linear":
        return LinearRegressor(in_dim=in_dim, outputs=outputs)
    chosen = {"mlp": Regressor, "gelu": GeluRegressor, "relu": ReluRegressor}[kind]
    options = {} if hidden is None else {"hidden": hidden}
    return chosen(in_dim=in_dim, outputs=outputs, **options)
