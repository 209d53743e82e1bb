"""DCA: dynamic cross-attention, a gate between the attended and the unattended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Unpack

import torch
from torch import Tensor, nn

from ..masking import zero_masked
from .base import Streams, start_linears
from .lstm import BiLSTM
from .recursive import Attention, RecursiveHead, gate_per_role
from .registry import register_head


@register_head("dca")
class DCA(RecursiveHead):
    """Joint cross-attention, and a gate per frame between what entered it and what it gave.

        x_m^0     = x_m                                             lstm=True: BiLSTM(x_m)
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        g_m       = softmax(Linear(x_m^M) / temperature)            [B, L, 2]
        out_m     = ReLU(g_m[0] x_m^0 + g_m[1] x_m^M)
        out       = [out_video, out_audio, ...]                     lstm=True: BiLSTM(out)

    The released network has the BiLSTMs, so official takes them unless lstm=False; paper takes
    them with lstm=True. Their width is not published; here each direction has half the channels
    that enter, rounded up, so that even widths stay. They pass over rows which do not exist. The
    attention is `JointCrossAttention` (official) or `FrameAttention` (paper), where option
    mixing="channels" lifts the limit on the window length.
    """

    source = (
        "Praveen and Alam, Cross-attention is not always needed: dynamic cross-attention for "
        "audio-visual dimensional emotion recognition (ICME 2024); released code"
    )

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        variant: str = "official",
        recursions: int = 1,
        temperature: float = 0.1,
        normalize: bool = False,
        lstm: bool | None = None,
        **options: Unpack[Attention],
    ) -> None:
        lstm = variant == "official" if lstm is None else lstm
        entering = {role: 2 * _half(dim) if lstm else dim for role, dim in dims.items()}
        super().__init__(
            dims=entering, variant=variant, recursions=recursions, normalize=normalize, **options
        )
        self.gate = gate_per_role(self.dims, 2, temperature)
        start_linears(self.gate)
        self.dims = {role: dims[role] for role in self.dims}
        self.before: nn.ModuleDict | None = None
        self.after: BiLSTM | None = None
        if lstm:
            joint = self.out_dim
            self.out_dim = 2 * _half(joint)
            self.before = nn.ModuleDict(
                {role: BiLSTM(in_dim=d, hidden=_half(d)) for role, d in self.dims.items()}
            )
            self.after = BiLSTM(in_dim=joint, hidden=_half(joint))

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, out_dim]; the gates are role -> [B, L, 2]: unattended, attended."""
        if self.before is not None:
            x = {role: zero_masked(self.before[role](x_m, mask), mask) for role, x_m in x.items()}
        steps = self.recur(x, mask, gates)
        gated = []
        for role, gate in self.gate.items():
            weights, fused = gate(steps[-1][role], [steps[0][role], steps[-1][role]])
            if gates is not None:
                gates[role] = weights
            gated.append(fused)
        out = torch.cat(gated, dim=-1).relu_()
        return out if self.after is None else self.after(out, mask)


def _half(dim: int) -> int:
    """Channels per direction of a BiLSTM."""
    return (dim + 1) // 2
