"""The whole model: streams -> normalisation -> TCN per stream -> fusion head -> regressor.

A row that exists but is unusable (no face, no audio) enters as a learned token of its stream, so
that it never looks like data, or as zeros; rows that do not exist (padding) are masked throughout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..config import FitConfig
from ..heads import ROLES
from .heads import create_head
from .masking import MaskedBatchNorm, zero_masked
from .regressor import Regressor
from .tcn import TCN, MultiScaleTCN

Statistics = Mapping[str, tuple[Tensor, Tensor]]


class LayerSum(nn.Module):
    """Sum of a network's layers with learned weights that are positive and add up to 1.

    As in SUPERB (Yang et al. 2021, section 3.2): the softmax of one value per layer, all equal at
    first. Each layer is normalised before, as streams are, so that none counts for its scale.
    """

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(layers))

    def forward(self, x: Tensor) -> Tensor:
        """x [B, L, layers * D], one layer after the other; -> [B, L, D]."""
        shares = self.weight.softmax(dim=0)
        return torch.matmul(shares, x.unflatten(-1, (len(shares), -1)))


class StreamEncoder(nn.Module):
    """One stream's normalisation, sum of layers, missing token, TCN and BatchNorm.

    `mean` and `std` [D] are buffers, set from the training rows by `Model.set_statistics`.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        dim: int,
        layers: int = 0,
        channels: Sequence[int],
        kernel_sizes: Sequence[int],
        dropout: float,
        causal: bool,
        batch_norm: bool = True,
        missing_token: bool = True,
    ) -> None:
        """Build it; without channels there is no TCN and the width stays D.

        Unusable rows enter as a learned token, or as zeros: the mean of the training rows. Of
        several layers side by side `dim` is the width of all, D that of one.
        """
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))
        self.layers = LayerSum(layers) if layers else None
        dim //= max(1, layers)
        self.missing = nn.Parameter(torch.randn(dim) * 0.02) if missing_token else None
        self.tcn: TCN | MultiScaleTCN | None = None
        form: dict[str, Any] = {
            "in_dim": dim,
            "channels": channels,
            "dropout": dropout,
            "causal": causal,
        }
        if len(channels) and len(kernel_sizes) == 1:
            self.tcn = TCN(kernel_size=kernel_sizes[0], **form)
        elif len(channels):
            self.tcn = MultiScaleTCN(kernel_sizes=kernel_sizes, **form)
        self.out_dim = dim if self.tcn is None else self.tcn.out_dim
        self.norm = MaskedBatchNorm(self.out_dim) if batch_norm else None

    def forward(self, x: Tensor, valid: Tensor | None, mask: Tensor | None) -> Tensor:
        """Encode x [B, L, dim] of any float type; valid and mask [B, L] bool; -> [B, L, C]."""
        x = (x.to(self.mean.dtype) - self.mean) / self.std
        x = x if self.layers is None else self.layers(x)
        if valid is not None:
            missing = x.new_zeros(()) if self.missing is None else self.missing
            x = torch.where(valid[..., None], x, missing)
        x = zero_masked(x, mask) if self.tcn is None else self.tcn(x, mask)
        return x if self.norm is None else self.norm(x, mask)


class Network(nn.Module):
    """One complete network for one or two targets, of a resolved configuration."""

    def __init__(
        self, *, config: FitConfig, dims: Mapping[str, int], layers: Mapping[str, int], outputs: int
    ) -> None:
        super().__init__()
        self.modality_dropout = config.modality_dropout
        self.autocast = config.precision == "bfloat16"
        encoders = {
            role: StreamEncoder(
                dim=dims[role],
                layers=layers.get(role, 0),
                channels=config.tcn_channels[role],
                kernel_sizes=config.tcn_kernels,
                dropout=config.tcn_dropout,
                causal=config.causal,
                batch_norm=config.tcn_norm,
                missing_token=config.missing != "zero",
            )
            for role in ROLES
            if role in dims
        }
        self.encoders = nn.ModuleDict(encoders)
        self.head = create_head(
            config.head,
            {role: encoder.out_dim for role, encoder in encoders.items()},
            length=config.window,
            variant=config.variant,
            recursions=config.recursions,
            **config.head_options,
        )
        self.regressor = Regressor(
            config.regressor, in_dim=self.head.out_dim, outputs=outputs, hidden=config.hidden
        )

    def forward(
        self,
        streams: Mapping[str, Tensor],
        valid: Mapping[str, Tensor] | None = None,
        mask: Tensor | None = None,
        gates: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Predict [B, L, outputs] float32; in bfloat16 the matrix products but for LSTMs.

        Streams, valid and mask as in `Model.forward`; `gates` is filled as by `Head.forward`.
        """
        device = next(iter(streams.values())).device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.autocast):
            encoded = self.encode(streams, valid, mask)
            out = self.regressor(self.head(encoded, mask, gates), mask)
        return out.float() if self.autocast else out

    def encode(
        self, streams: Mapping[str, Tensor], valid: Mapping[str, Tensor] | None, mask: Tensor | None
    ) -> dict[str, Tensor]:
        """What enters the head: role -> [B, L, C]."""
        if self.training and self.modality_dropout:
            valid = modality_dropout(streams, valid, self.modality_dropout)
        return {
            role: encoder(streams[role], None if valid is None else valid[role], mask)
            for role, encoder in self.encoders.items()
        }


def modality_dropout(
    streams: Mapping[str, Tensor], valid: Mapping[str, Tensor] | None, probability: float
) -> dict[str, Tensor]:
    """Withhold whole streams of windows at random, never all streams of one window.

    Args:
        streams: role -> [B, L, D].
        valid: role -> [B, L] bool, or None for all usable.

    Returns:
        `valid` with the rows of withheld streams False.
    """
    first = next(iter(streams.values()))
    rank = torch.rand(len(streams), len(first), device=first.device)
    # The stream with the highest number of a window stays.
    kept = (rank >= probability) | (rank == rank.max(0).values)
    return {
        role: kept[i, :, None]
        & (torch.ones_like(x[..., 0], dtype=torch.bool) if valid is None else valid[role])
        for i, (role, x) in enumerate(streams.items())
    }


class Model(nn.Module):
    """The networks of a run: one per target, or one for both.

    Attributes:
        networks: name -> network; `targets[name]` are the targets it predicts.
    """

    def __init__(
        self, *, config: FitConfig, dims: Mapping[str, int], layers: Mapping[str, int] | None = None
    ) -> None:
        """Build the networks for streams of dims[role] channels.

        Args:
            dims: role -> channels.
            layers: role -> number of the layers that these channels are of, where there are
                several side by side.
        """
        super().__init__()
        config = config.resolved()
        self.targets = config.networks()
        self.networks = nn.ModuleDict(
            {
                name: Network(config=config, dims=dims, layers=layers or {}, outputs=len(targets))
                for name, targets in self.targets.items()
            }
        )

    def set_statistics(self, statistics: Statistics) -> None:
        """Set the normalisation of every network: role -> (mean [D], std [D])."""
        for network in self.networks:
            for role, (mean, std) in statistics.items():
                encoder = self.get_submodule(f"networks.{network}.encoders.{role}")
                encoder.get_buffer("mean").copy_(mean)
                encoder.get_buffer("std").copy_(std)

    def forward(
        self,
        streams: Mapping[str, Tensor],
        valid: Mapping[str, Tensor] | None = None,
        mask: Tensor | None = None,
        gates: dict[str, dict[str, Tensor]] | None = None,
    ) -> Tensor:
        """Predict valence and arousal.

        Args:
            streams: role -> [B, L, D], raw features.
            valid: role -> [B, L] bool, False where the row of that stream is unusable; None
                means that all rows are usable.
            mask: [B, L] bool, False where the row is padding; None means no padding.
            gates: when given, filled with network -> name -> [B, L, ...].

        Returns:
            [B, L, 2]: valence, arousal, in (-1, 1) but for the regressor `gelu`; meaningless
            where masked.
        """
        outputs = []
        for name, network in self.networks.items():
            own = None if gates is None else gates.setdefault(name, {})
            outputs.append(network(streams, valid, mask, own))
        return torch.cat(outputs, dim=-1)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable values."""
    return sum(p.numel() for p in module.parameters())
