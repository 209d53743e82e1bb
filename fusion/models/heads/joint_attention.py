"""The joint cross-attention block as released: scores of channel against channel."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..masking import zero_masked
from .base import Streams, init_linears
from .frame_linear import FrameLinear


class JointCrossAttention(nn.Module):
    """One recursion of joint cross-attention with channel-by-channel scores.

    For x_m [B, L, d_m] of each modality m, and d the sum of all d_m:

        J   = Linear(cat(x_1, x_2, ...))                 [B, L, d]
        K_m = Linear_LxL(x_m^T)                          [B, d_m, L]   mixes the frames
        C_m = Dropout(tanh(K_m J / sqrt(d)))             [B, d_m, d]   channel by channel
        H_m = ReLU(tanh(Linear(x_m) C_m))                [B, L, d]
        x_m <- x_m + Dropout(ReLU(Linear(H_m)))          [B, L, d_m]

    The weights of K_m fix the largest window (`FrameLinear`). With joint_linear=False,
    J = cat(x_1, x_2, ...).
    """

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        length: int,
        dropout: float = 0.6,
        joint_linear: bool = True,
    ) -> None:
        """Build the block; the linears start Xavier-uniform with zero bias, as released."""
        super().__init__()
        joint = sum(dims.values())
        self.scale = 1 / math.sqrt(joint)
        self.joint = nn.Linear(joint, joint) if joint_linear else nn.Identity()
        self.key = nn.ModuleDict({role: FrameLinear(length) for role in dims})
        self.value = nn.ModuleDict({role: nn.Linear(dim, dim) for role, dim in dims.items()})
        self.output = nn.ModuleDict({role: nn.Linear(joint, dim) for role, dim in dims.items()})
        self.dropout = nn.Dropout(dropout)
        init_linears(self)

    def forward(
        self, x: Streams, mask: Tensor | None, scores: dict[str, Tensor] | None = None
    ) -> Streams:
        """As `FrameAttention.forward`; `scores` stays empty, for these belong to no frame."""
        # With J zero where masked, the frames of K_m that do not exist meet only zeros.
        joint = zero_masked(self.joint(torch.cat(list(x.values()), dim=-1)), mask)
        return {role: self._attend(role, x_m, joint, mask) for role, x_m in x.items()}

    def _attend(self, role: str, x: Tensor, joint: Tensor, mask: Tensor | None) -> Tensor:
        key = self.key[role](x)  # K^T: [B, L, d_m]
        scores = self.dropout(torch.bmm(key.mT, joint).mul_(self.scale).tanh_())
        hidden = torch.bmm(self.value[role](x), scores).tanh_().relu()
        return zero_masked(x + self.dropout(self.output[role](hidden).relu_()), mask)
