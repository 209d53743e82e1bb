"""What the heads of the joint cross-attention family share: recursions, and gates over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ....errors import ConfigError
from ...heads.joint import TEMPERATURE
from .base import Head, Streams, init_linears, require_length
from .frame_attention import FrameAttention
from .joint_attention import JointCrossAttention


class RecursiveHead(Head):
    """A head that starts with M recursions of joint cross-attention, with weights of their own.

    `variant="official"` takes `JointCrossAttention`, `variant="paper"` `FrameAttention` (option
    `mixing`), which does without a length when mixing="channels". A subclass implements `fuse`
    from `recur`.

    Attributes:
        attention: the M recursions.
    """

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        length: int | None,
        variant: str,
        recursions: int,
        dropout: float,
        mixing: str,
        normalize: bool,
    ) -> None:
        """Build them; `mixing` as in `FrameAttention`, `normalize` divides x^0 by |x^0|."""
        super().__init__(dims=dims)
        self.out_dim = sum(self.dims.values())
        self.variant = variant
        self.normalize = normalize
        if mixing != "channels":
            length = require_length(type(self).__name__.lower(), length)
        self.attention = nn.ModuleList(
            FrameAttention(dims=self.dims, length=length, dropout=dropout, mixing=mixing)
            if length is None or variant == "paper"
            else JointCrossAttention(
                dims=self.dims, length=length, dropout=dropout, joint_linear=self.joint_linear
            )
            for _ in range(recursions)
        )

    @property
    def joint_linear(self) -> bool:
        """Whether the released attention passes J through a Linear."""
        return True

    def enter(self, x: Streams, mask: Tensor | None) -> Streams:
        """What the recursions start from: x^0, role -> [B, L, d_m], zeros where masked."""
        return unit(x) if self.normalize else x

    def recur(
        self, x: Streams, mask: Tensor | None, gates: dict[str, Tensor] | None
    ) -> list[Streams]:
        """Give [x^0, ..., x^M], each role -> [B, L, d_m].

        The paper's scores C_m [B, L, L] of recursion t go to gates["<role>_attention_<t>"].
        """
        steps = [self.enter(x, mask)]
        for t, attention in enumerate(self.attention, start=1):
            scores: dict[str, Tensor] | None = None if gates is None else {}
            steps.append(attention(steps[-1], mask, scores))
            if gates is not None and scores is not None:
                gates.update({f"{role}_attention_{t}": c for role, c in scores.items()})
        return steps


class StepGate(nn.Linear):
    """Choose between steps per frame: softmax(Linear(asked) / temperature) weighs them."""

    kind = "learned"

    def __init__(self, dim: int, steps: int, temperature: float) -> None:
        super().__init__(dim, steps)
        self.temperature = temperature

    def forward(  # type: ignore[override]
        self, asked: Tensor, steps: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Weigh the steps [B, L, D] by asking [B, L, dim].

        Returns:
            The weights [B, L, steps] and the weighted sum [B, L, D].
        """
        weights = torch.softmax(super().forward(asked) / self.temperature, dim=-1)
        return weights, weighted_sum(steps, weights)


class FixedGate(nn.Module):
    """What stands in for a gate in ablations: weights that look at nothing.

    `uniform` weighs all steps alike, `none` takes the last one alone.
    """

    def __init__(self, steps: int, kind: str) -> None:
        super().__init__()
        self.steps, self.kind = steps, kind

    def forward(self, asked: Tensor, steps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """As `StepGate`."""
        weights = asked.new_zeros(*asked.shape[:-1], self.steps)
        if self.kind == "none":
            weights[..., -1] = 1.0
        else:
            weights += 1 / self.steps
        return weights, weighted_sum(steps, weights)


class GatedHead(RecursiveHead):
    """Recursions, and gates over what they give; `gate` says of which kind all of them are.

    `learned`, or for ablations `uniform` (all weights equal) or `none` (the last step alone).
    """

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        temperature: float,
        gate: str,
        normalize: bool,
        **options: Any,
    ) -> None:
        super().__init__(dims=dims, normalize=normalize, **options)
        if gate != "learned" and temperature != TEMPERATURE:
            raise ConfigError(
                f"head {type(self).__name__.lower()}: temperature={temperature} belongs to "
                f"gate=learned; leave it out with gate={gate}"
            )
        self.temperature, self.kind = temperature, gate

    def gates_over(self, steps: int) -> nn.ModuleDict:
        """A gate over so many steps for each role, its Linear Xavier-uniform."""
        gates = nn.ModuleDict(
            {
                role: StepGate(dim, steps, self.temperature)
                if self.kind == "learned"
                else FixedGate(steps, self.kind)
                for role, dim in self.dims.items()
            }
        )
        init_linears(gates)
        return gates

    def choose(
        self, gate: nn.ModuleDict, steps: Sequence[Streams], gates: dict[str, Tensor] | None
    ) -> list[Tensor]:
        """Weigh the steps of each role by asking the last; weights go to gates[role]."""
        chosen = []
        for role, own in gate.items():
            weights, fused = own(steps[-1][role], [step[role] for step in steps])
            if gates is not None:
                gates[role] = weights
            chosen.append(fused)
        return chosen


def weighted_sum(steps: Sequence[Tensor], weights: Tensor) -> Tensor:
    """Sum steps [..., D] with weights [..., number of steps]; gives [..., D]."""
    first, *others = weights.split(1, dim=-1)
    total = first * steps[0]
    for weight, step in zip(others, steps[1:], strict=True):
        total.addcmul_(weight, step)  # in place: neither operation needs the sum again
    return total


def unit(x: Streams) -> Streams:
    """Every stream divided by its l2 norm over channels; zeros stay zeros."""
    return {role: F.normalize(x_m, dim=-1) for role, x_m in x.items()}
