"""TAGF: time-aware gated fusion, an LSTM over the recursions of joint cross-attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .base import Streams, init_linears
from .lstm import BiLSTM, ResidualBiLSTM
from .recursive import GatedHead, weighted_sum


class TAGF(GatedHead):
    """The network of TAGF; its equations stand in `fusion.heads.joint`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.variant == "paper":
            self.temperature = 1.0
        self.encoder: nn.ModuleDict | None = None
        self.gate: nn.ModuleDict | None = None
        if self.kind == "learned":
            self.encoder = nn.ModuleDict(
                {role: self._encoder(dim) for role, dim in self.dims.items()}
            )
        else:
            self.gate = self.gates_over(len(self.attention) + 1)

    def _encoder(self, dim: int) -> nn.Module:
        """What maps steps [N, M+1, D] to channels whose mean is the score of a step."""
        if self.variant == "official":
            return ResidualBiLSTM(in_dim=dim, out_dim=2 * dim, hidden=dim, layers=1, dropout=0.1)
        direction = nn.Linear(2 * dim, 1, bias=False)  # a bias would vanish in the softmax
        init_linears(direction)
        return nn.Sequential(BiLSTM(in_dim=dim, hidden=dim), direction)

    def _weigh(self, role: str, steps: list[Tensor]) -> Tensor:
        """The weights [B, L, M+1] of the steps x^0 .. x^M [B, L, d_m]."""
        if self.encoder is None:
            return self.get_submodule(f"gate.{role}")(steps[-1], steps)[0]
        scores = self.encoder[role](torch.stack(steps, dim=2).flatten(0, 1)).mean(dim=-1)
        return torch.softmax(scores / self.temperature, dim=-1).view(*steps[0].shape[:2], -1)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, sum of D]; the gates are role -> [B, L, M+1]."""
        steps = self.recur(x, mask, gates)
        fused = []
        for role in x:
            own = [step[role] for step in steps]
            weights = self._weigh(role, own)
            if gates is not None:
                gates[role] = weights
            fused.append(weighted_sum(own, weights))
        return torch.cat(fused, dim=-1)
