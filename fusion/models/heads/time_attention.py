"""Attention over the frames of a window, and the transformer encoder made of it.

What is here looks at all existing frames of a window, those of the future included.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def masked_softmax(scores: Tensor, exists: Tensor | None, dim: int) -> Tensor:
    """Softmax along `dim` over what exists (bool, broadcast to the scores, or None for all).

    The rest weighs zero; where nothing exists, all is zero, with gradients of zero.
    """
    if exists is None:
        return torch.softmax(scores, dim=dim)
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~exists, lowest), dim=dim)
    return weights.masked_fill(~exists, 0)


def positions(x: Tensor) -> Tensor:
    """Sinusoidal positional encodings [L, D] for x [B, L, D] (Vaswani et al. 2017, 3.5).

    Channel 2i of frame l is sin(l / 10000^(2i / D)), channel 2i + 1 the cosine of the same. They
    are computed for the window at hand, so any length has them.
    """
    _, frames, width = x.shape
    exact = torch.promote_types(x.dtype, torch.float32)
    even = torch.arange(0, width, 2, device=x.device, dtype=exact)
    angle = torch.arange(frames, device=x.device, dtype=exact)[:, None] * torch.exp(
        even * (-math.log(10000.0) / width)
    )
    pairs = torch.stack([angle.sin(), angle.cos()], dim=-1)  # [L, ceil(D / 2), 2]
    return pairs.flatten(1)[:, :width].to(x.dtype)


class TimeAttention(nn.Module):
    """Scaled dot-product attention of frames to frames, in several heads (Vaswani et al. 2017).

        Q = Linear(x)   K = Linear(y)   V = Linear(y)             split into heads of d channels
        out = Linear(cat over heads of softmax(Q K^T / sqrt(d)) V)      softmax over existing frames

    d is the width of x divided by the heads, rounded up. K has no bias: it would add the same to
    all scores of a query, which the softmax takes out again.
    """

    def __init__(self, *, query_dim: int, key_dim: int, heads: int) -> None:
        super().__init__()
        inner = heads * -(-query_dim // heads)
        self.heads = heads
        self.query = nn.Linear(query_dim, inner)
        self.key = nn.Linear(key_dim, inner, bias=False)
        self.value = nn.Linear(key_dim, inner)
        self.output = nn.Linear(inner, query_dim)

    def forward(
        self,
        x: Tensor,
        y: Tensor,
        mask: Tensor | None,
        gates: dict[str, Tensor] | None = None,
        name: str = "",
    ) -> Tensor:
        """Let every frame of x ask the existing frames of y.

        Args:
            x: [B, L, query_dim], finite.
            y: [B, L, key_dim], finite.
            mask: [B, L] bool, or None.
            gates: when given, gets `name` -> weights [B, L, heads, L]: who asks, head, who answers.

        Returns:
            [B, L, query_dim]; masked rows are finite.
        """
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # [B, heads, L, d]
            for part in (self.query(x), self.key(y), self.value(y))
        )
        exists = None if mask is None else mask[:, None, None, :]
        # The fast kernels' gradients add up in another order every time.
        exact = torch.is_grad_enabled() and torch.are_deterministic_algorithms_enabled()
        if gates is None and not exact:
            # A window without frames asks all: not every kernel gives numbers where none is left.
            if exists is not None:
                exists = exists | ~exists.any(dim=-1, keepdim=True)
            attended = F.scaled_dot_product_attention(query, key, value, attn_mask=exists)
        else:
            scores = query @ key.mT / math.sqrt(query.shape[-1])
            weights = masked_softmax(scores, exists, dim=-1)
            if gates is not None:
                gates[name] = weights.transpose(1, 2)
            attended = weights @ value
        return self.output(attended.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    """A layer of the transformer encoder as Vaswani et al. (2017) have it, normalised afterwards.

    x <- LayerNorm(x + Dropout(TimeAttention(x, x)))
    x <- LayerNorm(x + Dropout(Linear(ReLU(Linear(x)))))
    """

    def __init__(self, *, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = TimeAttention(query_dim=width, key_dim=width, heads=heads)
        self.hidden = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, gates: dict[str, Tensor] | None, name: str
    ) -> Tensor:
        """Map x [B, L, width] to the same shape; the others as in `TimeAttention`."""
        x = self.norm1(x + self.dropout(self.attention(x, x, mask, gates, name)))
        return self.norm2(x + self.dropout(self.output(torch.relu(self.hidden(x)))))


class Encoder(nn.Module):
    """`layers` encoder layers with 4 width channels inside; no positions of their own."""

    def __init__(self, *, width: int, layers: int, heads: int, dropout: float) -> None:
        """Build it; with layers=0 it is the identity."""
        super().__init__()
        self.layers = nn.ModuleList(
            EncoderLayer(width=width, heads=heads, hidden=4 * width, dropout=dropout)
            for _ in range(layers)
        )

    def forward(
        self, x: Tensor, mask: Tensor | None, gates: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Map x [B, L, width] to the same shape; gates layer1, layer2 ... are [B, L, heads, L]."""
        for number, layer in enumerate(self.layers, start=1):
            x = layer(x, mask, gates, f"layer{number}")
        return x
