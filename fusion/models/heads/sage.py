"""SAGE: frames weighed by their reliability before a transformer encoder."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from .base import Head, Streams, init_linears
from .time_attention import Encoder, masked_softmax


class SAGE(Head):
    """The network of SAGE; its equations stand in `fusion.heads.others`."""

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        variant: str,
        layers: int,
        heads: int,
        dropout: float,
        gate: str,
    ) -> None:
        super().__init__(dims=dims)
        self.out_dim = sum(self.dims.values())
        self.variant = variant
        self.gate = gate
        weights = len(self.dims) if variant == "per_modality" else 1
        self.reliability = (
            nn.Linear(self.out_dim, weights, bias=False) if gate == "learned" else None
        )
        self.encoder = Encoder(width=self.out_dim, layers=layers, heads=heads, dropout=dropout)
        init_linears(self)

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute [B, L, D].

        Gates: `reliability`, or one per role, is alpha [B, L]; layer1, layer2 ... are the weights
        of the encoder [B, L, heads, L].
        """
        joint = torch.cat(list(x.values()), dim=-1)
        if self.gate == "none":
            return self.encoder(joint, mask, gates)
        scores = joint.new_zeros(*joint.shape[:2], 1)
        if self.reliability is not None:
            scores = self.reliability(joint)
        elif self.variant == "per_modality":
            scores = scores.expand(-1, -1, len(x))
        alpha = masked_softmax(scores, None if mask is None else mask[..., None], dim=1)
        names = list(x) if self.variant == "per_modality" else ["reliability"]
        if gates is not None:
            gates.update(zip(names, alpha.unbind(-1), strict=True))
        if self.variant != "paper":
            frames = joint.shape[1] if mask is None else mask.sum(dim=1)[:, None, None]
            alpha = alpha * frames
        if self.variant == "per_modality":
            parts = zip(x.values(), alpha.split(1, dim=-1), strict=True)
            weighed = torch.cat([alpha_m * x_m for x_m, alpha_m in parts], dim=-1)
        else:
            weighed = alpha * joint
        return self.encoder(weighed, mask, gates)
