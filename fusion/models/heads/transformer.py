"""A transformer encoder over concatenated features, which several challenge entries are."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..masking import zero_masked
from ..tcn import TCN
from .base import Head, Streams, init_linears
from .lstm import BiLSTM
from .time_attention import Encoder, positions


class Transformer(Head):
    """The network of Transformer; its equations stand in `fusion.heads.others`."""

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        temporal: str,
        width: int,
        layers: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__(dims=dims)
        self.out_dim = width
        joint = sum(self.dims.values())
        self.temporal: TCN | BiLSTM | None = None
        if temporal == "tcn":
            self.temporal = TCN(in_dim=joint, channels=(width,) * 4, dropout=dropout)
        elif temporal == "lstm":
            self.temporal = BiLSTM(in_dim=joint, hidden=width)
        entering = joint if self.temporal is None else self.temporal.out_dim
        self.enter = nn.Linear(entering, width)
        self.dropout = nn.Dropout(dropout)
        self.encoder = Encoder(width=width, layers=layers, heads=heads, dropout=dropout)
        init_linears(self)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, width]; gates layer1, layer2 ...: weights [B, L, heads, L]."""
        y = torch.cat(list(x.values()), dim=-1)
        if self.temporal is not None:
            y = self.temporal(y, mask)
        hidden = self.enter(zero_masked(y, mask))
        if self.encoder.layers:  # nothing else would ask for the place of a frame
            hidden = hidden + positions(hidden)
        return self.encoder(self.dropout(hidden), mask, gates)
