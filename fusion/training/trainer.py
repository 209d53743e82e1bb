"""Training of one network, epoch by epoch."""

from __future__ import annotations

import copy
import math
import statistics
import time
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import nn

from ...errors import TrainingDivergedError, some
from ...progress import tell
from ..data.loader import BatchLoader, Tensors, counted_frames
from ..data.plan import Plan, keep_annotated
from ..evaluation.ccc import ccc_loss
from ..evaluation.scoring import predict, score
from ..models.stages import freeze, set_training
from .checkpoint import FitState, Saved, restore_optimizer
from .schedule import Schedule, make_optimizer


@dataclass(frozen=True)
class Epoch:
    """One line of metrics.jsonl.

    Attributes:
        network: valence, arousal or joint.
        epoch: from 1.
        learning_rate: at the end of the epoch.
        loss: mean over the training windows of the sum over targets of 1 - CCC.
        gradient_norm: median over the steps, before clipping.
        clipped: share of the steps whose gradient was clipped.
        ccc: target -> validation CCC (concatenated, float64), and `mean`.
        best: whether these are the best weights so far.
        seconds: duration of training and validation.
        validation_loss: as `loss`, over the windows of the validation videos, with the weights
            after the epoch; None in runs of earlier versions.
    """

    network: str
    epoch: int
    learning_rate: float
    loss: float
    gradient_norm: float
    clipped: float
    ccc: dict[str, float]
    best: bool
    seconds: float
    validation_loss: float | None = None


class Trainer:
    """Trains a network until it stops improving.

    An epoch depends on the seed, its number, and the state that a checkpoint keeps; on nothing that
    ran before it in this process.

    Attributes:
        state: where the fit stands; kept up to date.
        best_weights: those of the best epoch so far.
        optimizer: with its state.
    """

    def __init__(
        self, name: str, network: nn.Module, plan: Plan, loader: BatchLoader, state: FitState
    ) -> None:
        """Prepare the training of one of the model's networks."""
        self.name = name
        self.network = network
        self.plan = plan
        self.loader = loader
        self.state = state
        self.config = plan.config
        self.targets = self.config.networks()[name]
        self.labels = [self.config.learned.index(target) for target in self.targets]
        self.windows = keep_annotated(loader.store, plan.windows, self.targets, self.config)
        self.largest_norm = self.config.clip_norm or math.inf
        self.steps = math.ceil(len(self.windows) / self.config.batch)
        freeze(network, self.config.freeze)
        self.optimizer = make_optimizer(network, self.config)
        self.schedule = Schedule(self.optimizer, self.config, self.steps)
        self.best_weights = copy.deepcopy(network.state_dict())
        self.forward = torch.compile(network) if self.config.compile else network
        if state.network != name:
            state.network, state.epoch, state.best, state.best_epoch = name, 0, -math.inf, 0

    def restore(self, saved: Saved) -> None:
        """Go on from a checkpoint; the network has its weights already."""
        device = self.loader.device
        self.best_weights = {name: value.to(device) for name, value in saved["best"].items()}
        restore_optimizer(self.optimizer, saved["optimizer"])
        self.schedule.load_state_dict(self.state.schedule)

    @property
    def done(self) -> bool:
        """Whether the epochs, or the patience, are used up."""
        state, config = self.state, self.config
        waited = state.epoch - max(state.best_epoch, config.warmup_epochs)
        return state.epoch >= config.epochs or waited >= config.patience

    def run_epoch(self) -> Epoch:
        """Train on every window once, and validate.

        Raises:
            TrainingDivergedError: the loss stopped being finite; `state` is still that of the last
                epoch.
        """
        state, epoch, started = self.state, self.state.epoch + 1, time.monotonic()
        loss, norms = self.train_epoch(epoch)
        total = torch.zeros(2, len(self.targets), device=self.loader.device)

        def weigh(tensors: Tensors, output: torch.Tensor) -> None:
            windows = counted_frames(tensors, self.config)[..., self.labels].any(1).sum(0)
            total.add_(torch.stack([self._losses(output, tensors) * windows, windows]))

        agreement = score(
            self.loader.store,
            predict(self.network, self.loader, self.plan.validation, weigh),
            partition="validation",
            targets=self.targets,
        ).ccc
        losses, windows = total.cpu()
        result = Epoch(
            network=self.name,
            epoch=epoch,
            learning_rate=self.schedule.rate,
            loss=loss,
            gradient_norm=statistics.median(norms),
            clipped=sum(norm > self.largest_norm for norm in norms) / len(norms),
            ccc=agreement,
            best=agreement["mean"] > state.best,
            seconds=time.monotonic() - started,
            validation_loss=float((losses / windows).sum()),
        )
        if result.best:
            state.best, state.best_epoch = agreement["mean"], epoch
            self.best_weights = copy.deepcopy(self.network.state_dict())
        elif self.config.restore_best == "each_epoch":
            self.network.load_state_dict(self.best_weights)
        self.schedule.after_epoch(epoch, agreement["mean"])
        state.epoch, state.schedule = epoch, self.schedule.state_dict()
        state.records.append(asdict(result))
        return result

    def finish(self) -> None:
        """Leave the network with its best weights."""
        self.network.load_state_dict(self.best_weights)
        self.state.finished.append(self.name)

    def train_epoch(self, epoch: int) -> tuple[float, list[float]]:
        """Take one step per batch; the mean loss over the windows, the gradient's norms."""
        config = self.config
        rng = np.random.default_rng([config.seed, epoch])
        torch.manual_seed(int(rng.integers(2**63)))
        order = rng.permutation(len(self.windows))
        set_training(self.network, config.freeze)
        total, norms = 0.0, []
        self._tell(epoch, 0)
        for step, tensors in enumerate(self.loader.batches([self.windows[i] for i in order], rng)):
            self.schedule.before_step((epoch - 1) * self.steps + step + 1)
            output = self.forward(tensors.streams, tensors.valid, tensors.mask)
            loss = self._losses(output, tensors).sum()
            self.optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.largest_norm)
            # One look at the device per step, for both.
            lost, length = torch.stack([loss.detach().float(), norm.float()]).cpu().tolist()
            if not math.isfinite(lost + length):
                raise self._diverged(epoch, step, lost, tensors)
            self.optimizer.step()
            total += lost * len(tensors.windows)
            norms.append(length)
            self._tell(epoch, step + 1)
        return total / len(self.windows), norms

    def _losses(self, output: torch.Tensor, tensors: Tensors) -> torch.Tensor:
        """1 - CCC of a batch per target, [targets], each the mean over its annotated windows."""
        counted = counted_frames(tensors, self.config)
        return torch.stack(
            [
                ccc_loss(
                    output[..., i],
                    tensors.labels[..., c],
                    counted[..., c],
                    ddof=self.config.loss_ddof,
                )
                for i, c in enumerate(self.labels)
            ]
        )

    def _tell(self, epoch: int, step: int) -> None:
        """Tell how far the fit is, in epochs of all its networks."""
        state, config = self.state, self.config
        left = len(config.networks()) - len(state.finished)
        tell(
            len(state.records) + step / self.steps,
            len(state.records) - state.epoch + left * config.epochs,
            f"{self.name} epoch {epoch}/{config.epochs}, step {step}/{self.steps}",
        )

    def _diverged(
        self, epoch: int, step: int, loss: float, batch: Tensors
    ) -> TrainingDivergedError:
        rows = some([f"{w.video}[{w.start}:{w.stop}]" for w in batch.windows], 3)
        kept = f"; the run folder keeps the checkpoint of epoch {epoch - 1}" if epoch > 1 else ""
        return TrainingDivergedError(
            f"training of the {self.name} network diverged: the loss is {loss} and its gradient "
            f"is not finite in epoch {epoch}, batch {step + 1} (windows {rows}) at learning "
            f"rate {self.schedule.rate:.3g}; fit with a lower learning_rate or more "
            f"warmup_epochs{kept}"
        )
