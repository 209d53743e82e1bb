"""A bidirectional LSTM over a few steps of very many short sequences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class RecursionLSTM(nn.LSTM):
    """`nn.LSTM` of one bidirectional layer for thousands of sequences of a few steps each.

    It computes what `nn.LSTM` computes and has its parameters, but takes and gives one tensor per
    step, so that nothing is stacked, and starts all sequences from the same learned state, so that
    the first step needs no recurrent product. Gates are computed in place, and gradients of weights
    are summed in place.
    """

    def __init__(self, size: int) -> None:
        """Build it for `size` channels in, and `size` per direction out."""
        super().__init__(size, size, bidirectional=True)

    def forward(self, steps: Sequence[Tensor], start: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Run both directions.

        Args:
            steps: what enters at each step, [N, D] each.
            start: [4, D], h of both directions before their first step, then c of both.

        Returns:
            Per step the outputs of the forward and the backward direction, [N, D] each.
        """
        device = start.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else start.dtype
        steps = [step.to(dtype) for step in steps]
        with torch.autocast(device, enabled=False):
            forth, back = (
                _Direction.apply(
                    *(start[k::2].to(dtype)),
                    *(
                        self.get_parameter(f"{name}_l0{suffix}").to(dtype)
                        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
                    ),
                    *steps[::order],
                )
                for k, (suffix, order) in enumerate((("", 1), ("_reverse", -1)))
            )
        return list(zip(forth, back[::-1], strict=True))


class _Direction(torch.autograd.Function):
    """One direction, with torch's order of gates: input, forget, cell, output.

    i, f, o = sigmoid(W_ih x + W_hh h + b), g = tanh(the same); c = f c + i g; h = o tanh(c)
    """

    @staticmethod
    def forward(
        ctx: Any,
        h: Tensor,
        c: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
        *steps: Tensor,
    ) -> tuple[Tensor, ...]:
        """Map the start h and c [D] and steps of x [N, D] to steps of h [N, D]."""
        size = len(h)
        bias = bias_ih + bias_hh
        hidden: list[Tensor] = []
        saved = []
        cell = c
        for x in steps:
            if hidden:
                gates = torch.addmm(bias, x, weight_ih.T).addmm_(hidden[-1], weight_hh.T)
            else:
                gates = torch.addmm(bias + weight_hh @ h, x, weight_ih.T)
            gates[:, : 2 * size].sigmoid_()
            gates[:, 2 * size : 3 * size].tanh_()
            gates[:, 3 * size :].sigmoid_()
            i, f, g, o = gates.split(size, dim=1)
            cell = (f * cell).addcmul_(i, g)
            squashed = cell.tanh()
            hidden.append(o * squashed)
            saved += [gates, cell, squashed]
        ctx.save_for_backward(h, c, weight_ih, weight_hh, *steps, *hidden, *saved)
        return tuple(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        """Go back through the steps, last one first."""
        count = len(grads)
        h, c, weight_ih, weight_hh, *rest = ctx.saved_tensors
        steps, hidden, saved = rest[:count], rest[count : 2 * count], rest[2 * count :]
        size = len(h)
        to_ih, to_hh = torch.zeros_like(weight_ih), torch.zeros_like(weight_hh)
        to_steps: list[Tensor] = []
        to_bias = torch.zeros_like(weight_ih[:, 0])
        to_gates = torch.empty_like(saved[0])
        to_i, to_f, to_g, to_o = to_gates.split(size, dim=1)
        to_cell, to_hidden = torch.zeros_like(saved[1]), None
        for t in reversed(range(count)):
            gates, _, squashed = saved[3 * t : 3 * t + 3]
            i, f, g, o = gates.split(size, dim=1)
            before = saved[3 * t - 2] if t else c.expand_as(squashed)
            out = grads[t] if to_hidden is None else to_hidden.add_(grads[t])
            sigmoid_gradient(out * squashed, o, to_o)
            to_cell += torch.ops.aten.tanh_backward(out * o, squashed)
            sigmoid_gradient(to_cell * g, i, to_i)
            sigmoid_gradient(to_cell * before, f, to_f)
            torch.ops.aten.tanh_backward(to_cell * i, g, grad_input=to_g)
            to_cell *= f
            to_steps.append(to_gates @ weight_ih)
            to_ih.addmm_(to_gates.T, steps[t])
            summed = to_gates.sum(0)
            to_bias += summed
            if t:
                to_hidden = to_gates @ weight_hh
                to_hh.addmm_(to_gates.T, hidden[t - 1])
        to_hh.addr_(summed, h)
        return (
            summed @ weight_hh,
            to_cell.sum(0),
            to_ih,
            to_hh,
            to_bias,
            to_bias,
            *reversed(to_steps),
        )


def sigmoid_gradient(grad: Tensor, output: Tensor, to: Tensor) -> None:
    """Write grad output (1 - output) to `to` in one pass."""
    torch.ops.aten.sigmoid_backward(grad, output, grad_input=to)
