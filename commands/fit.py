"""`vapipe fit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .console import cache_option, progress_lines
from .evaluate import show_evaluation

if TYPE_CHECKING:
    from ..cache.store import FeatureStore
    from ..fusion.config import FitConfig
    from ..fusion.train import FitResult
    from ..fusion.trainer import Epoch

_OVERRIDES = (
    ("recursions", int, "Recursions M of the head [default: the head's]."),
    ("epochs", int, "At most so many epochs."),
    ("batch", int, "Windows per step."),
    ("learning-rate", float, "Adam's, after the warm-up."),
    ("warmup-epochs", int, "Epochs of linear warm-up."),
    ("patience", int, "Epochs without a better validation CCC before stopping."),
    ("seed", int, "Of weights, order and dropout."),
)


def override_options(command: Any) -> Any:
    """An option for each configuration value that is often changed; None leaves it alone."""
    for name, kind, text in reversed(_OVERRIDES):
        command = click.option(f"--{name}", type=kind, help=text)(command)
    return command


@click.command()
@click.option("--head", help="Fusion head [default: grjca]; `vapipe heads` lists them.")
@click.option("--variant", help="official (released code) or paper, where a head has both.")
@click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="ROLE=NAME",
    help="Which stream plays a role, e.g. video=onet or audio=logmel@1a2b; repeat for more "
    "[default: the one visual and the one audio stream in the cache].",
)
@click.option(
    "--targets",
    type=click.Choice(["per_target", "joint"]),
    help="One network per target (as GRJCA) or one with two outputs [default: per_target].",
)
@override_options
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="JSON file of options (a run's config.json); options given here win.",
)
@click.option("--run", type=click.Path(path_type=Path), help="Folder of the run [default: new].")
@click.option("--print-config", is_flag=True, help="Print the configuration and stop.")
@cache_option
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to compute [default: auto].")
def fit(
    cache: Path,
    file: Path | None,
    run: Path | None,
    print_config: bool,
    streams: tuple[str, ...],
    **options: Any,
) -> None:
    """Train a fusion head on cached features.

    Follows the papers' protocol: windows of 300 frames, early stopping on the validation CCC, best
    weights kept. Writes a run folder that explains itself.
    """
    from ..cache.store import FeatureStore

    config = _configure(file, streams, options)
    if print_config:
        click.echo(json.dumps(config.to_json(), indent=2))
        return
    fit_and_show(FeatureStore.open(cache), config, run)


def _configure(file: Path | None, streams: tuple[str, ...], options: dict[str, Any]) -> FitConfig:
    """The file's options, overridden by those of the command line."""
    from ..fusion.config import FitConfig

    values = FitConfig.load(file).to_json() if file else {}
    values |= {name: value for name, value in options.items() if value is not None}
    roles = {}
    for pair in streams:
        role, equals, name = pair.partition("=")
        if not (role and equals and name):
            raise click.UsageError(f"--stream {pair}: expected ROLE=NAME, e.g. video=onet")
        roles[role] = name
    return FitConfig.from_json({**values, **({"streams": roles} if roles else {})})


def fit_and_show(store: FeatureStore, config: FitConfig, run: Path | None) -> FitResult:
    """Fit, print a line per epoch and the result."""
    from ..fusion.data import plan_fit
    from ..fusion.train import fit as train

    plan = plan_fit(store, config)
    roles = ", ".join(f"{role}={name}" for role, name in plan.config.streams.items())
    click.echo(f"fitting {config.head} ({config.variant}, {config.targets}) on {roles}")
    click.echo(
        f"{len(plan.train)} training videos ({len(plan.windows)} windows), "
        f"{len(plan.validation)} validation videos; up to {config.epochs} epochs a network"
    )
    with progress_lines(config.epochs * len(config.networks()), "epochs") as step:

        def show(epoch: Epoch) -> None:
            scores = ", ".join(
                f"{target} {value:.3f}" for target, value in epoch.ccc.items() if target != "mean"
            )
            line = (
                f"  {epoch.network} epoch {epoch.epoch:3d}  loss {epoch.loss:.3f}  "
                f"validation CCC {scores}  ({epoch.seconds:.1f} s){' *' if epoch.best else ''}"
            )
            step(1, line, f"{epoch.network} epoch {epoch.epoch}")

        result = train(store, config, run, show)
    click.echo(f"{result.parameters:,} parameters; computed on {result.device}")
    show_evaluation(result.evaluation)
    click.echo(f"run: {result.run_dir} ({result.seconds:.1f} s)")
    return result
