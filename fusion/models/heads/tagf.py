"""TAGF: time-aware gated fusion, an LSTM over the recursions of joint cross-attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from torch import Tensor, nn

from .base import Streams, start_linears
from .recursion_lstm import RecursionLSTM, mean_of_unit
from .recursive import Recursions, RecursiveHead, of_role, weigh
from .registry import register_head


@register_head("tagf")
class TAGF(RecursiveHead):
    """Recursive joint cross-attention whose recursions are weighed by a BiLSTM over them.

        x_m^0     = x_m / |x_m|                                     l2 over channels
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        h_m^t     = BiLSTM(x_m^0, ..., x_m^M)_t                     2 d_m wide, frame by frame
        official: z_m^t = Linear(cat(h_m^t, x_m^t)), 2 d_m wide
                  s_m^t = mean(z_m^t / |z_m^t|) / temperature       over the features
        paper:    s_m^t = w_m . h_m^t                               eqs. 6-8
        g_m       = softmax(s_m^0, ..., s_m^M)                      [B, L, M+1]
        out_m     = sum_t g_m[t] x_m^t                              no ReLU
        out       = [out_video, out_audio, ...]

    The sequence of the BiLSTM are the recursions of one frame, not frames. Official: its first
    states are learned, one [4, d_m] per modality: h of both directions, then c. Paper: they are
    zeros. The mean of a unit vector of 2 d_m numbers is at most 1 / sqrt(2 d_m), so the official
    gate stays near uniform. The attention is `JointCrossAttention` (official) or `FrameAttention`
    (paper), where option mixing="channels" lifts the limit on the window length.
    """

    source = "Lee et al., TAGF: time-aware gated fusion (arXiv:2507.02080, 2025); released code"

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        temperature: float = 0.1,
        normalize: bool = True,
        **options: Unpack[Recursions],
    ) -> None:
        super().__init__(dims=dims, normalize=normalize, **options)
        self.encoder = nn.ModuleDict(
            {
                role: _OfficialScore(dim, temperature)
                if self.variant == "official"
                else _PaperScore(dim)
                for role, dim in self.dims.items()
            }
        )

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, sum of D]; the gates are role -> [B, L, M+1]."""
        steps = self.recur(x, mask, gates)
        fused = []
        for role, encoder in self.encoder.items():
            own = of_role(steps, role)
            scores = encoder([step.flatten(0, 1) for step in own])
            weights = torch.softmax(scores, dim=-1).view(*own[0].shape[:2], -1)
            if gates is not None:
                gates[role] = weights
            fused.append(weigh(own, weights))
        return torch.cat(fused, dim=-1)


class _OfficialScore(nn.Module):
    """Scores of the released code: BiLSTM with its input, projected, normalised and averaged."""

    def __init__(self, dim: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.init_hidden = nn.Parameter(torch.zeros(4, dim))
        self.rnn = RecursionLSTM(dim)
        self.linear = nn.Linear(3 * dim, 2 * dim)
        start_linears(self.linear)

    def forward(self, steps: Sequence[Tensor]) -> Tensor:
        """Score steps of [N, D] each: [N, number of steps]."""
        outputs = self.rnn(steps, self.init_hidden)
        scores = [
            mean_of_unit(self.linear, (forth, back, x.to(forth.dtype)))
            for x, (forth, back) in zip(steps, outputs, strict=True)
        ]
        return torch.stack(scores, dim=1) / self.temperature


class _PaperScore(nn.Module):
    """Scores of the paper (eq. 7): one learned direction in the BiLSTM's output."""

    start: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.rnn = RecursionLSTM(dim)
        self.linear = nn.Linear(2 * dim, 1, bias=False)  # a bias would vanish in the softmax
        self.register_buffer("start", torch.zeros(4, dim), persistent=False)
        start_linears(self.linear)

    def forward(self, steps: Sequence[Tensor]) -> Tensor:
        """Score steps of [N, D] each: [N, number of steps]."""
        return torch.cat(
            [self.linear(torch.cat(both, dim=1)) for both in self.rnn(steps, self.start)], dim=1
        )
