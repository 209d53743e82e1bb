"""RJCA: recursive joint cross-attention."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import Streams
from .recursive import RecursiveHead


class RJCA(RecursiveHead):
    """The network of RJCA; its equations stand in `fusion.heads.joint`."""

    @property
    def joint_linear(self) -> bool:
        """Two streams alone have it in the release."""
        return len(self.dims) == 2

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, sum of D]; paper: gates as in `RecursiveHead.recur`."""
        return torch.cat(list(self.recur(x, mask, gates)[-1].values()), dim=-1)
