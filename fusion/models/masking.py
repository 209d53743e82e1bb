"""Masks: rows that do not exist (padding) are zeroed, and kept out of BatchNorm statistics."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def zero_masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Zero the masked rows of x [B, L, D], whatever they hold; mask [B, L] bool, or None.

    Filling, unlike multiplying, stops NaN in padding in the forward and the backward pass.
    """
    return x if mask is None else x.masked_fill(~mask[..., None], 0)


class MaskedBatchNorm(nn.BatchNorm1d):
    """BatchNorm over the channels of [B, L, C] whose statistics ignore masked frames.

    Parameters and buffers are those of `nn.BatchNorm1d`. Fewer than two frames in a training
    batch have no variance; such a batch is normalised with the running statistics.
    """

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalise x [B, L, C]; mask [B, L] bool, masked frames come out as zeros."""
        if mask is None or not self.training:  # fixed statistics: no frame sees another
            return zero_masked(self._rows(x.reshape(-1, x.shape[-1])).view(x.shape), mask)
        rows = self._rows(x[mask])
        return torch.zeros_like(x, dtype=rows.dtype).index_put((mask,), rows)

    def _rows(self, rows: Tensor) -> Tensor:
        """Normalise existing frames [N, C]."""
        if self.training and len(rows) < 2:
            return nn.functional.batch_norm(
                rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(rows)
