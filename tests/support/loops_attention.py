"""Attention, layer norm and positions by straight loops, to check fast code against.

Vectors are lists of floats; a window is a list of rows; `exists` says which rows count.
A `mutation` names what is computed wrongly on purpose, to show that a test would notice.
"""

import math

import torch
from loops import dot, linear, relu, softmax


def linear_any(module, vector):
    """W v, plus b where the module has one."""
    if module.bias is not None:
        return linear(module, vector)
    weight = module.weight.detach().numpy()
    return [sum(w * v for w, v in zip(row, vector, strict=True)) for row in weight]


def layer_norm(module, vector):
    mean = sum(vector) / len(vector)
    variance = sum((v - mean) ** 2 for v in vector) / len(vector)
    gain, bias = module.weight.detach().numpy(), module.bias.detach().numpy()
    return [
        gain[c] * (v - mean) / math.sqrt(variance + module.eps) + bias[c]
        for c, v in enumerate(vector)
    ]


def add(left, right):
    return [a + b for a, b in zip(left, right, strict=True)]


def attention_over_time(module, x, y, exists, mutation=""):
    """Every existing row of x asks the existing rows of y -> {frame: row}, {frame: weights}."""
    frames = [i for i, here in enumerate(exists) if here]
    seen = range(len(exists)) if mutation == "padding is seen" else frames
    query = {i: linear_any(module.query, x[i]) for i in frames}
    key = {i: linear_any(module.key, y[i]) for i in seen}
    value = {i: linear_any(module.value, y[i]) for i in seen}
    size = len(query[frames[0]]) // module.heads
    root = 1.0 if mutation == "no scale" else math.sqrt(size)
    out, weights = {}, {}
    for i in frames:
        row, weights[i] = [], []
        asked = [j for j in seen if mutation != "the future is hidden" or j <= i]
        for head in range(module.heads):
            part = slice(head * size, (head + 1) * size)
            weight = softmax([dot(query[i][part], key[j][part]) / root for j in asked])
            weights[i].append(weight)
            row += [
                sum(w * value[j][part][c] for w, j in zip(weight, asked, strict=True))
                for c in range(size)
            ]
        out[i] = linear(module.output, row)
    return out, weights


def encoder(module, x, exists, mutation=""):
    """A transformer encoder, normalised after each part; x [L][width] -> {frame: row}."""
    rows = {i: x[i] for i, here in enumerate(exists) if here}
    for layer in module.layers:
        window = [rows.get(i, [0.0] * len(x[0])) for i in range(len(exists))]
        attended, _ = attention_over_time(layer.attention, window, window, exists, mutation)
        for i in rows:
            kept = [0.0] * len(x[0]) if mutation == "no residual" else rows[i]
            row = add(kept, attended[i])
            if mutation != "no layer norm":
                row = layer_norm(layer.norm1, row)
            row = add(row, linear(layer.output, relu(linear(layer.hidden, row))))
            rows[i] = layer_norm(layer.norm2, row)
    return rows


def positions(frames, width):
    table = []
    for frame in range(frames):
        row = []
        for channel in range(width):
            angle = frame / 10000 ** (2 * (channel // 2) / width)
            row.append(math.sin(angle) if channel % 2 == 0 else math.cos(angle))
        table.append(row)
    return table


MASKS = {
    "no mask": None,
    "a tail": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
    "holes": [[1, 0, 1, 1, 0], [0, 0, 1, 0, 1]],
    "an empty window": [[0, 0, 0, 0, 0], [1, 1, 0, 1, 1]],
}


def largest_difference(head, by_loops, *, masks="no mask", mutation="", dtype=torch.float64):
    """Compare a head with loops that map (head, one window {role: [L][D]}, exists, mutation)
    to rows [L][out_dim], on two windows of five frames; rows that do not exist must be zeros."""
    torch.manual_seed(4)
    x = {role: torch.randn(2, 5, dim, dtype=torch.float64) for role, dim in head.dims.items()}
    mask = None if MASKS[masks] is None else torch.tensor(MASKS[masks]).bool()
    exact = head.double()
    exists = torch.ones(2, 5, dtype=torch.bool) if mask is None else mask
    expected = torch.zeros(2, 5, head.out_dim, dtype=torch.float64)
    for b in range(2):
        window = {role: v[b].masked_fill(~exists[b, :, None], 0).tolist() for role, v in x.items()}
        if exists[b].any():
            for i, row in by_loops(exact, window, exists[b].tolist(), mutation).items():
                expected[b, i] = torch.tensor(row, dtype=torch.float64)
    out = head.to(dtype)({role: v.to(dtype) for role, v in x.items()}, mask)
    return (out.double() - expected).abs().max().item()


def generic(head, seed=3):
    """The head in float64 and evaluation, with parameters that are nowhere zero or one."""
    torch.manual_seed(seed)
    head = head.double().eval()
    for parameter in head.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return head
