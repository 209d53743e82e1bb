"""Does training wait for the cache? Steps fed from it beside steps on tensors already in memory.

GRJCA as published (512 + 128 channels, batches of 12 windows of 300 rows, one network) trains on a
generated cache of float16 features. Every batch is read through the loader of `vapipe fit` and
trained on twice: one of the two steps counts as that of training from the cache, together with the
reading, the other as that of training on tensors in memory. Both see the same state of the machine.
The second time over the first is the speed of training from the cache; 1 would be no wait at all.
One thread by default, where processor time counts.
Run: `python benchmarks/fit.py`, some 5 min on one core.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as vapipe does, before torch loads

import numpy as np
import torch
from torch import nn

from vapipe.cache import FeatureStore, Timeline, Valid
from vapipe.cache.layout import create_cache, write_features, write_labels, write_timeline
from vapipe.fusion import FitConfig, Model, plan_fit
from vapipe.fusion.data.loader import BatchLoader, Tensors
from vapipe.fusion.evaluation.ccc import ccc_loss
from vapipe.fusion.training.schedule import make_optimizer

STREAMS = {"ir50": ("visual", 512), "vggish": ("audio", 128)}
# Aff-Wild2: 356 training videos; windows of 300 at stride 200 over some 1.65 million frames.
AFF_WILD2_BATCHES = 1_650_000 // 200 // 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", type=int, default=24)
    parser.add_argument("--rows", type=int, default=2500)
    parser.add_argument("--policies", default="map,ram,device")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        store = write_cache(Path(folder), options.videos, options.rows)
        print(f"{options.videos} videos of {options.rows} rows, device {options.device}")
        print("| policy | speed | wait for data | step | epoch of Aff-Wild2's size |")
        print("|---|---|---|---|---|")
        for policy in options.policies.split(","):
            measure(store, policy, torch.device(options.device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak resident memory {peak:.0f} MiB, of which torch alone takes some 300")


def measure(store: FeatureStore, policy: str, device: torch.device) -> None:
    """Train two passes under a memory policy; print the second."""
    config = FitConfig(memory=policy, device=str(device), targets="joint")
    plan = plan_fit(store, config)
    model = Model(config=plan.config, dims=plan.dims, layers=plan.layers).to(device).train()
    network = model.networks["joint"]
    optimizer = make_optimizer(network, plan.config)
    loader = BatchLoader(store, plan.config, device)
    order = np.random.default_rng(0).permutation(len(plan.windows))
    windows = [plan.windows[i] for i in order]
    for _ in range(2):  # the first pass warms page cache, allocator and oneDNN
        waited = cached = memory = 0.0
        batches = iter(loader.batches(windows))
        count = 0
        while True:
            began = now(device)
            batch = next(batches, None)
            read = now(device)
            if batch is None:
                break
            train_step(network, optimizer, batch)
            half = now(device)
            train_step(network, optimizer, batch)
            steps = half - read, now(device) - half
            # Taking turns, so that neither is always the one that finds the batch in the caches.
            waited += read - began
            cached += read - began + steps[count % 2]
            memory += steps[1 - count % 2]
            count += 1
    step = cached / count
    print(
        f"| `{policy}` | {memory / cached:.3f} | {waited / cached:.2%} | {step:.2f} s "
        f"| {AFF_WILD2_BATCHES * step / 60:.0f} min |"
    )


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, batch: Tensors) -> None:
    """One step as `Trainer` takes it."""
    output = network(batch.streams, batch.valid, batch.mask)
    loss = sum(
        ccc_loss(output[..., c], batch.labels[..., c], batch.annotated[..., c]) for c in (0, 1)
    )
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimizer.step()


def now(device: torch.device) -> float:
    """Processor time on one CPU thread, else wall time."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    return time.process_time() if alone else time.perf_counter()


def write_cache(root: Path, videos: int, rows: int) -> FeatureStore:
    """Random features and labels; the last video validates."""
    create_cache(root)
    rng = np.random.default_rng(0)
    for index in range(videos):
        video = f"v{index:03d}"
        source = {"name": video, "bytes": 1, "modified_ns": 0, "sha256": video}
        timeline = Timeline.from_pts(np.arange(rows) / 30, nominal_fps=30)
        write_timeline(root, video, timeline, subjects=[video], source=source)
        for stream, (modality, dim) in STREAMS.items():
            with write_features(
                root,
                video,
                stream=stream,
                key=stream.encode().hex().ljust(64, "0"),
                modality=modality,
                rows=rows,
                dim=dim,
                source=source,
                config={"encoder": {"name": stream}},
            ) as shard:
                code = Valid.DETECTED if modality == "visual" else Valid.AUDIO
                features = rng.standard_normal((rows, dim)).astype(np.float16)
                shard.append(features=features, valid=np.full(rows, code, np.uint8))
        labels = np.tanh(rng.standard_normal((rows, 2))).astype(np.float32)
        part = "validation" if index == videos - 1 else "train"
        write_labels(root, video, labels, partition=part, source={})
    return FeatureStore.open(root)


if __name__ == "__main__":
    main()
