"""The joint cross-attention block, shared by all heads of the JCA family."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ...cache.errors import ConfigError
from ..dropout import Dropout
from ..masking import zero_masked
from .base import Streams, start_linears


class JointCrossAttention(nn.Module):
    """One recursion of joint cross-attention with channel-by-channel scores.

    For x_m [B, L, d_m] of each modality m, and d the sum of all d_m:

        J   = Linear(cat(x_1, x_2, ...))                 [B, L, d]
        K_m = Linear_LxL(x_m^T)                          [B, d_m, L]   mixes the frames
        C_m = Dropout(tanh(K_m J / sqrt(d)))             [B, d_m, d]   channel by channel
        H_m = ReLU(tanh(Linear(x_m)) C_m)                [B, L, d]
        x_m <- x_m + Dropout(ReLU(Linear(H_m)))          [B, L, d_m]

    The weights of K_m fix the largest window. A shorter one uses their leading part, which is the
    same as padding it to `length` with masked rows.

    `tanh="product"` takes H_m = ReLU(tanh(Linear(x_m) C_m)) instead, which is where the public
    repositories of the authors put the tanh.
    """

    def __init__(
        self,
        *,
        dims: Mapping[str, int],
        length: int,
        dropout: float = 0.6,
        tanh: str = "value",
    ) -> None:
        """Build the block; the linears start Xavier-uniform without bias, as released.

        Raises:
            ConfigError: `tanh` is neither "value" nor "product".
        """
        super().__init__()
        if tanh not in ("value", "product"):
            raise ConfigError(f'tanh must be "value" or "product", got {tanh!r}')
        joint = sum(dims.values())
        self.tanh = tanh
        self.length = length
        self.scale = 1 / math.sqrt(joint)
        self.joint = nn.Linear(joint, joint)
        self.key = nn.ModuleDict({role: nn.Linear(length, length) for role in dims})
        self.value = nn.ModuleDict({role: nn.Linear(dim, dim) for role, dim in dims.items()})
        self.output = nn.ModuleDict({role: nn.Linear(joint, dim) for role, dim in dims.items()})
        self.dropout = Dropout(dropout)
        start_linears(self)

    def forward(self, x: Streams, mask: Tensor | None) -> Streams:
        """Attend once.

        Args:
            x: role -> [B, L, d_m], zeros where masked.
            mask: [B, L] bool, or None.

        Returns:
            role -> [B, L, d_m], zeros where masked.

        Raises:
            ConfigError: the window is longer than the weights.
        """
        frames = next(iter(x.values())).shape[1]
        if frames > self.length:
            raise ConfigError(
                f"a window of {frames} frames meets weights made for length={self.length}; cut "
                f"windows of at most {self.length} frames, or make the head with length={frames}"
            )
        # With J zero where masked, the frames of K_m that do not exist meet only zeros.
        joint = zero_masked(self.joint(torch.cat(list(x.values()), dim=-1)), mask)
        return {role: self._attend(role, x_m, joint, mask) for role, x_m in x.items()}

    def _attend(self, role: str, x: Tensor, joint: Tensor, mask: Tensor | None) -> Tensor:
        batch, frames, _ = x.shape
        weight = self.key[role].get_parameter("weight")[:frames, :frames]
        bias = self.key[role].get_parameter("bias")[:frames, None]
        key = torch.baddbmm(bias, weight.expand(batch, -1, -1), x)  # K^T: [B, L, d_m]
        scores = self.dropout(torch.tanh(torch.bmm(key.mT, joint) * self.scale))
        value = self.value[role](x)
        if self.tanh == "value":
            hidden = torch.relu(torch.bmm(torch.tanh(value), scores))
        else:
            hidden = torch.relu(torch.tanh(torch.bmm(value, scores)))
        return zero_masked(x + self.dropout(torch.relu(self.output[role](hidden))), mask)
