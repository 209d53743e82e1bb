"""SAGE: frames weighed by their reliability before a transformer encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from torch import Tensor, nn

from ...recipes import Stated
from ...typed import Within
from .base import Head, Streams, init_linears
from .recursive import Gate
from .registry import register_head
from .time_attention import Encoder, masked_softmax


@register_head("sage")
class SAGE(Head):
    """Frames weighed by a reliability, a softmax over time, before a transformer encoder.

    With X = cat(x_1, x_2, ...) [L, D] and T the number of existing frames:

        g     = X W_r + b                                      [L]
        alpha = softmax of g over the existing frames          [L]
        Z     = alpha X          variant `paper`, as printed
        Z     = T alpha X        variant `scaled`
        out   = Encoder(Z)                                     [L, D]

    Variant `per_modality` has a column of W_r and an alpha for each modality,
    Z = cat(T alpha_1 x_1, T alpha_2 x_2, ...): one reliability per frame cannot rebalance
    modalities, which the paper says it does.

    As printed, Z is about X / T: for 300 frames the variance of a frame is near 1e-5, which is the
    eps of LayerNorm, so that the encoder starts from shrunken frames. `scaled` does not.

    For ablations, gate="uniform" makes all alpha equal (1 / T), and gate="none" gives Z = X, which
    is `uniform` but for the factor of `paper`.

    b is left out, because the softmax over time takes it out again. No code is published; the paper
    states no sizes. Chosen here: 2 layers, 4 heads, 4 D channels inside, dropout 0.1, normalised
    after each part (as in Vaswani et al. 2017), no positions (the TCNs know the order).
    Every frame sees the future.
    """

    source = "SAGE's equations; no code is published"
    published: ClassVar[Mapping[str, Stated]] = {
        "targets": Stated("joint", "paper: one network with two outputs"),
    }
    variants = ("paper", "scaled", "per_modality")

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        variant: str = "paper",
        layers: Annotated[int, Within(0)] = 2,
        heads: Annotated[int, Within(1)] = 4,
        dropout: Annotated[float, Within(0, 1)] = 0.1,
        gate: Gate = "learned",
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
