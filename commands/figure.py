"""`vapipe figure`."""

from __future__ import annotations

from pathlib import Path

import click

from .completion import RunFolder
from .console import name_caches, partition_option, run_cache_option, say

_DRAWINGS = ("trajectories", "gates", "gate-histograms", "plane", "robustness")


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=RunFolder())
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; .pdf, .svg or .png.",
)
@click.option(
    "--draw",
    "drawings",
    multiple=True,
    type=click.Choice(_DRAWINGS),
    help="What to draw; repeat for more, from top to bottom [default: all that the runs have].",
)
@click.option(
    "--video",
    "videos",
    multiple=True,
    metavar="ID",
    help="Whose trajectories and gates; repeat for more [default: the one of median CCC].",
)
@click.option(
    "--seconds",
    nargs=2,
    type=float,
    metavar="FROM TO",
    help="Stretch of these videos, on the file's clock [default: all].",
)
@click.option(
    "--width",
    type=click.Choice(["single", "double"]),
    default="double",
    show_default=True,
    help="One column of a two-column page (3.5 inches) or both (7.16).",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    help="What the figure calls a run; one for each, in their order [default: the folder's name].",
)
@partition_option
@run_cache_option()
def figure(
    runs: tuple[Path, ...],
    out: Path,
    drawings: tuple[str, ...],
    videos: tuple[str, ...],
    seconds: tuple[float, float] | None,
    width: str,
    labels: tuple[str, ...],
    partition: str,
    cache: Path | None,
) -> None:
    """Draw runs for a paper: trajectories, gates, the plane of valence and arousal, robustness.

    Everything comes from the run folders, as `vapipe report` shows it; annotation and times come
    from the cache. Fonts are embedded, colours serve colour-blind readers.
    """
    named = name_caches(runs, cache)
    from ..reports.figure import write_figure

    drawn = write_figure(
        runs,
        out,
        drawings=drawings,
        partition=partition,
        videos=videos,
        span=seconds,
        width=width,
        labels=labels,
        cache=cache,
    )
    for note in drawn.notes:
        say(f"note: {note}")
    wide, high = drawn.inches
    what = ", ".join(drawn.drawings)
    of = f" of {', '.join(drawn.videos)}" if {"trajectories", "gates"} & set(drawn.drawings) else ""
    say(f"{drawn.path}: {what}{of}; {wide:.2f} x {high:.2f} inches")
    say(named)
