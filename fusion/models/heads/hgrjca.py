"""HGRJCA: hierarchically gated recursive joint cross-attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .base import Streams
from .recursive import GatedHead


class HGRJCA(GatedHead):
    """The network of HGRJCA; its equations stand in `fusion.heads.joint`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        recursions = len(self.attention)
        self.stage = nn.ModuleList(
            self.gates_over(t + 1 if self.variant == "official" else 2)
            for t in range(1, recursions + 1)
        )
        self.gate = self.gates_over(recursions) if recursions > 1 else None

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, sum of D].

        The gates are <role>_stage<t> -> [B, L, t+1 or 2] and, with M > 1, role -> [B, L, M].
        """
        steps = self.recur(x, mask, gates)
        fused = [self._fuse_role(role, [step[role] for step in steps], gates) for role in x]
        return torch.cat(fused, dim=-1).relu_()

    def _fuse_role(self, role: str, steps: list[Tensor], gates: dict[str, Tensor] | None) -> Tensor:
        """The last weighted sum of a modality, before its ReLU; steps x^0 .. x^M [B, L, d_m]."""
        stages = []
        for t in range(1, len(steps)):
            first = 0 if self.variant == "official" else t - 1
            stage = self.get_submodule(f"stage.{t - 1}.{role}")
            weights, stage_sum = stage(steps[t], steps[first : t + 1])
            if gates is not None:
                gates[f"{role}_stage{t}"] = weights
            stages.append(stage_sum.relu_())
        if self.gate is None:
            return stages[0]
        weights, fused = self.gate[role](steps[-1], stages)
        if gates is not None:
            gates[role] = weights
        return fused
