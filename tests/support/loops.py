"""Small pieces of equations by straight loops, to check fast code against."""

import math


def linear(module, vector):
    """W v + b for one vector; `module` holds `weight` and `bias`."""
    weight, bias = module.weight.detach().numpy(), module.bias.detach().numpy()
    return [
        bias[o] + sum(weight[o, i] * vector[i] for i in range(len(vector)))
        for o in range(len(bias))
    ]


def relu(values):
    return [max(value, 0.0) for value in values]


def softmax(values):
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [power / sum(powers) for power in powers]


def sigmoid(value):
    return 1 / (1 + math.exp(-value))


def dot(left, right):
    return sum(a * b for a, b in zip(left, right, strict=True))


def lstm(module, rows, h=None, c=None):
    """h after every row of one direction of an `nn.LSTM`; gates in the order i, f, g, o."""
    w_ih, w_hh, b_ih, b_hh = (p.detach().tolist() for p in module.parameters())
    size = len(w_hh[0])
    h, c = h or [0.0] * size, list(c or [0.0] * size)
    out = []
    for row in rows:
        total = [dot(w_ih[o], row) + dot(w_hh[o], h) + b_ih[o] + b_hh[o] for o in range(4 * size)]
        for k in range(size):
            new = sigmoid(total[k]) * math.tanh(total[2 * size + k])
            c[k] = sigmoid(total[size + k]) * c[k] + new
        h = [sigmoid(total[3 * size + k]) * math.tanh(c[k]) for k in range(size)]
        out.append(h)
    return out


def bilstm(module, x, exists, start=(None, None, None, None)):
    """Both directions over the existing rows alone -> {frame: past, then future}.

    `start` is h of the past and of the future, then c of both.
    """
    frames = [i for i, here in enumerate(exists) if here]
    past = lstm(module.past, [x[i] for i in frames], start[0], start[2])
    future = lstm(module.future, [x[i] for i in reversed(frames)], start[1], start[3])
    return {i: p + f for i, p, f in zip(frames, past, reversed(future), strict=True)}
