"""A linear map over the frames of a window, for weights that are L x L."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....errors import ConfigError


class FrameLinear(nn.Linear):
    """y[j] = b[j] + sum_i W[j, i] x[i] over frames i, the same for every channel.

    W is `length` x `length`. A shorter window uses the leading part of W and b, which is the same
    as padding it to `length` with rows of zeros.
    """

    def __init__(self, length: int, *, bias: bool = True) -> None:
        super().__init__(length, length, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the frames of x [B, L, D], zeros where masked; gives [B, L, D].

        Raises:
            ConfigError: the window is longer than the weights.
        """
        batch, frames, _ = x.shape
        if frames > self.in_features:
            raise ConfigError(
                f"a window of {frames} frames meets weights made for length={self.in_features}; "
                f"cut windows of at most {self.in_features} frames, or make the head with "
                f"length={frames}"
            )
        weight = self.weight[:frames, :frames].expand(batch, -1, -1)
        if self.bias is None:
            return torch.bmm(weight, x)
        return torch.baddbmm(self.bias[:frames, None], weight, x)
