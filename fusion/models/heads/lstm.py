"""Bidirectional LSTMs over the frames of a window that pass rows which do not exist."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..masking import zero_masked
from .base import init_linears


class BiLSTM(nn.Module):
    """One layer of `nn.LSTM` per direction whose state passes masked rows unchanged.

    A window with holes or padding gives what it would give with these rows cut out, in both
    directions. Packed sequences do the same but take six times as long on the CPU; here the rows
    that exist are brought to the front, in order for `past` and reversed for `future`, so that the
    others come after everything that counts. Autocast leaves LSTMs alone: not every processor has
    them in bfloat16.
    """

    def __init__(self, *, in_dim: int, hidden: int) -> None:
        """Build it with `hidden` channels per direction."""
        super().__init__()
        self.past = nn.LSTM(in_dim, hidden, batch_first=True)
        self.future = nn.LSTM(in_dim, hidden, batch_first=True)
        self.out_dim = 2 * hidden

    def forward(self, x: Tensor, mask: Tensor | None = None, start: Tensor | None = None) -> Tensor:
        """Run both directions.

        Args:
            x: [B, L, D], finite everywhere.
            mask: [B, L] bool, or None.
            start: [2, 2, hidden], h of past and future before their first rows, then c of both;
                None for zeros.

        Returns:
            [B, L, 2 hidden], past, then future; masked rows are anything finite.
        """
        first, last = (None, None) if start is None else start.unbind(1)
        if mask is None:
            past, future = _run(self.past, x, first), _run(self.future, x.flip(1), last).flip(1)
            return torch.cat([past, future], dim=-1)
        place = torch.arange(mask.shape[1], device=mask.device)
        # Existing rows first, each group in its order.
        order = torch.argsort(torch.where(mask, place, place + mask.shape[1]), dim=1)
        end = mask.sum(dim=1, keepdim=True) - 1
        turned = order.gather(1, torch.where(place > end, place, end - place))
        past = _run_ordered(self.past, x, first, order)
        return torch.cat([past, _run_ordered(self.future, x, last, turned)], dim=-1)


def _run(lstm: nn.LSTM, x: Tensor, start: Tensor | None) -> Tensor:
    """Run over x [B, L, D] from the states h and c of `start` [2, hidden]."""
    states = None
    if start is not None:
        h, c = start[:, None, None].expand(-1, 1, x.shape[0], -1)
        states = (h.contiguous(), c.contiguous())
    with torch.autocast(x.device.type, enabled=False):
        return lstm(x.to(next(lstm.parameters()).dtype), states)[0]


def _run_ordered(lstm: nn.LSTM, x: Tensor, start: Tensor | None, order: Tensor) -> Tensor:
    """Run over the rows of x [B, L, D] in the order [B, L] given; rows return to their places."""
    y = _run(lstm, x.gather(1, order[..., None].expand_as(x)), start)
    return torch.zeros_like(y).scatter(1, order[..., None].expand_as(y), y)


class ResidualBiLSTM(nn.Module):
    """The BiLSTM block of the released JCA, DCA and TAGF code.

        h   = BiLSTM(x), `layers` of them, from learned first states, Dropout between them
        out = z / |z|,   z = Linear(Dropout(cat(x, h)))                     l2 over channels

    `init_hidden` [4 layers, hidden] holds the first h of every layer (past, future), then the
    first c; it starts Xavier-uniform, as released.
    """

    def __init__(
        self, *, in_dim: int, out_dim: int, hidden: int, layers: int, dropout: float
    ) -> None:
        """Build it with `hidden` channels per direction."""
        super().__init__()
        self.init_hidden = nn.Parameter(torch.empty(4 * layers, hidden))
        nn.init.xavier_uniform_(self.init_hidden)
        self.layers = nn.ModuleList(
            BiLSTM(in_dim=2 * hidden if layer else in_dim, hidden=hidden) for layer in range(layers)
        )
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(in_dim + 2 * hidden, out_dim)
        init_linears(self.linear)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x [B, L, in_dim] to [B, L, out_dim]; mask [B, L] bool; masked rows are zeros."""
        starts = self.init_hidden.unflatten(0, (2, -1, 2)).unbind(1)  # per layer [2, 2, hidden]
        h = x
        for number, (layer, start) in enumerate(zip(self.layers, starts, strict=True)):
            h = layer(self.dropout(h) if number else h, mask, start)
        z = self.linear(self.dropout(torch.cat([x.to(h.dtype), h], dim=-1)))
        return zero_masked(F.normalize(z, dim=-1), mask)


def joint_bilstm(in_dim: int, width: int) -> ResidualBiLSTM:
    """The block over all modalities that the released JCA and DCA networks end with."""
    return ResidualBiLSTM(
        in_dim=in_dim, out_dim=width, hidden=(width + 1) // 2, layers=2, dropout=0.0
    )
