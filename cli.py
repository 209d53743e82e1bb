"""The `vapipe` program: the group of commands, and how errors end it.

Heavy packages are imported inside the commands, so that `vapipe --help` answers at once.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from . import __version__
from .commands.cache import cache
from .commands.check import check
from .commands.console import ERROR, STOPPED, USAGE, HelpFormatter, say
from .commands.demo import demo
from .commands.evaluate import evaluate
from .commands.export import export
from .commands.extract import extract, streams
from .commands.figure import figure
from .commands.fit import fit
from .commands.frames import frames
from .commands.heads import heads
from .commands.labels import labels
from .commands.plan import plan, status
from .commands.predict import predict
from .commands.report import report
from .commands.runs import runs
from .commands.slurm import slurm
from .commands.submit import submit
from .commands.sweep import sweep
from .commands.weights import weights
from .errors import ArgumentsError, VapipeError
from .plugins import VARIABLE, name_plugins


class _Outlet(io.RawIOBase):
    """Where text goes; what nobody reads any more (`| head`) is dropped, and the work goes on."""

    def __init__(self, number: int) -> None:
        self._number = number

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def write(self, data: Any) -> int:
        try:
            return os.write(self._number, data)
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._number)
            os.close(nowhere)
            return len(data)


class _Program(click.Group):
    """Prints an expected error as one message; a closed pipe is none."""

    def main(self, *words: Any, **settings: Any) -> Any:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None and stream is getattr(sys, f"__{name}__"):
                stream.flush()
                outlet = io.TextIOWrapper(
                    io.BufferedWriter(_Outlet(stream.fileno())),
                    encoding=stream.encoding,
                    errors=stream.errors,
                    line_buffering=stream.line_buffering,
                )
                setattr(sys, name, outlet)
        sys.exit(self._run(*words, **{**settings, "standalone_mode": False}))

    def _run(self, *words: Any, **settings: Any) -> int:
        """Run, and print every error in one form; the exit code."""
        try:
            return int(super().main(*words, **settings) or 0)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
            return error.exit_code
        except click.UsageError as error:
            if error.ctx is not None:
                say(error.ctx.get_usage(), err=True)
                say(f"`{error.ctx.command_path} --help` lists what there is", err=True)
            say(f"error: {error.format_message()}", err=True)
            return error.exit_code
        except click.ClickException as error:
            say(f"error: {error.format_message()}", err=True)
            return error.exit_code
        except click.Abort:
            say("stopped; nothing was done", err=True)
            return ERROR

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VapipeError as error:
            say(f"error: {error}", err=True)
            ctx.exit(USAGE if isinstance(error, ArgumentsError) else ERROR)
        except KeyboardInterrupt:
            say("stopped", err=True)
            ctx.exit(STOPPED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of use, not of the alphabet."""
        return list(self.commands)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--plugin",
    "plugins",
    type=click.Path(path_type=Path),
    multiple=True,
    envvar=VARIABLE,
    metavar="FILE",
    help=f"Python file with encoders or heads of your own; repeat for more [also: {VARIABLE}].",
)
@click.version_option(__version__, "-V", "--version")
def main(plugins: tuple[Path, ...]) -> None:
    """Valence and arousal from faces and voices: extract features once, train heads in minutes.

    \b
    First time:   vapipe demo
    Your data:    vapipe extract --videos ./aff-wild2
                  vapipe fit --head grjca
    """
    if plugins:
        name_plugins(plugins)


for command in (
    demo,
    plan,
    extract,
    labels,
    status,
    slurm,
    fit,
    sweep,
    evaluate,
    predict,
    submit,
    runs,
    report,
    figure,
    export,
    streams,
    heads,
    weights,
    check,
    frames,
    cache,
):
    main.add_command(command)


class _Context(click.Context):
    formatter_class = HelpFormatter


commands: list[click.Command] = [main]
for command in commands:
    command.context_class = _Context
    command.short_help = command.get_short_help_str(200)  # wrapped, where click cuts it off
    commands += getattr(command, "commands", {}).values()
