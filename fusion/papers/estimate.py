"""How long fits will take: from runs that are finished, else from one timed training step."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from ...cache.durable import canonical_json
from ...cache.store import FeatureStore
from ...device import choose_device
from ..config import FitConfig
from ..data.loader import BatchLoader
from ..data.plan import Plan, make_windows, plan_fit
from ..models.network import Model
from ..training.checkpoint import FitState
from ..training.trainer import Trainer
from .fits import FitTask, is_finished

_FORWARD = 1 / 3  # of a training step: forward, and backward of about twice that


@dataclass(frozen=True)
class Estimate:
    """What is left to do.

    Attributes:
        fits: how many.
        finished: fits that are done already.
        seconds: of one fit after the other, with every epoch that may be; None for no fits.
        measured: fits whose duration is that of finished runs.
        timed: fits whose duration follows from a step that was timed now.
    """

    fits: int
    finished: int
    seconds: float
    measured: int
    timed: int


def estimate(store: FeatureStore, tasks: Sequence[FitTask]) -> Estimate:
    """Estimate how long the unfinished fits take.

    A fit like a finished one but for fold, seed and device takes as long as that. Of the others one
    of each kind takes two training steps on one batch, the second of which is timed; an epoch is
    so many steps as it has batches, a third of a step for each batch of validation, and a fit all
    epochs of all its networks, which early stopping mostly cuts short.

    Raises:
        ConfigError: a finished run with another configuration than its task.
    """
    finished = [task for task in tasks if is_finished(task)]
    known: dict[bytes, list[float]] = {}
    for task in finished:
        known.setdefault(_kind(task.config), []).append(_seconds(task))
    steps: dict[bytes, float] = {}
    total, measured, timed = 0.0, 0, 0
    for task in tasks:
        if task in finished:
            continue
        kind = _kind(task.config)
        if kind in known:
            total += sum(known[kind]) / len(known[kind])
            measured += 1
            continue
        plan = plan_fit(store, task.config)
        if kind not in steps:
            steps[kind] = time_step(store, plan)
        validation = len(make_windows(store, plan.validation, plan.config))
        batches = math.ceil(len(plan.windows) / plan.config.batch)
        batches_after = math.ceil(validation / plan.config.batch)
        epochs = plan.config.epochs * len(plan.config.networks())
        total += steps[kind] * (batches + _FORWARD * batches_after) * epochs
        timed += 1
    return Estimate(len(tasks) - len(finished), len(finished), total, measured, timed)


def time_step(store: FeatureStore, plan: Plan) -> float:
    """Seconds of the second training step of a plan's first network, on a full batch."""
    device = choose_device(plan.config.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        model = Model(config=plan.config, dims=plan.dims, layers=plan.layers).to(device)
        name, network = next(iter(model.networks.items()))
        few = replace(plan, windows=plan.windows[: plan.config.batch])
        loader = BatchLoader(store, plan.config, device)
        trainer = Trainer(name, network, few, loader, FitState())
        trainer.train_epoch(1)
        began = time.monotonic()
        trainer.train_epoch(2)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.monotonic() - began


def _kind(config: FitConfig) -> bytes:
    return canonical_json({**config.to_json(), **dict.fromkeys(("fold", "seed", "device"))})


def _seconds(task: FitTask) -> float:
    lines = (task.folder / "metrics.jsonl").read_text().splitlines()
    return float(sum(json.loads(line)["seconds"] for line in lines))
