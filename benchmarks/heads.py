"""Times a training step of every complete model next to the machine's best dense rate.

A step is forward and backward of one network (streams -> TCN -> head -> regressor, one target) on
a batch of 12 windows of 300 rows of float16 features in memory, in training mode. GFLOP are those
of matrix products and convolutions (torch's FlopCounterMode), two per multiply-add. The dense rate
is the best of a matrix product and a convolution, measured in between, as the machine is shared.
Run: `python benchmarks/heads.py`, some 5 min on two cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in cli.py

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from vapipe.fusion import FitConfig, count_parameters, describe_head, list_heads
from vapipe.fusion.ccc import ccc_loss
from vapipe.fusion.model import Network

BATCH, LENGTH = 12, 300
DIMS = {"video": 512, "audio": 128, "audio2": 128}  # IR-50, VGGish, LogMel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", nargs="*", default=None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    device = torch.device(options.device)
    steps: dict[tuple[str, str], Callable[[], None]] = {}
    facts = {}
    for name in options.heads or list_heads():
        for variant in describe_head(name).variants:
            label = name if variant == describe_head(name).variants[0] else f"{name} {variant}"
            steps[label, "float32"], facts[label] = step(name, variant, "float32", device)
            steps[label, "bfloat16"], _ = step(name, variant, "bfloat16", device)
    rates: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    times: dict[tuple[str, str], list[float]] = {key: [] for key in steps}
    for key, run in steps.items():
        run()  # allocation, oneDNN's primitives
        times[key] = []
    for _ in range(options.rounds):  # interleaved: a noisy minute hits all alike
        for precision, measured in rates.items():
            measured.append(dense_rate(getattr(torch, precision), device))
        for key, run in steps.items():
            times[key].append(seconds(run, device))
    report(facts, rates, times, device)


def step(
    name: str, variant: str, precision: str, device: torch.device
) -> tuple[Callable[[], None], tuple[float, int]]:
    """A training step as a function, and its (GFLOP, parameters)."""
    roles = list(DIMS)[: max(2, describe_head(name).min_streams)]
    config = FitConfig(head=name, variant=variant, precision=precision)

    def prepare(device: torch.device) -> tuple[Network, Callable[[], None]]:
        network = Network(config=config, dims={role: DIMS[role] for role in roles}, outputs=1)
        network.to(device).train()
        streams = {r: torch.randn(BATCH, LENGTH, DIMS[r], device=device).half() for r in roles}
        valid = {r: torch.ones(BATCH, LENGTH, dtype=torch.bool, device=device) for r in roles}
        target = torch.rand(BATCH, LENGTH, device=device) * 2 - 1

        def run() -> None:
            network.zero_grad(set_to_none=True)
            ccc_loss(network(streams, valid)[..., 0], target).backward()

        return network, run

    _, counted = prepare(torch.device("meta"))  # the operations of the equations, none computed
    with FlopCounterMode(display=False) as counter:
        counted()
    network, run = prepare(device)
    return run, (counter.get_total_flops() / 1e9, count_parameters(network))


def dense_rate(dtype: torch.dtype, device: torch.device) -> float:
    """GFLOP/s of the faster of a matrix product and a convolution of a TCN's size and layout."""
    n = 1536
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    x = torch.randn(BATCH, LENGTH, 512, device=device, dtype=dtype).mT.unsqueeze(2)
    weight = torch.randn(512, 512, 1, 5, device=device, dtype=dtype)
    weight = weight.contiguous(memory_format=torch.channels_last)
    product = min(seconds(lambda: a @ b, device) for _ in range(3))
    convolution = min(
        seconds(lambda: F.conv2d(x, weight, padding=(0, 2)), device) for _ in range(3)
    )
    flops = 2 * BATCH * LENGTH * 512 * 512 * 5
    return max(2 * n**3 / product, flops / convolution) / 1e9


def seconds(run: Callable[[], object], device: torch.device) -> float:
    """Wall time of one call."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def report(
    facts: dict[str, tuple[float, int]],
    rates: dict[str, list[float]],
    times: dict[tuple[str, str], list[float]],
    device: torch.device,
) -> None:
    best = {precision: statistics.median(measured) for precision, measured in rates.items()}
    print(f"device {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(f"dense rate, GFLOP/s: float32 {best['float32']:.0f}, bfloat16 {best['bfloat16']:.0f}\n")
    print("| model | parameters | GFLOP | float32 ms | share | bfloat16 ms | share | gain |")
    print("|---|---|---|---|---|---|---|---|")
    for label, (gflop, parameters) in facts.items():
        took = {p: statistics.median(times[label, p]) for p in best}
        share = {p: gflop / took[p] / best[p] for p in best}
        print(
            f"| `{label}` | {parameters / 1e6:.2f} M | {gflop:.1f} "
            f"| {took['float32'] * 1e3:.0f} | {share['float32']:.0%} "
            f"| {took['bfloat16'] * 1e3:.0f} | {share['bfloat16']:.0%} "
            f"| {took['float32'] / took['bfloat16']:.2f} |"
        )


if __name__ == "__main__":
    main()
