"""GRJCA: gated recursive joint cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Unpack

import torch
from torch import Tensor

from ...recipes import RELEASED_FRAMEWORK, RELEASED_MODEL, Stated
from .base import Streams, init_linears
from .recursive import (
    TEMPERATURE,
    Gate,
    Recursions,
    RecursiveHead,
    Temperature,
    gate_per_role,
    of_role,
    require_learned,
)
from .registry import register_head


@register_head("grjca")
class GRJCA(RecursiveHead):
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

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        temperature: Temperature = TEMPERATURE,
        gate: Gate = "learned",
        normalize: bool = True,
        **options: Unpack[Recursions],
    ) -> None:
        super().__init__(dims=dims, normalize=normalize, **options)
        require_learned("grjca", gate, temperature)
        self.gate = gate_per_role(self.dims, len(self.attention) + 1, temperature, gate)
        init_linears(self.gate)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, sum of D]; the gates are role -> [B, L, M+1]."""
        steps = self.recur(x, mask, gates)
        gated = []
        for role, gate in self.gate.items():
            weights, fused = gate(steps[-1][role], of_role(steps, role))
            if gates is not None:
                gates[role] = weights
            gated.append(fused)
        return torch.cat(gated, dim=-1).relu_()
