"""The joint cross-attention family by straight loops, one window at a time.

x is role -> [L][d_m], `exists` [L]; sums run over existing frames only. `mutation` names an
equation to get wrong, so that tests can show that they would notice.
"""

import math

import numpy as np
import pytest
import torch
from loops import bilstm, dot, linear, relu, softmax
from released_vectors import Vector
from torch import nn

from vapipe.fusion import create_head
from vapipe.fusion.models.heads.frame_linear import FrameLinear

HOLES = [(), (4, 5), (0, 2)]
PAPER = {"variant": "paper"}
FREE = {"variant": "paper", "mixing": "channels"}
VARIANTS = [
    pytest.param({}, id="official"),
    pytest.param(PAPER, id="paper"),
    pytest.param(FREE, id="paper channels"),
]
LENGTH = 6


def make(name, dims=None, length=LENGTH, **options):
    """A head in float64 whose parameters are all random."""
    torch.manual_seed(3)
    head = create_head(name, dims or {"video": 4, "audio": 3}, length=length, **options)
    head = head.double().eval()
    for parameter in head.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return head


def inputs(head, batch=2, frames=LENGTH):
    torch.manual_seed(4)
    return {
        role: torch.randn(batch, frames, dim, dtype=torch.float64)
        for role, dim in head.dims.items()
    }


def difference(head, by_loops, mutation="", holes=()):
    """Largest difference from the loops over two windows, the second with holes."""
    x = inputs(head)
    mask = torch.ones(2, LENGTH, dtype=torch.bool)
    mask[1, list(holes)] = False
    out = head(x, mask if holes else None).detach().numpy()
    windows = [{role: v[b].tolist() for role, v in x.items()} for b in range(2)]
    expected = [by_loops(head, w, mask[b].tolist(), mutation) for b, w in enumerate(windows)]
    return max(
        abs(out[b, i] - (row if mask[b, i] else np.zeros(head.out_dim))).max()
        for b in range(2)
        for i, row in enumerate(expected[b])
    )


def float32_difference(head):
    x = inputs(head)
    exact = head(x)
    return (head.float()({role: v.float() for role, v in x.items()}) - exact).abs().max()


def gradients_are_right(head):
    """gradcheck over streams and parameters, a hole in the mask."""
    x = {role: v[:1, :3].requires_grad_() for role, v in inputs(head).items()}
    mask = torch.tensor([[True, False, True]])
    return torch.autograd.gradcheck(
        lambda *values: head(dict(zip(x, values, strict=False)), mask),
        (*x.values(), *head.parameters()),
        fast_mode=True,
    )


def gate(module, asked, steps, mutation=""):
    """softmax(Linear(asked) / 0.1) weighs the steps; or all alike, or the last alone."""
    if module.kind == "uniform":
        return [sum(values) / len(steps) for values in zip(*steps, strict=True)]
    if module.kind == "none":
        return list(steps[-1])
    temperature = 1.0 if mutation == "no temperature" else 0.1
    weights = softmax([v / temperature for v in linear(module, asked)])
    if mutation == "gate order":
        weights.reverse()
    return weighted_sum(weights, steps)


def weighted_sum(weights, steps):
    return [
        sum(w * v for w, v in zip(weights, row, strict=True)) for row in zip(*steps, strict=True)
    ]


def matrix(module):
    """Weights without bias."""
    return module.weight.detach().numpy()


def product(weights, vector):
    return [sum(weights[o, i] * vector[i] for i in range(len(vector))) for o in range(len(weights))]


def released_block(block, x, exists, mutation=""):
    """One released recursion: scores of channel against channel."""
    frames = [i for i, here in enumerate(exists) if here]
    size = sum(len(rows[0]) for rows in x.values())
    joint = {i: [v for rows in x.values() for v in rows[i]] for i in frames}
    if isinstance(block.joint, nn.Linear):
        joint = {i: linear(block.joint, row) for i, row in joint.items()}
    out = {}
    for role, rows in x.items():
        mix = matrix(block.key[role])
        bias = block.key[role].bias.detach().numpy()
        channels = len(rows[0])
        key = [
            {j: bias[j] + sum(mix[j, i] * rows[i][c] for i in frames) for j in frames}
            for c in range(channels)
        ]
        root = 1.0 if mutation == "no scale" else math.sqrt(size)
        scores = [
            [sum(key[c][j] * joint[j][e] for j in frames) / root for e in range(size)]
            for c in range(channels)
        ]
        if mutation != "no tanh of the scores":
            scores = [[math.tanh(value) for value in row] for row in scores]
        out[role] = [[0.0] * channels for _ in rows]
        for i in frames:
            value = linear(block.value[role], rows[i])
            if mutation == "tanh before the product":
                value = [math.tanh(v) for v in value]
            hidden = [sum(value[c] * scores[c][e] for c in range(channels)) for e in range(size)]
            if mutation != "tanh before the product":
                hidden = [math.tanh(h) for h in hidden]
            added = relu(linear(block.output[role], relu(hidden)))
            kept = [0.0] * channels if mutation == "no residual" else rows[i]
            out[role][i] = [k + a for k, a in zip(kept, added, strict=True)]
    return out


def published_block(block, x, exists, mutation=""):
    """One recursion of the paper: scores of frame against frame."""
    frames = [i for i, here in enumerate(exists) if here]
    size = sum(len(rows[0]) for rows in x.values())
    joint = {i: linear(block.joint, [v for rows in x.values() for v in rows[i]]) for i in frames}
    w_j, first, out = matrix(block.correlate), 0, {}
    for role, rows in x.items():
        channels = len(rows[0])
        own = w_j[first : first + channels]
        first += channels
        root = 1.0 if mutation == "no scale" else math.sqrt(size)
        scores = {
            (i, j): dot(rows[i], product(own, joint[j])) / root for i in frames for j in frames
        }
        if mutation != "no tanh of the scores":
            scores = {at: math.tanh(value) for at, value in scores.items()}
        if mutation == "scores transposed":
            scores = {(j, i): value for (i, j), value in scores.items()}
        w_c, w_h = matrix(block.value[role]), matrix(block.output[role])
        mixes_frames = isinstance(block.value[role], FrameLinear)
        if not mixes_frames:
            value = {i: product(w_c, rows[i]) for i in frames}
        else:
            value = {
                k: [sum(w_c[k, i] * rows[i][c] for i in frames) for c in range(channels)]
                for k in frames
            }
        hidden = {
            j: [sum(value[i][c] * scores[i, j] for i in frames) for c in range(channels)]
            for j in frames
        }
        if mutation != "no ReLU":
            hidden = {j: relu(row) for j, row in hidden.items()}
        out[role] = [[0.0] * channels for _ in rows]
        for j in frames:
            if not mixes_frames:
                added = product(w_h, hidden[j])
            else:
                added = [sum(w_h[j, i] * hidden[i][c] for i in frames) for c in range(channels)]
            kept = [0.0] * channels if mutation == "no residual" else rows[j]
            out[role][j] = [k + a for k, a in zip(kept, added, strict=True)]
    return out


def unit(x):
    return {
        role: [[v / (math.sqrt(dot(row, row)) or 1.0) for v in row] for row in rows]
        for role, rows in x.items()
    }


def before(head, x, exists, mutation=""):
    """What DCA has before its attention: a Linear on the first stream, BiLSTMs on all."""
    x = dict(x)
    if mutation != "no guide":
        first = next(iter(x))
        x[first] = [linear(head.guide, row) for row in x[first]]
    if mutation == "no BiLSTM before":
        return x
    out = {}
    for role, rows in x.items():
        found = residual_bilstm(head.before[role], rows, exists, mutation)
        out[role] = [found.get(i, [0.0] * len(rows[0])) for i in range(len(rows))]
    return out


def recur(head, x, exists, mutation=""):
    """[x^0, ..., x^M] of one window."""
    steps = [unit(x) if head.normalize and mutation != "no l2 norm" else x]
    if getattr(head, "guide", None) is not None:
        steps = [before(head, steps[0], exists, mutation)]
    block_by_loops = published_block if head.variant == "paper" else released_block
    for block in head.attention:
        steps.append(block_by_loops(block, steps[-1], exists, mutation))
    return steps


def residual_bilstm(module, rows, exists, mutation=""):
    """The released BiLSTM block over the existing rows -> {frame: row}."""
    count, here = len(module.layers), [i for i, counted in enumerate(exists) if counted]
    starts = module.init_hidden.tolist()
    h = dict(enumerate(rows))
    for k, layer in enumerate(module.layers):
        own = [starts[2 * at + d] for at in (k, count + k) for d in (0, 1)]
        if mutation == "starts from zeros":
            own = [None] * 4
        elif mutation == "states of the start swapped":
            own = own[2:] + own[:2]
        h = bilstm(layer, h, exists, own)
    if mutation == "one direction only":
        h = {i: [*row[: len(row) // 2], *[0.0] * (len(row) // 2)] for i, row in h.items()}
    out = {}
    for i in here:
        parts = h[i] + rows[i] if mutation == "input last" else rows[i] + h[i]
        z = linear(module.linear, parts)
        length = 1.0 if mutation == "no unit norm" else math.sqrt(dot(z, z))
        out[i] = [v / length for v in z]
    return out


def released_difference(name, by_loops, mutation=""):
    """Largest difference of the loops, with the released parameters, from the released output."""
    vector = Vector(name)
    head, exists = vector.module(), [True] * vector.output.shape[1]
    roles = {role: vector.inputs[given].tolist() for given, role in vector.case.roles}
    return max(
        np.abs(np.array(by_loops(head, window, exists, mutation)) - vector.output[b].numpy()).max()
        for b, window in enumerate(
            {role: x[b] for role, x in roles.items()} for b in range(len(vector.output))
        )
    )


SMALL = {"joint_width": 7}  # of DCA: 4 + 3 channels, so that leaving the block out is seen


def grjca(head, x, exists, mutation=""):
    steps = recur(head, x, exists, mutation)
    asked = steps[0 if mutation == "gate from the input" else -1]
    return [
        [
            v
            for role in x
            for v in relu(
                gate(head.gate[role], asked[role][i], [s[role][i] for s in steps], mutation)
            )
        ]
        for i in range(len(exists))
    ]


def hgrjca(head, x, exists, mutation=""):
    steps = recur(head, x, exists, mutation)
    last = len(steps) - 1
    from_start = head.variant == "official"
    out = []
    for i in range(len(exists)):
        row = []
        for role in x:
            own = [step[role][i] for step in steps]
            stages = []
            for t in range(1, last + 1):
                asked = own[t - 1 if mutation == "stages ask the step before" else t]
                seen = own[0 if from_start else t - 1 : t + 1]
                stage = gate(head.stage[t - 1][role], asked, seen, mutation)
                stages.append(stage if mutation == "stages without ReLU" else relu(stage))
            fused = stages[-1]
            if last > 1:
                asked = stages[-1] if mutation == "last gate asks the stages" else own[-1]
                fused = gate(head.gate[role], asked, stages, mutation)
            row += relu(fused)
        out.append(row)
    return out


def dca(head, x, exists, mutation=""):
    steps = recur(head, x, exists, mutation)
    out = []
    for i in range(len(exists)):
        row = []
        for role in x:
            old, new = steps[0][role][i], steps[-1][role][i]
            asked = old if mutation == "gate from the input" else new
            gated = gate(head.gate[role], asked, [old, new], mutation)
            row += gated if mutation == "no ReLU at the end" else relu(gated)
        out.append(row)
    if head.joint is not None and mutation != "no BiLSTM after":
        after = residual_bilstm(head.joint, out, exists, mutation)
        out = [after.get(i, [0.0] * head.out_dim) for i in range(len(exists))]
    return out
