"""DCA: dynamic cross-attention, a gate between the attended and the unattended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from ...recipes import RELEASED_CLIPS, RELEASED_CLIPS_RATE, Stated
from ...typed import Within
from ..masking import zero_masked
from .base import Streams, init_linears
from .lstm import ResidualBiLSTM, joint_bilstm
from .recursive import GatedHead
from .registry import register_head


@register_head("dca")
class DCA(GatedHead):
    """Joint cross-attention, and a gate per frame between what entered it and what it gave.

        u_m       = x_m / |x_m|                                     l2 over channels
        x_m^0     = u_m                                             lstm=False
                    BiLSTM(u_m), video: BiLSTM(Linear(u_m))         lstm=True
        x_m^t     = attention_t(x^{t-1})_m                          t = 1 .. M, weights per t
        g_m       = softmax(Linear(x_m^M) / temperature)            [B, L, 2]
        y_m       = ReLU(g_m[0] x_m^0 + g_m[1] x_m^M)
        out       = [y_video, y_audio, ...]                         lstm=False
                    BiLSTM([y_video, y_audio, ...])                 lstm=True, `joint_width` wide

    BiLSTM is the released block `ResidualBiLSTM`: two layers with half of the channels that it
    gives per direction (d_m, rounded up, or `joint_width`), learned first states, its input
    concatenated first, a Linear, l2-normalised; dropout 0.1 before the attention, none after it.
    It passes over rows which do not exist. For ablations, gate="uniform" makes both weights equal,
    and gate="none" takes x^M alone. The Linear of the video (of the first stream) is what
    the released "audio-guided attention" comes down to, a softmax over one position. The released
    network has all of this, so official takes lstm=True; paper takes it on request. The attention
    is `JointCrossAttention` (official) or `FrameAttention` (paper), where option
    mixing="channels" lifts the limit on the window length.
    """

    source = (
        "Praveen and Alam, Cross-attention is not always needed: dynamic cross-attention for "
        "audio-visual dimensional emotion recognition (ICME 2024); released code"
    )
    published: ClassVar[Mapping[str, Stated]] = {
        **RELEASED_CLIPS,
        "regressor": Stated("relu", "released code"),
        "hidden": Stated(128, "released code"),
        "epochs": Stated(100, "released configuration"),
        "patience": Stated(100, "released code: no early stop"),
        "optimizer": Stated("adamw", "released code"),
        "learning_rate": Stated(3e-4, RELEASED_CLIPS_RATE),
        "weight_decay": Stated(1e-5, "released code"),
    }

    def __init__(
        self,
        *,
        lstm: bool | None = None,
        joint_width: Annotated[int, Within(1)] = 512,
        **options: Any,
    ) -> None:
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
        gated = []
        for role, gate in self.gate.items():
            weights, fused = gate(steps[-1][role], [steps[0][role], steps[-1][role]])
            if gates is not None:
                gates[role] = weights
            gated.append(fused)
        out = zero_masked(torch.cat(gated, dim=-1).relu_(), mask)
        return out if self.joint is None else self.joint(out, mask)
