"""The temporal convolutional network of Bai et al. (2018), causal or centred, with masks.

Shapes: B windows, L frames, D channels; tensors are [B, L, D] outside and inside.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ...errors import ConfigError
from .masking import zero_masked


class TemporalBlock(nn.Module):
    """Two weight-normed dilated convolutions with a residual connection (Bai et al., fig. 1b)."""

    def __init__(
        self,
        *,
        in_dim: int,
        out_dim: int,
        kernel_size: int,
        dilation: int,
        dropout: float,
        causal: bool,
    ) -> None:
        super().__init__()
        self.conv1 = weight_norm(nn.Conv1d(in_dim, out_dim, kernel_size, dilation=dilation))
        self.conv2 = weight_norm(nn.Conv1d(out_dim, out_dim, kernel_size, dilation=dilation))
        self.downsample = nn.Conv1d(in_dim, out_dim, 1) if in_dim != out_dim else None
        self.dropout = nn.Dropout(dropout)
        reach = (kernel_size - 1) * dilation
        self.pad = (reach, 0) if causal else (reach // 2, reach // 2)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Map x [B, L, in_dim], zero where masked, to [B, L, out_dim], zero where masked."""
        y = self.dropout(F.leaky_relu(self._convolve(self.conv1, x)))
        y = self.dropout(F.leaky_relu(self._convolve(self.conv2, zero_masked(y, mask))))
        residual = x
        if self.downsample is not None:  # one tap: a linear map per frame
            residual = F.linear(x, self.downsample.weight[..., 0], self.downsample.bias)
        return zero_masked(F.leaky_relu(y + residual), mask)

    def _convolve(self, conv: nn.Conv1d, x: Tensor) -> Tensor:
        # [B, L, D] seen as [B, D, 1, L] is the channels-last layout of a 2-d convolution: the
        # fastest form on CPU and GPU alike, and it needs no transposition.
        image = F.pad(x, (0, 0, *self.pad)).mT.unsqueeze(2)
        y = F.conv2d(image, conv.weight.unsqueeze(2), conv.bias, dilation=(1, conv.dilation[0]))
        return y.squeeze(2).mT


class TCN(nn.Module):
    """A stack of temporal blocks with dilations 1, 2, 4, ... (Bai et al. 2018).

    `causal=True` is what the released systems do: output i sees frames i - (receptive_field - 1)
    to i. `causal=False` is an extension: the same field, centred on frame i.
    """

    def __init__(
        self,
        *,
        in_dim: int,
        channels: Sequence[int],
        kernel_size: int = 5,
        dropout: float = 0.1,
        causal: bool = True,
    ) -> None:
        """Build one level per entry of `channels`."""
        super().__init__()
        if not channels or min(in_dim, *channels, kernel_size) < 1:
            raise ConfigError(
                f"TCN needs at least one level and positive sizes; got input {in_dim}, "
                f"channels {list(channels)}, kernel {kernel_size}"
            )
        if not causal and kernel_size % 2 == 0:
            raise ConfigError(
                f"a centred TCN needs an odd kernel, got {kernel_size}; "
                f"take {kernel_size + 1}, or a causal TCN"
            )
        widths = [in_dim, *channels]
        self.network = nn.ModuleList(
            TemporalBlock(
                in_dim=widths[level],
                out_dim=widths[level + 1],
                kernel_size=kernel_size,
                dilation=2**level,
                dropout=dropout,
                causal=causal,
            )
            for level in range(len(channels))
        )
        self.kernel_size = kernel_size
        self.out_dim = widths[-1]

    @property
    def receptive_field(self) -> int:
        """Frames that one output depends on: 121 for four levels of kernel 5."""
        return 1 + 2 * (self.kernel_size - 1) * (2 ** len(self.network) - 1)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve over time: [B, L, out_dim].

        Args:
            x: [B, L, in_dim].
            mask: [B, L] bool, False where a row does not exist (padding). Such rows act like the
                zeros beyond the ends of a window and come out as zeros.
        """
        x = zero_masked(x, mask)
        for block in self.network:
            x = block(x, mask)
        return x


class MultiScaleTCN(nn.Module):
    """TCNs of several kernel sizes side by side, their outputs concatenated (USTC's entry)."""

    def __init__(
        self,
        *,
        in_dim: int,
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        dropout: float = 0.1,
        causal: bool = True,
    ) -> None:
        """Build one TCN per kernel size; errors as in `TCN`."""
        super().__init__()
        scales = [
            TCN(in_dim=in_dim, channels=channels, kernel_size=size, dropout=dropout, causal=causal)
            for size in kernel_sizes
        ]
        self.scales = nn.ModuleList(scales)
        self.out_dim = sum(tcn.out_dim for tcn in scales)
        self.receptive_field = max(tcn.receptive_field for tcn in scales)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Convolve x [B, L, in_dim] at every scale; mask as in `TCN`; -> [B, L, out_dim]."""
        return torch.cat([tcn(x, mask) for tcn in self.scales], dim=-1)
