"""`vapipe fit`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..api import CACHE
from ..errors import counted
from .completion import RunFolder, complete_heads, complete_streams
from .console import configuration_options, name_caches, pairs, run_cache_option, say
from .evaluate import show_evaluations
from .slurm import slurm_options, write_fit
from .training import training_view

_OVERRIDES = (
    ("recipe", str, "default, or published: as the head's paper or released code trains."),
    ("recursions", int, "Recursions M of the head [default: the head's]."),
    ("split", str, "stored, aff-wild2 (six folds), k-fold, leave-one-subject-out, or a CSV file."),
    ("fold", int, "Fold of aff-wild2 (0: official split) or of subjects, from 0."),
    ("folds", int, "Number of folds of k-fold."),
    ("subjects", str, "CSV file video,subject (or session): keeps subjects apart."),
    ("missing-streams", str, "stop, or skip videos that lack a stream."),
    ("epochs", int, "At most so many epochs."),
    ("batch", int, "Windows per step."),
    ("learning-rate", float, "After the warm-up."),
    ("warmup-epochs", int, "Epochs of linear warm-up."),
    ("patience", int, "Epochs without a better validation CCC before stopping."),
    ("init-from", str, "Folder of a finished run whose weights are the start."),
    ("seed", int, "Of weights, order and dropout."),
    ("precision", str, "float32 or bfloat16."),
)


def override_options(command: Any) -> Any:
    """An option for each configuration value that is often changed; None leaves it alone."""
    for name, kind, text in reversed(_OVERRIDES):
        command = click.option(f"--{name}", type=kind, help=text)(command)
    return command


@click.command()
@click.option(
    "--head",
    shell_complete=complete_heads,
    help="Fusion head [default: grjca]; `vapipe heads` lists them.",
)
@click.option("--variant", help="official (released code) or paper, where a head has both.")
@click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="ROLE=NAME",
    shell_complete=complete_streams,
    help="Which stream plays a role, e.g. video=onet or audio=logmel@1a2b; repeat for more "
    "[default: the one visual and the one audio stream in the cache].",
)
@click.option(
    "--targets",
    type=click.Choice(["per_target", "joint"]),
    help="One network per target (as GRJCA) or one with two outputs [default: per_target].",
)
@click.option(
    "--freeze",
    multiple=True,
    metavar="PART",
    help="Part of the network that is not trained, e.g. encoders.video or head; repeat for more.",
)
@override_options
@configuration_options
@click.option("--run", type=click.Path(path_type=Path), help="Folder of the run [default: new].")
@click.option(
    "--resume",
    type=RunFolder(),
    metavar="RUN",
    help="Resume an interrupted run, to the same numbers.",
)
@click.option(
    "--track",
    "trackers",
    type=click.Choice(["tensorboard", "wandb", "mlflow"]),
    multiple=True,
    help="Tell it every epoch, too (an extra each); repeat for more.",
)
@slurm_options("")
@click.option("--print-config", is_flag=True, help="Print the configuration and stop.")
@run_cache_option(f"{CACHE}; with --resume the one that the run recorded")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", help="Where to compute [default: auto].")
@click.pass_context
def fit(
    context: click.Context,
    cache: Path | None,
    file: Path | None,
    run: Path | None,
    resume: Path | None,
    trackers: tuple[str, ...],
    slurm: Path | None,
    sbatch: tuple[str, ...],
    print_config: bool,
    **options: Any,
) -> None:
    """Train a fusion head on cached features.

    Follows the papers' protocol: windows of 300 frames, early stopping on the validation CCC, best
    weights kept. Writes a run folder that explains itself.
    """
    if resume is not None and (run is not None or file is not None):
        raise click.UsageError("--resume RUN names the folder and its configuration already")
    changes = _changes(**options)
    if sbatch and slurm is None:
        raise click.UsageError("--sbatch is of the file that --slurm FILE writes")
    if print_config or slurm is not None:
        from ..fusion.acting import choose_config

        config, named = choose_config(resume / "config.json" if resume else file, changes)
        if print_config:
            click.echo(json.dumps(config.resolved().to_json(), indent=2))
            return
    if slurm is not None:
        folds = {"aff-wild2": 6, "k-fold": config.folds}.get(config.split)
        one = resume is not None or "fold" in named
        run = resume or run or Path("vapipe-runs") / slurm.stem
        write_fit(slurm, context, run, None if one else folds, config.device.startswith("cuda"))
        return
    from ..cache.layout import check_cache

    if resume:
        say(f"resuming {resume}; {name_caches([resume], cache)}")
    else:
        check_cache(cache or Path(CACHE))
    from .. import fit as train

    with training_view() as view:
        result = train(
            cache,
            config=file,
            run=run,
            resume=resume,
            started=view.start,
            progress=view.step,
            trackers=trackers,
            **changes,
        )
    say(f"{counted(result.parameters, 'parameter')}; computed on {result.device}")
    show_evaluations({"": result.evaluation})
    say(f"run: {result.run_dir} ({result.seconds:.1f} s)")
    say(f"next: vapipe report {result.run_dir}  or  vapipe predict {result.run_dir} CLIP --overlay")


def _changes(
    *, streams: tuple[str, ...], freeze: tuple[str, ...], changes: tuple[str, ...], **options: Any
) -> dict[str, Any]:
    """What the command line changes, as `FitConfig.changed` takes it."""
    from ..fusion.typed import read_value

    changed = {name: value for name, value in options.items() if value is not None}
    if streams:
        changed["streams"] = pairs("--stream", streams, "ROLE=NAME, e.g. video=onet")
    if freeze:
        changed["freeze"] = freeze
    return changed | {name: read_value(value) for name, value in pairs("--set", changes).items()}
