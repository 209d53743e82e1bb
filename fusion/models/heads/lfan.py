"""LFAN: attention over the modalities of each frame, beside a leading modality."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ....errors import ConfigError
from .base import Head, Streams, init_linears


class LFAN(Head):
    """The network of LFAN; its equations stand in `fusion.heads.others`."""

    def __init__(self, *, dims: Mapping[str, int], width: int, heads: int, dropout: float) -> None:
        super().__init__(dims=dims)
        if heads < 1 or width < 1 or width % heads:
            raise ConfigError(
                f"head lfan divides width={width} among heads={heads}; take a width that is a "
                "multiple of the heads, such as the released width=32, heads=2"
            )
        self.leader = next(iter(self.dims))
        self.out_dim = self.dims[self.leader] + width * len(self.dims)
        self.layers = _Layer(self.dims, width=width, heads=heads, dropout=dropout)
        init_linears(self)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, D_leader + M width]; gates: role -> its weights w [B, L, heads, M]."""
        return torch.cat([x[self.leader], self.layers(x, gates)], dim=-1)


# Modules are nested and named as in the released code, whose checkpoints fit without translation.
class _Layer(nn.Module):
    """F of the equations."""

    def __init__(self, dims: Mapping[str, int], *, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.self_attn = _ModalityAttention(dims, width=width, heads=heads)
        self.norm1 = nn.LayerNorm(width * len(dims))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Streams, gates: dict[str, Tensor] | None) -> Tensor:
        return self.norm1(self.dropout(self.self_attn(x, gates)))


class _ModalityAttention(nn.Module):
    """Attention among the modalities of a frame, with a residual on V."""

    def __init__(self, dims: Mapping[str, int], *, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv_proj = nn.ModuleDict(
            {role: nn.Linear(dim, 3 * width) for role, dim in dims.items()}
        )
        self.o_proj = nn.Linear(width * len(dims), width * len(dims))

    def forward(self, x: Streams, gates: dict[str, Tensor] | None) -> Tensor:
        projected = [self.qkv_proj[role](x_m) for role, x_m in x.items()]
        per_head = torch.stack(projected, dim=-2).unflatten(-1, (self.heads, -1))
        query, key, value = per_head.transpose(2, 3).chunk(3, dim=-1)  # [B, L, heads, M, d]
        weights = torch.softmax(query @ key.mT / math.sqrt(query.shape[-1]), dim=-1)
        if gates is not None:
            gates.update(zip(x, weights.unbind(-2), strict=True))
        return self.o_proj((weights @ value + value).flatten(2))
