"""`vapipe slurm`, and `--slurm FILE` of `fit` and `sweep`: batch files of SLURM arrays."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ..device import fast_precision
from ..errors import counted
from .batch import failure_options, source_options
from .console import pairs, say

# Processes of an array task, where the user does not say: beside a GPU they decode and crop.
_TASK_JOBS, _TASK_JOBS_GPU = 4, 12
_FIT_CORES = 4
_TASK = "$SLURM_ARRAY_TASK_ID"

_SCRIPT = """\
#!/bin/bash
# {what}
# Two minutes before its time is over a task is told to end; what it has finished stays. Submit this
# file again, and it does what is missing.
{settings}
# What your site asks for, without the second #:
{open}
cd {folder} || exit 1
{activate}  # the environment that vapipe is installed in
# module load ...  # what your site asks for beside it
{command}
"""
_SITE = ("partition", "account")

sbatch_option = click.option(
    "--sbatch",
    multiple=True,
    metavar="NAME=VALUE",
    help="Setting of the batch file, e.g. partition=gpu, account=me or time=04:00:00; repeat.",
)


def slurm_options(tasks: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--slurm FILE` and what belongs to it; `tasks` is the default of `--tasks`, "" has none."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        command = sbatch_option(command)
        if tasks:
            command = click.option(
                "--tasks",
                type=click.IntRange(1),
                help=f"Tasks of the SLURM array [default: {tasks}].",
            )(command)
        return click.option(
            "--slurm",
            type=click.Path(path_type=Path, dir_okay=False),
            metavar="FILE",
            help="Do nothing but write a batch file that does it on a SLURM cluster.",
        )(command)

    return add


def write_batch(
    file: Path,
    *,
    what: str,
    name: str,
    command: str,
    array: str | None,
    cpus: int,
    memory: int,
    gpus: int,
    sbatch: Sequence[str],
) -> None:
    """Write a batch file that runs a command where this one runs, in its environment.

    Args:
        what: it does, for who looks at it.
        name: of the job.
        command: lines of shell, which may ask for `$SLURM_ARRAY_TASK_ID`.
        array: its numbers; None for a single task.
        cpus: of a task.
        memory: of a task, GB.
        gpus: of a task.
        sbatch: settings as `NAME=VALUE`, which win.
    """
    from ..cache.durable import write_bytes

    own = pairs("--sbatch", sbatch, "NAME=VALUE, e.g. partition=gpu")
    settings: dict[str, Any] = {"job-name": f"vapipe-{name}"}
    settings |= {"array": array} if array else {}
    settings |= {"cpus-per-task": cpus, "mem": f"{memory}G", "time": "24:00:00"}
    settings |= {"output": "vapipe-%A_%a.log" if array else "vapipe-%j.log"}
    settings |= {"signal": "TERM@120", "open-mode": "append"}
    settings |= {"gres": f"gpu:{gpus}"} if gpus else {}
    settings |= {option.removeprefix("--"): value for option, value in own.items()}
    lacking = [option for option in _SITE if option not in settings]
    programs = Path(sys.executable).parent
    activate = f"export PATH={shlex.quote(str(programs))}:$PATH"
    if (programs / "activate").exists():
        activate = f". {shlex.quote(str(programs / 'activate'))}"
    text = _SCRIPT.format(
        what=what,
        settings="\n".join(f"#SBATCH --{option}={value}" for option, value in settings.items()),
        open="".join(f"##SBATCH --{option}=NAME\n" for option in lacking),
        folder=shlex.quote(str(Path.cwd())),
        activate=activate,
        command=command,
    )
    write_bytes(file, text.encode())


def repeated(context: click.Context, *own: str) -> list[str]:
    """The words of this command as they were given, but for some options."""
    from ..plugins import named_plugins

    plugins = [word for path, _ in named_plugins() for word in ("--plugin", path)]
    return ["vapipe", *plugins, str(context.info_name), *_options(context, own)]


def _options(context: click.Context, own: Sequence[str]) -> Iterator[str]:
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in own or source is not click.core.ParameterSource.COMMANDLINE:
            continue
        values = context.params[name]
        for value in values if parameter.multiple or parameter.nargs == -1 else [values]:
            if isinstance(parameter, click.Option):
                yield parameter.opts[0]
                if parameter.is_flag:
                    continue
            yield str(value)


def write_sweep(file: Path, context: click.Context, fits: int, gpu: bool) -> None:
    """Write the batch file of a sweep of so many fits, and say what to do with it."""
    params = context.params
    tasks = min(params["tasks"] or fits, fits)
    words = repeated(context, "slurm", "tasks", "sbatch", "jobs", "dry_run")
    jobs = params["jobs"] or 1
    write_batch(
        file,
        what=f"Fits {fits} networks in {counted(tasks, 'task')} side by side.",
        name="sweep",
        command=f'exec srun {shlex.join(words)} --jobs {jobs} --partition "{_TASK}/{tasks}"',
        array=f"1-{tasks}",
        cpus=_FIT_CORES * jobs,
        memory=8 * jobs,
        gpus=int(gpu),
        sbatch=params["sbatch"],
    )
    say(
        f"{file}: {counted(tasks, 'task')} for {counted(fits, 'fit')}; look at it, then: "
        f"sbatch {file}"
    )
    say(f"when all are through, this makes the tables: {shlex.join(words)}")


def write_fit(file: Path, context: click.Context, run: Path, folds: int | None, gpu: bool) -> None:
    """Write the batch file of a fit, or of one of each fold, and say what to do with it."""
    words = shlex.join(repeated(context, "slurm", "sbatch", "run", "resume"))
    folder, fold = shlex.quote(str(run)), ""
    if folds:
        folder, fold = f"{folder}-fold{_TASK}", f' --fold "{_TASK}"'
    write_batch(
        file,
        what=f"Fits {counted(folds, 'fold')} side by side." if folds else "Fits a head.",
        name="fit",
        command=_FIT.format(run=folder, command=f"{words}{fold}"),
        array=f"0-{folds - 1}" if folds else None,
        cpus=_FIT_CORES,
        memory=8,
        gpus=int(gpu),
        sbatch=context.params["sbatch"],
    )
    say(f"{file}: {counted(folds or 1, 'task')}; look at it, then: sbatch {file}")
    if folds:
        say(f"when all are through: vapipe runs {run.parent} --where 'run=*{run.name}-fold*'")
        say(f"next: `vapipe sweep --folds 0-{folds - 1}` also makes a table of their mean")


_FIT = """\
run={run}
if [ -e "$run/model.safetensors" ]; then
    echo "$run is finished"
elif [ -e "$run/environment.json" ]; then
    exec srun vapipe fit --resume "$run"
else
    exec srun {command} --run "$run"
fi"""


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--tasks", type=click.IntRange(1), default=8, show_default=True, help="Tasks of the array."
)
@sbatch_option
@source_options
@failure_options
@click.pass_context
def slurm(
    context: click.Context, file: Path, tasks: int, sbatch: tuple[str, ...], **chosen: Any
) -> None:
    """Write the batch file FILE: a SLURM array that runs `vapipe extract` in parts.

    Takes the options of `vapipe extract` (docs/cluster.md). A precision that is left open is
    settled here, so that all nodes make the same stream. `vapipe fit` and `vapipe sweep` write
    theirs with `--slurm FILE`.
    """
    from ..extract.dataset import find_dataset
    from ..extract.options import choose_options

    choose_options(chosen["streams"], chosen["dtype"], chosen["config"])  # wrong ones end it here
    find_dataset(
        chosen["videos"], labels=chosen["labels"], split=chosen["split"], ids=chosen["ids"]
    )
    devices = (chosen["devices"] or chosen["device"]).split(",")
    gpus = sum(device.startswith("cuda") for device in devices)
    jobs = chosen["jobs"] or gpus * _TASK_JOBS_GPU or _TASK_JOBS
    context.info_name = "extract"
    words = repeated(context, "file", "tasks", "sbatch")
    if chosen["jobs"] is None:
        words += ["--jobs", str(jobs)]
    if chosen["precision"] == "auto":
        words += ["--precision", fast_precision("cuda" if gpus else "cpu")]
    write_batch(
        file,
        what=f"Extracts {tasks} parts side by side.",
        name="extract",
        command=f'exec srun {shlex.join(words)} --partition "{_TASK}/{tasks}"',
        array=f"1-{tasks}",
        cpus=jobs + gpus,
        memory=8 * gpus + 2 * jobs if gpus else 4 * max(jobs, 2),
        gpus=gpus,
        sbatch=sbatch,
    )
    say(
        f"{file}: {counted(tasks, 'task')} of {counted(jobs, 'process')}; look at it, then: "
        f"sbatch {file}"
    )
