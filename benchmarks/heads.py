"""Times a training step of every complete model next to the machine's best dense rate.

A step is forward and backward of one network (streams -> TCN -> head -> regressor, one target) on
a batch of 12 windows of 300 rows of float16 features in memory, in training mode. GFLOP are those
of matrix products and convolutions as computed (torch's FlopCounterMode), two per multiply-add; the
padding that the TCN's weight gradient multiplies with makes up to 2 % of them. The dense rate
is the best of a matrix product and a convolution, measured in between, as the machine is shared.
On one thread of the CPU (the default there) times are processor time, which other work on the
machine disturbs least; on more threads, or on a GPU, they are wall time.
Run: `python benchmarks/heads.py`, some 10 min on one core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as vapipe does, before torch loads

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from vapipe.fusion import FitConfig, count_parameters, describe_head, list_heads
from vapipe.fusion.evaluation.ccc import ccc_loss
from vapipe.fusion.models.network import Network

BATCH, LENGTH = 12, 300
DIMS = {"video": 512, "audio": 128, "audio2": 128}  # IR-50, VGGish, LogMel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("heads", nargs="*", default=None)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precisions", default="float32,bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    precisions = options.precisions.split(",")
    steps: dict[tuple[str, str], Callable[[], None]] = {}
    facts = {}
    for name in options.heads or list_heads():
        for variant in describe_head(name).variants:
            label = name if variant == describe_head(name).variants[0] else f"{name} {variant}"
            for precision in precisions:
                steps[label, precision], facts[label] = step(name, variant, precision, device)
    rates: dict[str, list[float]] = {precision: [] for precision in precisions}
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
    torch.manual_seed(0)
    roles = list(DIMS)[: max(2, describe_head(name).min_streams)]
    config = FitConfig(head=name, variant=variant, precision=precision).resolved().resolved()
    network = Network(config=config, dims={role: DIMS[role] for role in roles}, outputs=1)
    network.to(device).train()
    streams = {r: torch.randn(BATCH, LENGTH, DIMS[r], device=device).half() for r in roles}
    valid = {r: torch.ones(BATCH, LENGTH, dtype=torch.bool, device=device) for r in roles}
    target = torch.rand(BATCH, LENGTH, device=device) * 2 - 1

    def run() -> None:
        network.zero_grad(set_to_none=True)
        ccc_loss(network(streams, valid)[..., 0], target).backward()

    with FlopCounterMode(display=False) as counter:
        run()
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
    """Duration of one call: processor time on one CPU thread, else wall time."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    if device.type == "cuda":
        torch.cuda.synchronize()
    started = clock()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def report(
    facts: dict[str, tuple[float, int]],
    rates: dict[str, list[float]],
    times: dict[tuple[str, str], list[float]],
    device: torch.device,
) -> None:
    base = "grjca" if "grjca" in facts else next(iter(facts))
    best = {precision: statistics.median(measured) for precision, measured in rates.items()}
    first = next(iter(best))
    print(f"device {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print("dense rate, GFLOP/s:", ", ".join(f"{p} {rate:.0f}" for p, rate in best.items()), "\n")
    columns = [column for p in best for column in (f"{p} ms", "share")]
    columns = ["model", "parameters", "GFLOP", *columns, f"time / {base}", f"GFLOP / {base}"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for label, (gflop, parameters) in facts.items():
        took = {p: statistics.median(times[label, p]) for p in best}
        cells = [f"`{label}`", f"{parameters / 1e6:.2f} M", f"{gflop:.1f}"]
        for precision, rate in best.items():
            cells += [f"{took[precision] * 1e3:.0f}", f"{gflop / took[precision] / rate:.0%}"]
        cells.append(f"{took[first] / statistics.median(times[base, first]):.2f}")
        cells.append(f"{gflop / facts[base][0]:.2f}")
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
