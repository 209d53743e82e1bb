"""A bidirectional LSTM over the frames of a window that passes rows which do not exist."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BiLSTM(nn.Module):
    """One layer of `nn.LSTM` per direction whose state passes masked rows unchanged.

    A window with holes or padding gives what it would give with these rows cut out, in both
    directions. Packed sequences do the same but take six times as long on the CPU; here the rows
    that exist are brought to the front, in order for `past` and reversed for `future`, so that the
    others come after everything that counts.
    """

    def __init__(self, *, in_dim: int, hidden: int) -> None:
        """Build it with `hidden` channels per direction."""
        super().__init__()
        self.past = nn.LSTM(in_dim, hidden, batch_first=True)
        self.future = nn.LSTM(in_dim, hidden, batch_first=True)
        self.out_dim = 2 * hidden

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map x [B, L, D], finite everywhere, to [B, L, 2 hidden]: past, then future.

        mask [B, L] bool, or None; masked rows come out as anything finite.
        """
        if mask is None:
            return torch.cat([self.past(x)[0], self.future(x.flip(1))[0].flip(1)], dim=-1)
        # A stable sort of False before True: existing rows first, each group in its order.
        order = torch.argsort(~mask, dim=1, stable=True)
        place = torch.arange(mask.shape[1], device=mask.device)
        last = mask.sum(dim=1, keepdim=True) - 1
        turned = order.gather(1, torch.where(place > last, place, last - place))
        return torch.cat([_run(self.past, x, order), _run(self.future, x, turned)], dim=-1)


def _run(lstm: nn.LSTM, x: Tensor, order: Tensor) -> Tensor:
    """Run over the rows of x [B, L, D] in the order [B, L] given; rows return to their places."""
    y = lstm(x.gather(1, order[..., None].expand_as(x)))[0]
    return torch.zeros_like(y).scatter(1, order[..., None].expand_as(y), y)
