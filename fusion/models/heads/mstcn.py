"""USTC's cross-modal attention over multi-scale TCNs: the video asks two other streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from ...recipes import Stated
from ...typed import Within
from .base import ROLES, Head, Streams, init_linears
from .registry import register_head
from .time_attention import TimeAttention


@register_head("mstcn")
class MSTCN(Head):
    """Cross-modal attention over time: the video asks two audio streams.

    For F_v of the first stream (video) and F_m of the two others (audio: VGGish, audio2: log-mel):

        F_v,m = Linear(cat over heads of softmax(Q K^T / sqrt(d)) V)    softmax over existing frames
                Q = Linear(F_v), K = Linear(F_m), V = Linear(F_m)
        out   = [F_v, F_v,audio, F_v,audio2]                                        [L, 3 D_v]

    The multi-scale TCNs before it (kernels 3, 5 and 7, concatenated) and the regressor behind it
    are outside of the head (`published`). The paper states no widths or heads. Chosen here: 4 heads
    and audio TCNs of 64 channels, which the incomplete release has; F_v,m as wide as F_v; video
    TCNs of 256, 256, 128, 128 channels. Every frame sees the future.
    """

    source = "USTC's multi-scale TCN and cross-modal attention: paper; incomplete release"
    variants = ("paper",)
    min_streams = max_streams = 3
    published: ClassVar[Mapping[str, Stated]] = {
        "tcn_kernels": Stated((3, 5, 7), "paper"),
        "tcn_channels": Stated(
            {"video": (256, 256, 128, 128), **dict.fromkeys(ROLES[1:], (64,) * 4)},
            "audio: incomplete release; video: not stated, ours",
        ),
        "regressor": Stated("gelu", "paper"),
        "targets": Stated("joint", "paper: one network with two outputs"),
    }

    def __init__(self, *, dims: Mapping[str, int], heads: Annotated[int, Within(1)] = 4) -> None:
        super().__init__(dims=dims)
        self.asking, *asked = self.dims
        width = self.dims[self.asking]
        self.out_dim = width * len(self.dims)
        self.attention = nn.ModuleDict(
            {
                role: TimeAttention(query_dim=width, key_dim=self.dims[role], heads=heads)
                for role in asked
            }
        )
        init_linears(self)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, 3 D_v]; gates: role asked -> its weights [B, L, heads, L]."""
        asking = x[self.asking]
        parts = [asking]
        for role, attention in self.attention.items():
            parts.append(attention(asking, x[role], mask, gates, role))
        return torch.cat(parts, dim=-1)
