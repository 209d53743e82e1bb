"""A bidirectional LSTM over few steps of many sequences, and what TAGF makes of its output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

aten = torch.ops.aten
_TINY = 1e-12  # as in F.normalize


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
                gates = _add_product(torch.addmm(bias, x, weight_ih.T), hidden[-1], weight_hh.T)
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
        to_bias = torch.zeros_like(weight_ih[:, 0])
        to_steps: list[Tensor] = []
        # One buffer each for all steps: fresh memory costs more than the arithmetic.
        to_gates, product = torch.empty_like(saved[0]), torch.empty_like(saved[1])
        to_i, to_f, to_g, to_o = to_gates.split(size, dim=1)
        to_hidden, to_cell = torch.zeros_like(product), torch.zeros_like(product)
        for t in reversed(range(count)):
            gates, _, squashed = saved[3 * t : 3 * t + 3]
            i, f, g, o = gates.split(size, dim=1)
            before = saved[3 * t - 2] if t else c
            to_hidden += grads[t]
            torch.mul(to_hidden, squashed, out=product)
            aten.sigmoid_backward(product, o, grad_input=to_o)
            torch.mul(to_hidden, o, out=product)
            to_cell += aten.tanh_backward(product, squashed, grad_input=product)
            torch.mul(to_cell, g, out=product)
            aten.sigmoid_backward(product, i, grad_input=to_i)
            torch.mul(to_cell, before, out=product)
            aten.sigmoid_backward(product, f, grad_input=to_f)
            torch.mul(to_cell, i, out=product)
            aten.tanh_backward(product, g, grad_input=to_g)
            to_cell *= f
            to_steps.append(to_gates @ weight_ih)
            _add_product(to_ih, to_gates.T, steps[t])
            summed = to_gates.sum(0)
            to_bias += summed
            if t:
                torch.mm(to_gates, weight_hh, out=to_hidden)
                _add_product(to_hh, to_gates.T, hidden[t - 1])
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


@torch.compiler.disable
def mean_of_unit(linear: nn.Linear, parts: Sequence[Tensor]) -> Tensor:
    """Give mean(z / |z|) [N] of z = linear(cat(parts)), for parts [N, D_k], under autocast too."""
    dtype = parts[0].dtype
    with torch.autocast(parts[0].device.type, enabled=False):
        return _MeanOfUnit.apply(linear.weight.to(dtype), linear.bias.to(dtype), *parts)


class _MeanOfUnit(torch.autograd.Function):
    """mean(z / max(|z|, tiny)) over the features of z = W cat(parts) + b, without the cat."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, bias: Tensor, *parts: Tensor) -> Tensor:
        """Map parts [N, D_k] to [N]."""
        slices = weight.split([part.shape[1] for part in parts], dim=1)
        z = torch.addmm(bias, parts[0], slices[0].T)
        for part, piece in zip(parts[1:], slices[1:], strict=True):
            _add_product(z, part, piece.T)
        norm = torch.linalg.vector_norm(z, dim=1).clamp_min_(_TINY)
        score = z.mean(1).div_(norm)
        ctx.save_for_backward(z, norm, score, weight, *parts)
        return score

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        """d score / d z = (1 / size - score z / |z|) / |z|, without the second term at |z| = 0."""
        z, norm, score, weight, *parts = ctx.saved_tensors
        scaled = grad / norm
        turn = torch.where(norm > _TINY, -scaled * score / norm, 0)
        to_z = (z * turn[:, None]).add_((scaled / z.shape[1])[:, None])
        to_weight = torch.cat([to_z.T @ part for part in parts], dim=1)
        pieces = weight.split([part.shape[1] for part in parts], dim=1)
        return to_weight, to_z.sum(0), *(to_z @ piece for piece in pieces)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """total += a b, in place; unlike addmm_ this form is counted by torch's FlopCounterMode."""
    return torch.addmm(total, a, b, out=total)
