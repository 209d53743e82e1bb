"""What the commands share: options, and how they print."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ..api import CACHE

ERROR, USAGE, PARTLY, STOPPED = 1, 2, 3, 130  # exit codes besides 0 (all done)
_LABEL, _CELL = 15, 22  # columns of text
_HYPHEN = "\u2011"  # one that no line breaks at


def cache_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--cache DIR`, the same for every command that uses a cache."""
    return click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        default=CACHE,
        show_default=True,
        help="Folder of the feature cache.",
    )(command)


def run_cache_option(default: str = "the one that the run recorded") -> Callable[..., Any]:
    """`--cache DIR`, the same for every command that uses runs; None where it is not given."""
    return click.option(
        "--cache",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help=f"Folder of the feature cache [default: {default}].",
    )


def configuration_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--set OPTION=VALUE` and `--config FILE`, of fits."""
    command = click.option(
        "--config",
        "file",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="TOML or JSON file of options (such as a run's config.json); options given here win.",
    )(command)
    return click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="OPTION=VALUE",
        help="Any other option, e.g. window=200 or head_options.dropout=0.3; repeat for more.",
    )(command)


def device_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--device`, to be resolved by `device.choose_device`."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        metavar="auto|cpu|cuda|cuda:N",
        help="Where to compute; auto takes a GPU when there is one and says so.",
    )(command)


class Partition(click.Choice):
    """Part of a split, as the stores call it; `val`, `dev` and the like are understood."""

    def __init__(self) -> None:
        super().__init__(["train", "validation", "test"])

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """The name of the part that a word means."""
        from ..cache.labels import partition_of

        return super().convert(partition_of(str(value)) or value, param, ctx)


def partition_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--partition`, of the videos that runs are looked at on."""
    return click.option(
        "--partition",
        type=Partition(),
        default="validation",
        show_default=True,
    )(command)


def ensemble_option(default: str | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--ensemble`, of what several runs predict as one."""
    return click.option(
        "--ensemble",
        type=click.Choice(["mean", "ccc", "best", "fitted"]),
        default=default,
        show_default=default is not None,
        help="The runs as one: their mean; weighted by the validation CCC that each recorded; for "
        "each target the run with the best recorded one; or with the weights that give the "
        "highest CCC on the videos that all were validated on.",
    )


def smooth_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--smooth SECONDS`, of predictions."""
    return click.option(
        "--smooth",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="Centred moving average over the predictions.",
    )(command)


def say(text: str, *, err: bool = False) -> None:
    """Print lines; a terminal gets those that are too long for it broken between words."""
    if (sys.stderr if err else sys.stdout).isatty():
        columns = shutil.get_terminal_size().columns
        text = "\n".join(break_line(line, columns) for line in text.split("\n"))
    click.echo(text, err=err)


def break_line(line: str, columns: int) -> str:
    """A line broken between words; a command (in backticks, or after `next:`) stays one to paste.

    Words that are longer than a line are left to the terminal.
    """
    if len(line) <= columns:
        return line
    start = re.match(" *", line)[0]  # type: ignore[index]  # matches always
    lines, current, command = [], start, False
    for token in re.findall(r"\s*\S+", line[len(start) :]):
        if current.strip() and len(current + token) > columns - 2:
            lines.append(f"{current} \\" if command else current)
            current = f"{start}  {token.lstrip()}"
        else:
            current += token
        command = (command != (token.count("`") % 2 == 1)) or current == f"{start}next:"
    return "\n".join([*lines, current])


def fold(text: str, indent: str = "", hang: str = "") -> str:
    """Prose of at most 79 columns, or those of the terminal, broken between words."""
    return textwrap.fill(
        text,
        min(79, shutil.get_terminal_size().columns),
        initial_indent=indent,
        subsequent_indent=hang,
        break_long_words=False,
        break_on_hyphens=False,
    )


class HelpFormatter(click.HelpFormatter):
    """click's, which leaves words with hyphens whole."""

    def write_text(self, text: str) -> None:
        """Write a paragraph."""
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(self, rows: Any, *args: Any, **options: Any) -> None:
        """Write a table of terms and their descriptions."""
        super().write_dl([(t, text.replace("-", _HYPHEN)) for t, text in rows], *args, **options)

    def getvalue(self) -> str:
        """What was written."""
        return super().getvalue().replace(_HYPHEN, "-")


def name_caches(runs: Sequence[Path], named: Path | None) -> str:
    """`cache: DIR` for the caches that runs are used with, each by itself; errors as `cache_of`."""
    from ..fusion.runs.recorded import cache_of

    return f"cache: {', '.join(dict.fromkeys(str(cache_of(run, named)) for run in runs))}"


def show_shares(shares: Mapping[str, Mapping[str, float]]) -> None:
    """Print the share of each run in each target."""
    show_row("shares", list(next(iter(shares.values()))))
    for name, own in shares.items():
        show_row(f"  {name}", [f"{share:.3f}" for share in own.values()])


def show_row(label: str, cells: Sequence[str]) -> None:
    """A line of a table; a label that is too long for its column has a line of its own."""
    if len(label) >= _LABEL:
        say(label)
        label = ""
    say((f"{label:<{_LABEL}}" + "".join(f"{c:<{_CELL}}" for c in cells)).rstrip())


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their headings, columns aligned; rows of a table are never empty."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(map(str.ljust, row, widths)).rstrip())


def unless_default(cache: Path) -> str:
    """` --cache DIR` for a suggested command, where it is not the default."""
    return "" if cache == Path(CACHE) else f" --cache {cache}"


def pairs(
    option: str, given: Iterable[str], form: str = "OPTION=VALUE, e.g. window=200"
) -> dict[str, str]:
    """What stands before and behind the first `=` of each use of an option.

    Raises:
        click.UsageError: one has another form, or repeats a name.
    """
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not (name and equals):
            raise click.UsageError(f"{option} {each}: expected {form}")
        if name in found:
            raise click.UsageError(f"{option} {name} is given more than once")
        found[name] = value
    return found


def duration(seconds: float) -> str:
    """`0 min 32 s`, `12 min 5 s`, `3 h 4 min`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def clock(seconds: float) -> str:
    """`0:32`, `12:05`, `3:04:10`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(nbytes: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if nbytes < 1024:
            return f"{nbytes:.0f} {unit}" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} TiB"
