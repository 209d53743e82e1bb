"""GRJCA: gated recursive joint cross-attention."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Head, Streams, require_length, start_linears
from .joint_attention import JointCrossAttention
from .registry import register_head


@register_head("grjca")
class GRJCA(Head):
    """Recursive joint cross-attention whose inputs and all recursions are gated per frame.

        x_m^0     = x_m / |x_m|                                     l2 over channels
        x_m^t     = JointCrossAttention_t(x^{t-1})_m                t = 1 .. M, weights per t
        g_m       = softmax(Linear(x_m^M) / temperature)            [B, L, M+1]
        out_m     = ReLU(sum_t g_m[t] x_m^t)
        out       = [out_video, out_audio, ...]

    The released code has M = 2, where this is the same; its indexing would leave x^1 out for
    M = 3, which the paper reports as best, so here the gate spans all M+1. Gate t belongs to x^t.
    """

    source = (
        "Praveen, Alam and Charton, United we stand, Divided we fall (arXiv:2503.12261, 2025); "
        "released code"
    )
    min_streams = 2

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        length: int | None = None,
        recursions: int = 2,
        dropout: float = 0.6,
        temperature: float = 0.1,
        tanh: str = "value",
    ) -> None:
        super().__init__(dims=dims)
        self.out_dim = sum(self.dims.values())
        self.temperature = temperature
        length = require_length("grjca", length)
        self.attention = nn.ModuleList(
            JointCrossAttention(dims=self.dims, length=length, dropout=dropout, tanh=tanh)
            for _ in range(recursions)
        )
        self.gate = nn.ModuleDict(
            {role: nn.Linear(dim, recursions + 1) for role, dim in self.dims.items()}
        )
        start_linears(self)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, sum of D]; the gates are role -> [B, L, M+1]."""
        steps = [{role: F.normalize(x_m, dim=-1) for role, x_m in x.items()}]
        for attention in self.attention:
            steps.append(attention(steps[-1], mask))
        gated = []
        for role, gate in self.gate.items():
            weights = torch.softmax(gate(steps[-1][role]) / self.temperature, dim=-1)
            if gates is not None:
                gates[role] = weights
            gated.append(
                sum(w * step[role] for w, step in zip(weights.split(1, -1), steps, strict=True))
            )
        return torch.relu(torch.cat(gated, dim=-1))
