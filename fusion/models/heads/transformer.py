"""A transformer encoder over concatenated features, which several challenge entries are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor, nn

from ...recipes import Stated
from ...typed import Among, Within
from ..masking import zero_masked
from ..tcn import TCN
from .base import ROLES, Head, Streams, init_linears
from .lstm import BiLSTM
from .registry import register_head
from .time_attention import Encoder, positions


@register_head("transformer")
class Transformer(Head):
    """A temporal encoder and a transformer encoder over concatenated features.

        Y   = Temporal(cat(x_1, x_2, ...))       nothing, a TCN, or a bidirectional LSTM
        H   = Dropout(Linear(Y) + positions)     [L, width], sinusoids of the frame's place
        out = Encoder(H)                         [L, width]

    `preset` sets what is known of an entry; options that are given win:

        ctyunai        temporal="tcn"
        hfut-mac       temporal="none"
        situ-rucaim3   temporal="lstm", layers=0 (their other form is hfut-mac's)
        netease-fuxi   the same model as hfut-mac; theirs had MAE visual features

    With layers=0 there is no Encoder and there are no positions.

    The defaults are chosen here, as are 4 width channels inside a layer, normalised after each
    part; a TCN of four causal levels, kernel 5, of `width` channels; one LSTM layer of `width`
    channels per direction. Features enter without a TCN of their own (`published`).
    Every frame sees the future, except with layers=0 and no LSTM.
    """

    source = (
        "the entries of CtyunAI, HFUT-MAC, Situ-RUCAIM3 and Netease Fuxi, as described by the "
        "papers that compare with them"
    )
    variants = ("paper",)
    published: ClassVar[Mapping[str, Stated]] = {
        "tcn_channels": Stated(dict.fromkeys(ROLES, ()), "as described by other papers")
    }
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "ctyunai": {"temporal": "tcn"},
        "hfut-mac": {"temporal": "none"},
        "situ-rucaim3": {"temporal": "lstm", "layers": 0},
        "netease-fuxi": {"temporal": "none"},
    }

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        temporal: Annotated[str, Among(("none", "tcn", "lstm"))] = "none",
        width: Annotated[int, Within(1)] = 256,
        layers: Annotated[int, Within(0)] = 2,
        heads: Annotated[int, Within(1)] = 4,
        dropout: Annotated[float, Within(0, 1)] = 0.1,
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
