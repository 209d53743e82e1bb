"""Running an LSTM over the frames of a window past rows that do not exist."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_sequence, unpack_sequence


def run_lstm(lstm: nn.LSTM, x: Tensor, mask: Tensor | None) -> Tensor:
    """Run a batch-first LSTM, of one or both directions, whose state passes masked rows unchanged.

    A window with holes or padding gives what it would give with these rows cut out.

    Args:
        lstm: made with batch_first=True, for D channels.
        x: [B, L, D], finite everywhere.
        mask: [B, L] bool, or None.

    Returns:
        [B, L, hidden x directions]. Masked rows are zeros, except the first row of a window that
        has no other.
    """
    if mask is None:
        return lstm(x)[0]
    # A window without rows keeps one, because a packed sequence cannot be empty.
    kept = mask.clone()
    kept[:, 0] |= ~mask.any(dim=1)
    windows = x[kept].split(kept.sum(dim=1).tolist())
    packed = lstm(pack_sequence(windows, enforce_sorted=False))[0]
    rows = torch.cat(unpack_sequence(packed))
    return rows.new_zeros(*mask.shape, rows.shape[-1]).index_put((kept,), rows)
