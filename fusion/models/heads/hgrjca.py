"""HGRJCA: hierarchically gated recursive joint cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...recipes import RELEASED_FRAMEWORK, RELEASED_MODEL, Stated
from .base import Streams
from .recursive import GatedHead
from .registry import register_head


@register_head("hgrjca")
class HGRJCA(GatedHead):
    """GRJCA with a gate after every recursion, and a gate over what those gates give.

        x_m^0     = x_m / |x_m|                                     l2 over channels
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        official: g_m^t = softmax(Linear_t(x_m^t) / temperature)    over x^0 .. x^t, t+1 ways
        paper:    g_m^t = the same                                  over x^{t-1}, x^t, 2 ways
        y_m^t     = ReLU(sum_s g_m^t[s] x_m^s)                      the stages
        g_m       = softmax(Linear(x_m^M) / temperature)            over y^1 .. y^M
        out_m     = ReLU(sum_t g_m[t] y_m^t)
        out       = [out_video, out_audio, ...]

    Earlier steps come first in every gate. The released code has M = 2. Paper: eqs. 14-20, which
    leave open what the last gate looks at (here x^M, as released). With M = 1 there is one stage
    and nothing for the last gate to choose, so there is no such gate. For ablations,
    gate="uniform" makes every weight of a gate equal, and gate="none" takes the last of what it
    chooses from (in the end ReLU(x^M)). The attention is `JointCrossAttention` (official) or
    `FrameAttention` (paper), where option mixing="channels" lifts the limit on the window length.
    """

    source = (
        "Praveen, Alam and Charton, United we stand, Divided we fall (arXiv:2503.12261, 2025); "
        "released code"
    )
    published: ClassVar[Mapping[str, Stated]] = {
        **RELEASED_MODEL,
        **RELEASED_FRAMEWORK,
        "recursions": Stated(2, "released code; the paper reports 3 as best"),
    }

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
