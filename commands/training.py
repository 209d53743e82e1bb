"""How a fit shows itself: what is fitted, a line per epoch, how far it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ..errors import FitInterrupted, counted
from ..progress import listening
from .batch import stoppable
from .console import STOPPED, say
from .progress import progress_bar

if TYPE_CHECKING:
    from ..fusion.data.plan import Plan
    from ..fusion.training.trainer import Epoch


@contextmanager
def training_view() -> Iterator[TrainingView]:
    """Show a fit; an interruption ends the program with what goes on with it."""
    try:
        with stoppable(), TrainingView() as view:
            yield view
    except FitInterrupted as stopped:
        say(
            f"stopped; `vapipe fit --resume {stopped.folder}` resumes after its last epoch",
            err=True,
        )
        sys.exit(STOPPED)


class TrainingView(ExitStack):
    """The terminal's side of a fit."""

    def start(self, plan: Plan) -> None:
        """Say what will be trained, on what."""
        config = plan.config
        roles = ", ".join(f"{role}={name}" for role, name in config.streams.items())
        say(f"fitting {config.head} ({config.variant}, {config.targets}) on {roles}")
        say(config.describe_recipe())
        folds = {"aff-wild2": "", "k-fold": f" of {config.folds}", "leave-one-subject-out": ""}
        where = f", fold {config.fold}{folds[config.split]}" if config.split in folds else ""
        say(
            f"{counted(len(plan.train), 'training video')} "
            f"({counted(len(plan.windows), 'window')}), "
            f"{counted(len(plan.validation), 'validation video')} (split {config.split}{where}); "
            f"up to {counted(config.epochs, 'epoch')} a network"
        )
        say(f"annotated: {plan.annotated}")
        for note in plan.notes:
            say(f"note: {note}")
        self._bar = self.enter_context(progress_bar())
        self._before: float | None = None
        self.enter_context(listening(self.hear))

    def step(self, epoch: Epoch) -> None:
        """Show an epoch."""
        say(_line(epoch))

    def hear(self, done: float, total: float, words: str) -> None:
        """Show how far it is; what is gone on with begins where it was."""
        if self._before is None:
            self._before = done
        self._bar.show(done, total, words, before=self._before, most=True)


def _line(epoch: Epoch) -> str:
    own = {target: value for target, value in epoch.ccc.items() if target != "mean"}
    named = len(own) > 1  # else the network is
    scores = ", ".join(f"{target} {v:.3f}" if named else f"{v:.3f}" for target, v in own.items())
    return (
        f"  {epoch.network} epoch {epoch.epoch}  loss {epoch.loss:.3f}  "
        f"validation CCC {scores}  ({epoch.seconds:.1f} s){' *' if epoch.best else ''}"
    )
