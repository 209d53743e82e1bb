"""The optimizer, and the learning rate of every step: warm-up, then plateau, cosine or constant."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from ..config import FitConfig


def make_optimizer(network: nn.Module, config: FitConfig) -> torch.optim.Optimizer:
    """Adam with an L2 term (as in the papers), or AdamW, over what is not frozen."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return kind(trained, config.learning_rate, weight_decay=config.weight_decay, fused=True)


class Schedule:
    """Sets an optimizer's learning rate before every step and after every epoch."""

    def __init__(self, optimizer: torch.optim.Optimizer, config: FitConfig, steps: int) -> None:
        """Schedule a fit of `steps` steps per epoch."""
        self.optimizer = optimizer
        self.config = config
        self.steps = steps
        self.warmup = config.warmup_epochs * steps
        self.total = config.epochs * steps
        self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            mode="max",
            factor=config.plateau_factor,
            patience=config.plateau_patience,
            threshold=0.0,
            min_lr=config.min_learning_rate,
        )

    @property
    def rate(self) -> float:
        """The learning rate now."""
        return float(self.optimizer.param_groups[0]["lr"])

    def before_step(self, step: int) -> None:
        """Set the rate of a step, counted from 1 over all epochs."""
        highest, lowest = self.config.learning_rate, self.config.min_learning_rate
        if step <= self.warmup:
            share = step / self.warmup
            if self.config.warmup == "sawtooth":
                epoch, batch = divmod(step - 1, self.steps)
                share = (epoch + 1) / self.config.warmup_epochs**2 * batch / self.steps
            self._set(highest * share)
        elif self.config.schedule == "cosine":
            done = (step - self.warmup) / max(1, self.total - self.warmup)
            self._set(lowest + (highest - lowest) * (1 + math.cos(math.pi * done)) / 2)
        elif step == self.warmup + 1:
            self._set(highest)

    def after_epoch(self, epoch: int, ccc: float) -> None:
        """Look at the validation CCC of an epoch, counted from 1.

        Epochs of the warm-up never lower the rate, but later ones are measured against them, too.
        """
        if self.config.schedule != "plateau":
            return
        if epoch <= self.config.warmup_epochs:
            self.plateau.best = max(self.plateau.best, ccc)
        else:
            self.plateau.step(ccc)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed fit needs, JSON-able."""
        return {"rate": self.rate, "plateau": self.plateau.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self.plateau.load_state_dict(state["plateau"])
        self._set(state["rate"])

    def _set(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate
