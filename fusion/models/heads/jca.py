"""JCA: joint cross-attention, as its release runs and as its paper has it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..masking import zero_masked
from .base import Head, Streams, init_linears, require_length
from .frame_linear import FrameLinear
from .joint_attention import JointCrossAttention
from .lstm import joint_bilstm
from .recursive import unit


class JCA(Head):
    """The network of JCA; its equations stand in `fusion.heads.joint`."""

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        length: int | None,
        variant: str,
        dropout: float,
        joint_width: int,
        width: int,
        k: int,
    ) -> None:
        super().__init__(dims=dims)
        length = require_length("jca", length)
        self.variant = variant
        if variant == "official":
            self.guided, dim = next(iter(self.dims.items()))
            self.guide = nn.Linear(dim, dim)
            init_linears(self.guide)
            block = JointCrossAttention(dims=self.dims, length=length, dropout=dropout)
            self.attention = nn.ModuleList([block])
            self.joint = joint_bilstm(sum(self.dims.values()), joint_width)
            self.out_dim = joint_width
        else:
            self.correlation = JointCorrelation(dims=self.dims, length=length, width=width, k=k)
            self.out_dim = width * len(self.dims)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, joint_width], or width per stream; there are no gates."""
        if self.variant == "paper":
            return torch.cat(list(self.correlation(x, mask).values()), dim=-1)
        x = unit(x)
        x[self.guided] = zero_masked(self.guide(x[self.guided]), mask)
        return self.joint(torch.cat(list(self.attention[0](x, mask).values()), dim=-1), mask)


class JointCorrelation(nn.Module):
    """The equations of the paper."""

    def __init__(self, *, dims: Mapping[str, int], length: int, width: int, k: int) -> None:
        super().__init__()
        joint = width * len(dims)
        self.scale = 1 / math.sqrt(joint)
        self.enter = nn.ModuleDict({role: nn.Linear(dim, width) for role, dim in dims.items()})
        self.affine, self.correlate, self.project, self.output = (
            nn.ModuleDict({role: make() for role in dims})
            for make in (
                lambda: FrameLinear(length, bias=False),
                lambda: nn.Linear(joint, k, bias=False),
                lambda: nn.Linear(length, k, bias=False),
                lambda: nn.Linear(k, length, bias=False),
            )
        )
        init_linears(self)

    def forward(self, x: Streams, mask: Tensor | None) -> Streams:
        """Map role -> [B, L, d_m], zeros where masked, to role -> [B, L, width].

        Raises:
            ConfigError: the window is longer than the weights.
        """
        entered = {role: zero_masked(self.enter[role](x_m), mask) for role, x_m in x.items()}
        joint = torch.cat(list(reversed(entered.values())), dim=-1)
        frames, out = joint.shape[1], {}
        for role, u in entered.items():
            scores = torch.bmm(u.mT, self.affine[role](joint)).mul_(self.scale).tanh_()
            # A shorter window meets the leading columns of W'_m and rows of W_hm.
            own = u.mT @ self.project[role].get_parameter("weight")[:, :frames].mT
            hidden = torch.relu(self.correlate[role](scores) + own)  # H_m^T: [B, D, k]
            out[role] = u + (hidden @ self.output[role].get_parameter("weight")[:frames].mT).mT
        return out
