"""How a fit shows itself: what is fitted, a live table on a terminal or a line per epoch."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from ..errors import Stopped, counted
from .console import STOPPED, say

if TYPE_CHECKING:
    from rich.table import Table

    from ..fusion.data.plan import Plan
    from ..fusion.training.trainer import Epoch


@contextmanager
def training_view() -> Iterator[TrainingView]:
    """Show a fit; an interruption ends the program with what goes on with it."""
    try:
        with TrainingView() as view:
            yield view
    except Stopped as stopped:
        say(
            f"stopped; `vapipe fit --resume {stopped.folder}` resumes after its last epoch",
            err=True,
        )
        sys.exit(STOPPED)


class TrainingView(ExitStack):
    """The terminal's side of a fit."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, Epoch] = {}
        self._best: dict[str, Epoch] = {}

    def start(self, plan: Plan) -> None:
        """Say what will be trained, on what."""
        self._config = config = plan.config
        roles = ", ".join(f"{role}={name}" for role, name in config.streams.items())
        say(f"fitting {config.head} ({config.variant}, {config.targets}) on {roles}")
        say(config.describe_recipe())
        folds = {
            "aff-wild2": "",
            "k-fold": f" of {config.folds}",
            "leave-one-subject-out": "",
        }
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
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = self.enter_context(Live(self._table(), refresh_per_second=4))

    def step(self, epoch: Epoch) -> None:
        """Show an epoch."""
        if not sys.stdout.isatty():
            say(_line(epoch))
            return
        self._last[epoch.network] = epoch
        if epoch.best:
            self._best[epoch.network] = epoch
        self._live.update(self._table())

    def _table(self) -> Table:
        """One row per network: where it is, and its best epoch."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for column in ("network", "epoch", "loss", "CCC", "best CCC", "at", "rate", "s/epoch"):
            table.add_column(column, justify="left" if column == "network" else "right")
        for network in self._config.networks():
            if network not in self._last:
                table.add_row(network, f"0/{self._config.epochs}")
                continue
            now, top = self._last[network], self._best.get(network)
            table.add_row(
                network,
                f"{now.epoch}/{self._config.epochs}",
                f"{now.loss:.3f}",
                f"{now.ccc['mean']:.3f}",
                f"{top.ccc['mean']:.3f}" if top else "",
                str(top.epoch) if top else "",
                f"{now.learning_rate:.1e}",
                f"{now.seconds:.1f}",
            )
        return table


def _line(epoch: Epoch) -> str:
    scores = ", ".join(
        f"{target} {value:.3f}" for target, value in epoch.ccc.items() if target != "mean"
    )
    return (
        f"  {epoch.network} epoch {epoch.epoch:3d}  loss {epoch.loss:.3f}  "
        f"validation CCC {scores}  ({epoch.seconds:.1f} s){' *' if epoch.best else ''}"
    )
