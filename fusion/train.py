"""Training: one function per network that reads from top to bottom."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..cache.errors import ConfigError
from ..cache.store import FeatureStore
from ..device import choose_device, describe_device
from .ccc import ccc_loss
from .config import FitConfig
from .data import Plan, columns, plan_fit, statistics, with_labels
from .feed import Feed, Tensors
from .model import Model, count_parameters
from .runs import start_run, write_evaluation, write_metrics, write_weights
from .scoring import Evaluation, predict, score


@dataclass(frozen=True)
class Epoch:
    """One line of metrics.jsonl.

    Attributes:
        network: valence, arousal or joint.
        epoch: from 1.
        learning_rate: at the end of the epoch.
        loss: mean over the windows of the sum over targets of 1 - CCC.
        ccc: target -> validation CCC (concatenated, float64), and `mean`.
        best: whether these are the best weights so far.
        seconds: duration of training and validation.
    """

    network: str
    epoch: int
    learning_rate: float
    loss: float
    ccc: dict[str, float]
    best: bool
    seconds: float


Progress = Callable[[Epoch], None]


@dataclass(frozen=True)
class FitResult:
    """What a fit gives back.

    Attributes:
        run_dir: the run's folder.
        config: with streams and recursions resolved.
        device: where it ran, for people.
        parameters: trainable values of all networks.
        epochs: every epoch of every network, as in metrics.jsonl.
        evaluation: on the validation partition, with the best weights.
        seconds: of the whole fit.
    """

    run_dir: Path
    config: FitConfig
    device: str
    parameters: int
    epochs: list[Epoch]
    evaluation: Evaluation
    seconds: float


def fit(
    store: FeatureStore,
    config: FitConfig,
    run_dir: Path | None = None,
    progress: Progress | None = None,
) -> FitResult:
    """Train the networks of a configuration and evaluate their best weights.

    The global random state of torch is left as it was.

    Args:
        store: a cache with annotated training and validation videos.
        config: what to train.
        run_dir: folder of the run; None takes the next free `vapipe-runs/<head>-<n>`.
        progress: called after every epoch.

    Raises:
        ConfigError: the configuration does not fit the cache (see `plan_fit`), the folder is in
            use, or the loss stopped being finite.
        CacheError: the cache or the run's folder cannot be read or written.
    """
    began = time.monotonic()
    plan, device = plan_fit(store, config), choose_device(config.device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        model = Model(config=plan.config, dims=plan.dims)
        model.set_statistics(statistics(store, plan.windows, plan.config.streams))
        model.to(device)
        folder = start_run(run_dir, plan, store, device)
        feed = Feed(store, plan.config, device)
        epochs: list[Epoch] = []

        def report(epoch: Epoch) -> None:
            epochs.append(epoch)
            write_metrics(folder, [asdict(e) for e in epochs])
            if progress is not None:
                progress(epoch)

        for name, network in model.networks.items():
            _train(name, network, plan, feed, report)
    predictions = predict(model, feed, plan.validation)
    evaluation = score(store, predictions, partition="validation")
    write_evaluation(folder, evaluation, store)
    write_weights(folder, model)
    return FitResult(
        run_dir=folder,
        config=plan.config,
        device=describe_device(device),
        parameters=count_parameters(model),
        epochs=epochs,
        evaluation=evaluation,
        seconds=time.monotonic() - began,
    )


def _train(
    name: str,
    network: nn.Module,
    plan: Plan,
    feed: Feed,
    report: Progress,
) -> None:
    """Train one network until it stops improving; leave it with its best weights."""
    config, targets = plan.config, plan.config.networks()[name]
    labels = columns(targets)
    windows = with_labels(feed.store, plan.windows, labels)
    steps = math.ceil(len(windows) / config.batch)
    warmup = config.warmup_epochs * steps
    # Seeded anew, so that a network does not depend on how long the one before it trained.
    torch.manual_seed(config.seed)
    optimizer = torch.optim.Adam(
        network.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer,
        mode="max",
        factor=config.plateau_factor,
        patience=config.plateau_patience,
        threshold=0.0,
        min_lr=config.min_learning_rate,
    )
    forward = torch.compile(network) if config.compile else network
    best, best_epoch, best_weights = -math.inf, 0, copy.deepcopy(network.state_dict())
    for epoch in range(1, config.epochs + 1):
        started = time.monotonic()
        network.train()
        draw = np.random.default_rng([config.seed, epoch])
        order = draw.permutation(len(windows))
        total = 0.0
        shuffled = feed.batches([windows[i] for i in order], draw)
        for step, tensors in enumerate(shuffled):
            done = (epoch - 1) * steps + step + 1
            if done <= warmup:
                for group in optimizer.param_groups:
                    group["lr"] = config.learning_rate * done / warmup
            output = forward(tensors.streams, tensors.valid, tensors.mask)
            loss = torch.stack(
                [
                    ccc_loss(output[..., i], tensors.labels[..., c], tensors.annotated[..., c])
                    for i, c in enumerate(labels)
                ]
            ).sum()
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
            if not math.isfinite(loss.item() + norm.item()):
                raise _diverged(name, epoch, step, loss.item(), tensors, optimizer)
            optimizer.step()
            total += loss.item() * len(tensors.windows)

        predictions = predict(network, feed, plan.validation)
        agreement = score(feed.store, predictions, partition="validation", targets=targets).ccc
        improved = agreement["mean"] > best
        if improved:
            best, best_epoch = agreement["mean"], epoch
            best_weights = copy.deepcopy(network.state_dict())
        report(
            Epoch(
                network=name,
                epoch=epoch,
                learning_rate=optimizer.param_groups[0]["lr"],
                loss=total / len(windows),
                ccc=agreement,
                best=improved,
                seconds=time.monotonic() - started,
            )
        )
        if epoch > config.warmup_epochs:
            plateau.step(agreement["mean"])
        if epoch - best_epoch >= config.patience:
            break
    network.load_state_dict(best_weights)


def _diverged(
    name: str, epoch: int, step: int, loss: float, batch: Tensors, optimizer: torch.optim.Optimizer
) -> ConfigError:
    rows = ", ".join(f"{w.video}[{w.start}:{w.stop}]" for w in batch.windows[:3])
    more = f" and {len(batch.windows) - 3} more" if len(batch.windows) > 3 else ""
    return ConfigError(
        f"training of the {name} network diverged: the loss is {loss} and its gradient is not "
        f"finite in epoch {epoch}, batch {step + 1} (windows {rows}{more}) at learning rate "
        f"{optimizer.param_groups[0]['lr']:.3g}; fit with a lower --learning-rate or more "
        "--warmup-epochs"
    )
