"""DCA: dynamic cross-attention, a gate between the attended and the unattended."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..masking import zero_masked
from .base import Streams, init_linears
from .lstm import ResidualBiLSTM, joint_bilstm
from .recursive import GatedHead


class DCA(GatedHead):
    """The network of DCA; its equations stand in `fusion.heads.joint`."""

    def __init__(self, *, lstm: bool | None, joint_width: int, **options: Any) -> None:
        super().__init__(**options)
        self.gate = self.gates_over(2)
        self.guide: nn.Linear | None = None
        self.before: nn.ModuleDict | None = None
        self.joint: ResidualBiLSTM | None = None
        if self.variant == "official" if lstm is None else lstm:
            self.guided = next(iter(self.dims))
            self.guide = nn.Linear(self.dims[self.guided], self.dims[self.guided])
            init_linears(self.guide)
            self.before = nn.ModuleDict(
                {
                    role: ResidualBiLSTM(
                        in_dim=dim, out_dim=dim, hidden=(dim + 1) // 2, layers=2, dropout=0.1
                    )
                    for role, dim in self.dims.items()
                }
            )
            self.joint = joint_bilstm(self.out_dim, joint_width)
            self.out_dim = joint_width

    def enter(self, x: Streams, mask: Tensor | None) -> Streams:
        """x^0: normalised, and through the BiLSTMs."""
        x = super().enter(x, mask)
        if self.guide is not None and self.before is not None:
            x[self.guided] = zero_masked(self.guide(x[self.guided]), mask)
            x = {role: self.before[role](x_m, mask) for role, x_m in x.items()}
        return x

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, out_dim]; the gates are role -> [B, L, 2]: unattended, attended."""
        steps = self.recur(x, mask, gates)
        gated = self.choose(self.gate, [steps[0], steps[-1]], gates)
        out = zero_masked(torch.cat(gated, dim=-1).relu_(), mask)
        return out if self.joint is None else self.joint(out, mask)
