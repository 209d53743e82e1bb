"""USTC's cross-modal attention over multi-scale TCNs: the video asks two other streams."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .base import Head, Streams, init_linears
from .time_attention import TimeAttention


class MSTCN(Head):
    """The network of MSTCN; its equations stand in `fusion.heads.others`."""

    def __init__(self, *, dims: Mapping[str, int], heads: int) -> None:
        super().__init__(dims=dims)
        self.asking, *asked = self.dims
        width = self.dims[self.asking]
        self.out_dim = width * len(self.dims)
        self.attention = nn.ModuleDict(
            {
                role: TimeAttention(query_dim=width, key_dim=self.dims[role], heads=heads)
                for role in asked
            }
        )
        init_linears(self)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, 3 D_v]; gates: role asked -> its weights [B, L, heads, L]."""
        asking = x[self.asking]
        parts = [asking]
        for role, attention in self.attention.items():
            parts.append(attention(asking, x[role], mask, gates, role))
        return torch.cat(parts, dim=-1)
