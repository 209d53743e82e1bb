"""What every fusion head is: streams and a mask in, fused features out, gates on request."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ....errors import ConfigError
from ...heads.facts import ROLES, HeadFacts
from ..masking import zero_masked

Streams = dict[str, Tensor]


def init_linears(module: nn.Module) -> None:
    """Start every linear below `module` Xavier-uniform with zero bias, as the released heads do."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def require_length(head: str, length: int | None) -> int:
    """The window length of a head whose weights mix the frames of a window.

    Raises:
        ConfigError: there is none.
    """
    if length is None or length < 1:
        raise ConfigError(
            f"head {head} needs length=<frames per window> (its weights mix the frames of a "
            f"window), got {length}; the usual window has 300"
        )
    return length


class Head(HeadFacts, nn.Module):
    """Base of all heads' networks. A subclass sets `out_dim` and implements `fuse`.

    Shapes: B windows, L frames, D channels.

    Attributes:
        dims: role -> D of its stream, in the order of `ROLES`.
        out_dim: channels of the output.
    """

    out_dim: int

    def __init__(self, *, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.dims = {role: dims[role] for role in ROLES if role in dims}

    def forward(
        self, streams: Streams, mask: Tensor | None = None, gates: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Fuse the streams: [B, L, out_dim].

        Args:
            streams: role -> [B, L, D].
            mask: [B, L] bool, False where a row does not exist. Such rows may hold anything, do
                not influence the others, and come out as zeros.
            gates: when given, filled with what the method `gates` gives.

        Raises:
            ConfigError: roles, shapes or the mask do not fit the head.
        """
        self._check(streams, mask)
        x = {role: zero_masked(streams[role], mask) for role in self.dims}
        return zero_masked(self.fuse(x, mask, gates), mask)

    def gates(self, streams: Streams, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Give the gates and attention weights of a forward pass, by name, for plots.

        Streams, mask and errors as in `forward`.

        Returns:
            name -> [B, L, ...]; empty for a head that has none.
        """
        gates: dict[str, Tensor] = {}
        self(streams, mask, gates)
        return gates

    def fuse(self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None) -> Tensor:
        """Compute the head's equations: [B, L, out_dim]; masked rows may hold anything finite.

        Args:
            x: role -> [B, L, D] in the order of `dims`, zeros where masked.
            mask: [B, L] bool, or None when every row exists.
            gates: when given, filled with the gates.
        """
        raise NotImplementedError

    def _check(self, streams: Streams, mask: Tensor | None) -> None:
        if set(streams) != set(self.dims):
            raise ConfigError(
                f"this head was made for the streams {', '.join(self.dims)}; "
                f"it was given {', '.join(streams) or 'none'}"
            )
        rows = next(iter(streams.values())).shape[:2]
        for role, x in streams.items():
            if x.ndim != 3 or x.shape[:2] != rows or x.shape[2] != self.dims[role]:
                given = ", ".join(f"{name} {list(s.shape)}" for name, s in streams.items())
                raise ConfigError(
                    f"stream {role} must be [B, L, {self.dims[role]}] with the same B and L in "
                    f"every stream; got {given}"
                )
        if mask is not None and (mask.shape != rows or mask.dtype != torch.bool):
            raise ConfigError(
                f"the mask must be bool {list(rows)}; got {mask.dtype} {list(mask.shape)}"
            )
