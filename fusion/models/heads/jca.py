"""JCA: joint cross-attention, as its release runs and as its paper has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from ...recipes import RELEASED_CLIPS, RELEASED_CLIPS_RATE, Stated
from ...typed import Within
from ..masking import zero_masked
from .base import Head, Streams, init_linears, require_length
from .frame_linear import FrameLinear
from .joint_attention import JointCrossAttention
from .lstm import joint_bilstm
from .recursive import unit
from .registry import register_head


@register_head("jca")
class JCA(Head):
    """Joint cross-attention: one attention over all modalities.

    official, what the release runs:

        u_m       = x_m / |x_m|; video: Linear(x_m / |x_m|)         l2 over channels
        out       = BiLSTM(cat over m of attention(u)_m)            [B, L, joint_width]

    paper, its equations, with D = `width` channels and `k` rows of weights:

        u_m       = Linear(x_m)                                     [L, D]
        J         = cat(u_audio, u_video)                           [L, d], d = 2 D (or more)
        C_m       = tanh(u_m^T (W_m J) / sqrt(d))                   [D, d], W_m [L, L]
        H_m       = ReLU(W_cm C_m^T + W'_m u_m)                     [k, D], W_cm [k, d], W'_m [k, L]
        out       = [u_m + W_hm H_m for video, audio, ...]          [L, D] each, W_hm [L, k]

    The official attention is `JointCrossAttention`, with that dropout; BiLSTM is the released
    block `ResidualBiLSTM`: two layers, learned first states, its input concatenated
    first, a Linear, l2-normalised. The Linear of the video (of the first stream) is what the
    released "audio-guided attention" comes down to, a softmax over one position. The W of the
    paper have no bias. Weights of both variants fix the largest window; a shorter one is the same
    as the window padded.
    """

    source = (
        "Praveen et al., A joint cross-attention model for audio-visual fusion in dimensional "
        "emotion recognition (CVPRW 2022); released code"
    )
    variants = ("official", "paper")
    min_streams = 2
    published: ClassVar[Mapping[str, Stated]] = {
        **RELEASED_CLIPS,
        "regressor": Stated("relu", "released code"),
        "hidden": Stated(128, "released code"),
        "epochs": Stated(50, "released configuration"),
        "patience": Stated(50, "released code: no early stop"),
        "optimizer": Stated("adam", "released code"),
        "learning_rate": Stated(1e-4, RELEASED_CLIPS_RATE),
        "weight_decay": Stated(0.0, "released code"),
    }
    belongs: ClassVar[Mapping[str, str]] = {
        "dropout": "official",
        "joint_width": "official",
        "width": "paper",
        "k": "paper",
    }
    revision = 2  # 1 was RJCA with M = 1

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        length: int | None = None,
        variant: str = "official",
        dropout: Annotated[float, Within(0, 1)] = 0.6,
        joint_width: Annotated[int, Within(1)] = 512,
        width: Annotated[int, Within(1)] = 128,
        k: Annotated[int, Within(1)] = 32,
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
