"""GRJCA: gated recursive joint cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...recipes import RELEASED_FRAMEWORK, RELEASED_MODEL, Stated
from .base import Streams
from .recursive import GatedHead
from .registry import register_head


@register_head("grjca")
class GRJCA(GatedHead):
    """Recursive joint cross-attention whose inputs and all recursions are gated per frame.

        x_m^0     = x_m / |x_m|                                     l2 over channels
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        g_m       = softmax(Linear(x_m^M) / temperature)            [B, L, M+1]
        out_m     = ReLU(sum_t g_m[t] x_m^t)
        out       = [out_video, out_audio, ...]

    The released code has M = 2, where this is the same; its indexing would leave x^1 out for
    M = 3, which the paper reports as best, so here the gate spans all M+1. Gate t belongs to x^t.
    For ablations, gate="uniform" makes all weights equal, and gate="none" takes x^M alone. The
    attention is `JointCrossAttention` (official) or `FrameAttention` (paper), where option
    mixing="channels" lifts the limit on the window length.
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
        self.gate = self.gates_over(len(self.attention) + 1)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, sum of D]; the gates are role -> [B, L, M+1]."""
        steps = self.recur(x, mask, gates)
        gated = []
        for role, gate in self.gate.items():
            weights, fused = gate(steps[-1][role], [step[role] for step in steps])
            if gates is not None:
                gates[role] = weights
            gated.append(fused)
        return torch.cat(gated, dim=-1).relu_()
