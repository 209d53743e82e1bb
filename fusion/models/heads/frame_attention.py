"""The joint cross-attention block as published: scores of frame against frame."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ....errors import ConfigError
from ..masking import zero_masked
from .base import Streams, init_linears
from .frame_linear import FrameLinear


class FrameAttention(nn.Module):
    """One recursion of joint cross-attention with frame-by-frame scores.

    The papers (GRJCA eqs. 1-8) hold a window as X_m [d_m, L], columns being frames, and print
    C_m = tanh(X_m^T W_j J / sqrt(d)), H_m = ReLU(X_m W_c C_m), X_m <- H_m W_h + X_m. With
    J = Linear(cat(X_1, X_2, ...)) [d, L], the dimensions agree when

        W_j [d_m, d]:  C_m = tanh(X_m^T W_j J / sqrt(d))           [L, L]
        W_c [L, L]:    H_m = ReLU(X_m W_c C_m)                     [d_m, L]
        W_h [L, L]:    X_m <- X_m + H_m W_h                        [d_m, L]

    which is `mixing="frames"`: W_c and W_h stand to the right and mix frames, and fix the largest
    window (`FrameLinear`). With `mixing="channels"` they are [d_m, d_m], stand to the left and mix
    channels, so that windows may have any length:

        H_m = ReLU(W_c X_m C_m),    X_m <- X_m + W_h H_m

    Here tensors are [B, L, d_m], so everything is transposed: frame j of H_m is
    ReLU(sum_i C_m[i, j] v_m[i]), with v_m = W_c^T x_m or x_m W_c^T. W_j, W_c and W_h have no
    bias. Dropout works where the released block has it: on C_m and on what is added to x_m.

    Rows of zeros make rows and columns of zeros in C_m, so frames that do not exist weigh nothing.
    """

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        length: int | None,
        dropout: float = 0.6,
        mixing: str = "frames",
    ) -> None:
        """Build the block; the linears start Xavier-uniform. `length` counts for "frames" only."""
        super().__init__()
        joint = sum(dims.values())
        self.widths = list(dims.values())
        self.scale = 1 / math.sqrt(joint)
        self.joint = nn.Linear(joint, joint)
        self.correlate = nn.Linear(joint, joint, bias=False)  # the W_j of all m, stacked
        self.value = nn.ModuleDict()
        self.output = nn.ModuleDict()
        for role, dim in dims.items():
            for part in (self.value, self.output):
                if mixing == "channels":
                    part[role] = nn.Linear(dim, dim, bias=False)
                elif length is not None:
                    part[role] = FrameLinear(length, bias=False)
                else:
                    raise ConfigError('mixing="frames" needs a length; mixing="channels" does not')
        self.dropout = nn.Dropout(dropout)
        init_linears(self)

    def forward(
        self, x: Streams, mask: Tensor | None, scores: dict[str, Tensor] | None = None
    ) -> Streams:
        """Attend once: role -> [B, L, d_m], zeros where masked.

        Args:
            x: role -> [B, L, d_m], zeros where masked.
            mask: [B, L] bool, or None.
            scores: when given, filled with role -> C_m [B, L, L]: frame of m, frame of J.

        Raises:
            ConfigError: the window is longer than the weights.
        """
        joint = zero_masked(self.joint(torch.cat(list(x.values()), dim=-1)), mask)
        asked = self.correlate(joint).split(self.widths, dim=-1)  # (W_j J)^T: [B, L, d_m]
        out = {}
        for (role, x_m), asked_m in zip(x.items(), asked, strict=True):
            correlation = torch.bmm(x_m, asked_m.mT).mul_(self.scale).tanh_()
            if scores is not None:
                scores[role] = correlation
            hidden = torch.bmm(self.dropout(correlation).mT, self.value[role](x_m)).relu_()
            out[role] = zero_masked(x_m + self.dropout(self.output[role](hidden)), mask)
        return out
