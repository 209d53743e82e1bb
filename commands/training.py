"""How a fit shows itself: a live table on a terminal, a line per epoch elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.table import Table

    from ..fusion.config import FitConfig
    from ..fusion.training.trainer import Epoch


@contextmanager
def training_view(config: FitConfig) -> Iterator[Callable[[Epoch], None]]:
    """Yield show(epoch)."""
    if not sys.stdout.isatty():
        yield lambda epoch: click.echo(_line(epoch))
        return
    from rich.live import Live

    last: dict[str, Epoch] = {}
    best: dict[str, Epoch] = {}
    with Live(_table(config, last, best), refresh_per_second=4) as live:

        def show(epoch: Epoch) -> None:
            last[epoch.network] = epoch
            if epoch.best:
                best[epoch.network] = epoch
            live.update(_table(config, last, best))

        yield show


def _line(epoch: Epoch) -> str:
    scores = ", ".join(
        f"{target} {value:.3f}" for target, value in epoch.ccc.items() if target != "mean"
    )
    return (
        f"  {epoch.network} epoch {epoch.epoch:3d}  loss {epoch.loss:.3f}  "
        f"validation CCC {scores}  ({epoch.seconds:.1f} s){' *' if epoch.best else ''}"
    )


def _table(config: FitConfig, last: dict[str, Epoch], best: dict[str, Epoch]) -> Table:
    """One row per network: where it is, and its best epoch."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("network", "epoch", "loss", "CCC", "best CCC", "at", "rate", "s/epoch"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for network in config.networks():
        if network not in last:
            table.add_row(network, f"0/{config.epochs}")
            continue
        now, top = last[network], best.get(network)
        table.add_row(
            network,
            f"{now.epoch}/{config.epochs}",
            f"{now.loss:.3f}",
            f"{now.ccc['mean']:.3f}",
            f"{top.ccc['mean']:.3f}" if top else "",
            str(top.epoch) if top else "",
            f"{now.learning_rate:.1e}",
            f"{now.seconds:.1f}",
        )
    return table
