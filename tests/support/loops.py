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
