"""Fits: from a configuration and a cache to a run folder, also after an interruption."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...cache.store import FeatureStore
from ...device import choose_device, describe_device
from ...device_faults import device_errors
from ...errors import FitInterrupted, RunError, counted
from ...numerics import reproducibly
from ..acting import require_acting
from ..config import FitConfig
from ..data.loader import BatchLoader
from ..data.plan import Plan, plan_fit, statistics
from ..evaluation.results import write_evaluation
from ..evaluation.scoring import Evaluation, predict_gated, score
from ..models.network import Model, count_parameters
from ..models.stages import start_from
from ..runs.folder import (
    check_unchanged,
    read_config,
    read_unfinished,
    start_run,
    write_metrics,
    write_weights,
)
from .checkpoint import CHECKPOINT, FitState, Saved, read_checkpoint, save_checkpoint
from .trackers import track
from .trainer import Epoch, Trainer

_PARAMETERS_PER_FRAME = 100  # the published networks have 2 to 10 on Aff-Wild2

Started = Callable[[Plan], None]
Progress = Callable[[Epoch], None]


@dataclass(frozen=True)
class FitResult:
    """What a fit gives back.

    Attributes:
        run_dir: the run's folder.
        config: with everything resolved.
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
    *,
    named: Sequence[str] = (),
    started: Started | None = None,
    trackers: Sequence[str] = (),
) -> FitResult:
    """Train the networks of a configuration and evaluate their best weights.

    The global random state of torch is left as it was. After every epoch the run folder holds a
    checkpoint, from which `resume` goes on to the same numbers.

    Args:
        store: a cache with annotated training and validation videos.
        run_dir: folder of the run; None takes the next free `vapipe-runs/<head>-<n>`.
        named: options that were set by hand and must act.
        started: called with the plan before anything is trained or written.
        trackers: told of every epoch, too: tensorboard, wandb, mlflow.

    Raises:
        RunError: the configuration does not fit the cache (see `plan_fit`), the folder is in
            use, or the loss stopped being finite.
        CacheError: the cache or the run's folder cannot be read or written.
        FitInterrupted: in place of KeyboardInterrupt; names the folder.
    """
    plan, device = plan_fit(store, config), choose_device(config.device)
    require_acting(plan.config, named)
    if started is not None:
        started(plan)
    if config.init_from:  # refuses weights that mean something else by now
        read_config(Path(config.init_from))
    folder = start_run(run_dir, plan, store, device)
    with _training(folder, device):
        return _fit(plan, store, device, folder, FitState(), None, progress, trackers)


def resume(
    store: FeatureStore,
    run_dir: Path,
    config: FitConfig | None = None,
    progress: Progress | None = None,
    *,
    started: Started | None = None,
    trackers: Sequence[str] = (),
) -> FitResult:
    """Go on with a run that was interrupted, to the same numbers on the same machine.

    Args:
        config: what the caller believes the configuration to be; None takes the run's.

    Raises:
        RunError: not an interrupted run, another configuration (the differences are named), or
            the cache has changed since it began.
        CacheError: the cache or the run's folder cannot be read or written.
    """
    stored = read_unfinished(run_dir)
    plan = plan_fit(store, stored if config is None else config)
    changed = stored.differences(plan.config)
    if changed:
        raise RunError(
            f"the run {run_dir} was started with another configuration ({changed}); "
            "resume it without options, or fit anew"
        )
    device = choose_device(stored.device)
    check_unchanged(run_dir, plan, store)
    if started is not None:
        started(plan)
    state, saved = FitState(), None
    if (run_dir / CHECKPOINT).exists():  # else it was interrupted in the first epoch
        state, saved = read_checkpoint(run_dir)
    with _training(run_dir, device):
        return _fit(plan, store, device, run_dir, state, saved, progress, trackers)


def _remark_size(parameters: int, store: FeatureStore, plan: Plan) -> list[str]:
    """Point out a network that has far more parameters than annotated frames to learn from."""
    names = plan.config.target_names or None
    frames = sum(int(np.isfinite(store.labels(v, names)).any(axis=1).sum()) for v in plan.train)
    if parameters <= _PARAMETERS_PER_FRAME * frames:
        return []
    return [
        f"{counted(parameters, 'parameter')} fitted to "
        f"{counted(frames, 'annotated frame')}, which is far too few: the "
        "scores say little; more videos, or narrower networks (--set tcn_channels.video=[32,32])"
    ]


@contextmanager
def _training(folder: Path, device: torch.device) -> Iterator[None]:
    try:
        with device_errors(str(device)), reproducibly(device):
            yield
    except KeyboardInterrupt as interrupt:
        raise FitInterrupted(folder) from interrupt


def _fit(
    plan: Plan,
    store: FeatureStore,
    device: torch.device,
    folder: Path,
    state: FitState,
    saved: Saved | None,
    progress: Progress | None,
    trackers: Sequence[str],
) -> FitResult:
    """Train what `state` leaves to be trained."""
    began = time.monotonic()
    config = plan.config
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        model = Model(config=config, dims=plan.dims, layers=plan.layers)
        if saved is None:
            model.set_statistics(statistics(store, plan.windows, config.streams))
            if config.init_from:
                start_from(model, Path(config.init_from))
        else:
            model.load_state_dict(saved["model"])
        model.to(device)
        loader = BatchLoader(store, config, device)
        with track(trackers, folder, config.to_json(), len(state.records)) as tell:
            for name, network in model.networks.items():
                if name in state.finished:
                    continue
                begun = state.network == name
                trainer = Trainer(name, network, plan, loader, state)
                if saved is not None and begun:
                    trainer.restore(saved)
                while not trainer.done:
                    epoch = trainer.run_epoch()
                    save_checkpoint(folder, state, model, trainer.best_weights, trainer.optimizer)
                    write_metrics(folder, state.records)
                    tell(state.records)
                    if progress is not None:
                        progress(epoch)
                trainer.finish()
    predictions, gates = predict_gated(model, loader, plan.validation)
    remarks = _remark_size(count_parameters(model), store, plan)
    evaluation = score(
        store,
        predictions,
        partition="validation",
        targets=config.learned,
        conditions={"notes": remarks} if remarks else {},
        gates=gates,
    )
    write_metrics(folder, state.records)
    write_evaluation(folder, evaluation, store)
    write_weights(folder, model)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return FitResult(
        run_dir=folder,
        config=config,
        device=describe_device(device),
        parameters=count_parameters(model),
        epochs=[Epoch(**record) for record in state.records],
        evaluation=evaluation,
        seconds=time.monotonic() - began,
    )
