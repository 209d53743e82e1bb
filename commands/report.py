"""`vapipe report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import counted
from .completion import RunFolder
from .console import name_caches, partition_option, run_cache_option, say

if TYPE_CHECKING:
    from ..reports.run_report import WrittenReport


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=RunFolder())
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The page [default: RUN/report.html; vapipe-report.html for several runs].",
)
@partition_option
@click.option(
    "--media",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder with the video files: they play beside their curves, from where they lie.",
)
@run_cache_option()
def report(
    runs: tuple[Path, ...], out: Path | None, partition: str, media: Path | None, cache: Path | None
) -> None:
    """Write a page about a run, or one that compares runs, to be opened in a browser.

    One HTML file that needs no network: scores, learning curves, every video's trajectories with
    the gates of the head and what was missing, densities, robustness, provenance.
    """
    from ..api import report as write_report

    named = name_caches(runs, cache)
    show_report(write_report(runs, out, partition=partition, media=media, cache=cache))
    say(named)


def show_report(written: WrittenReport) -> None:
    """Say what is in a report, and what is missing from it."""
    for note in written.notes:
        say(f"note: {note}")
    say(
        f"{written.path}: {counted(written.videos, 'video')}, {counted(written.frames, 'frame')}, "
        f"{written.size / 1e6:.1f} MB"
    )
