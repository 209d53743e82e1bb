"""TAGF: time-aware gated fusion, an LSTM over the recursions of joint cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ...recipes import RELEASED_FRAMEWORK, RELEASED_MODEL, Stated
from .base import Streams, init_linears
from .lstm import BiLSTM, ResidualBiLSTM
from .recursive import GatedHead, weighted_sum
from .registry import register_head


@register_head("tagf")
class TAGF(GatedHead):
    """Recursive joint cross-attention whose recursions are weighed by a BiLSTM over them.

        x_m^0     = x_m / |x_m|                                     l2 over channels
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        h_m^t     = BiLSTM(x_m^0, ..., x_m^M)_t                     2 d_m wide, frame by frame
        official: z_m^t = Linear(Dropout(cat(x_m^t, h_m^t)))        2 d_m wide, dropout 0.1
                  s_m^t = mean(z_m^t / |z_m^t|) / temperature       over the features
        paper:    s_m^t = w_m . h_m^t                               eqs. 6-8
        g_m       = softmax(s_m^0, ..., s_m^M)                      [B, L, M+1]
        out_m     = sum_t g_m[t] x_m^t                              no ReLU
        out       = [out_video, out_audio, ...]

    The sequence of the BiLSTM are the recursions of one frame, not frames. Official: its first
    states are learned, one [4, d_m] per modality: h of both directions, then c. Paper: they are
    zeros. The mean of a unit vector of 2 d_m numbers is at most 1 / sqrt(2 d_m), so the official
    gate stays near uniform. For ablations, gate="uniform" makes all weights equal, and gate="none"
    takes x^M alone; neither has a BiLSTM. The attention is `JointCrossAttention` (official) or
    `FrameAttention` (paper), where option mixing="channels" lifts the limit on the window length.
    """

    source = "Lee et al., TAGF: time-aware gated fusion (arXiv:2507.02080, 2025); released code"
    published: ClassVar[Mapping[str, Stated]] = {
        **RELEASED_MODEL,
        **RELEASED_FRAMEWORK,
        "learning_rate": Stated(1e-5, "paper"),
        "batch": Stated(6, "paper"),
        "patience": Stated(10, "paper"),
    }

    belongs: ClassVar[Mapping[str, str]] = {"mixing": "paper", "temperature": "official"}

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
