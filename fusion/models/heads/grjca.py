"""GRJCA: gated recursive joint cross-attention."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .base import Streams
from .recursive import GatedHead


class GRJCA(GatedHead):
    """The network of GRJCA; its equations stand in `fusion.heads.joint`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.gate = self.gates_over(len(self.attention) + 1)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, sum of D]; the gates are role -> [B, L, M+1]."""
        steps = self.recur(x, mask, gates)
        return torch.cat(self.choose(self.gate, steps, gates), dim=-1).relu_()
