"""The baseline: no fusion beyond concatenation."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from .base import Head, Streams


class Concat(Head):
    """The network of Concat; its equations stand in `fusion.heads.others`."""

    def __init__(self, *, dims: Mapping[str, int]) -> None:
        super().__init__(dims=dims)
        self.out_dim = sum(self.dims.values())

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Concatenate to [B, L, sum of D]."""
        return torch.cat(list(x.values()), dim=-1)
