"""RJCA: recursive joint cross-attention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from ...recipes import RELEASED_FRAMEWORK, Stated
from .base import Streams
from .recursive import RecursiveHead
from .registry import register_head


@register_head("rjca")
class RJCA(RecursiveHead):
    """Recursive joint cross-attention.

        x_m^0     = x_m, or x_m / |x_m| with normalize=True
        x_m^t     = attention_t(x^{t-1})_m                         t = 1 .. M, weights per t
        out       = [x_video^M, x_audio^M, ...]

    The attention is `JointCrossAttention` (official) or `FrameAttention` (paper), where option
    mixing="channels" lifts the limit on the window length. Three streams (RJCMA: video, audio,
    text) or four are the same with a wider J; official, it is their concatenation without the
    Linear, for the released RJCMA computes that Linear and does not use it.
    """

    source = (
        "Praveen, Granger and Cardinal, Recursive joint attention for audio-visual fusion in "
        "regression based emotion recognition (ICASSP 2023); Praveen and Alam, Recursive joint "
        "cross-modal attention (CVPRW 2024); released code"
    )
    published: ClassVar[Mapping[str, Stated]] = RELEASED_FRAMEWORK

    @property
    def joint_linear(self) -> bool:
        """Two streams alone have it in the release."""
        return len(self.dims) == 2

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, sum of D]; paper: gates as in `RecursiveHead.recur`."""
        return torch.cat(list(self.recur(x, mask, gates)[-1].values()), dim=-1)
