"""`vapipe submit`: the text file that a challenge takes."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import counted
from .completion import RunFolder
from .console import (
    device_option,
    ensemble_option,
    run_cache_option,
    say,
    show_shares,
    smooth_option,
)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=RunFolder())
@click.option(
    "--sample",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The organisers' sample file: it says which rows, in which order.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="A new file.")
@click.option(
    "--pad",
    type=click.Choice(["last"]),
    help="Fill rows beyond a video's last frame (up to 5) with its last prediction.",
)
@click.option(
    "--cut",
    type=click.Choice(["last"]),
    help="Leave out frames (up to 5) beyond the sample's last row of a video.",
)
@click.option(
    "--each", is_flag=True, help="Make OUT a folder: a file of every run, and one of the ensemble."
)
@ensemble_option(default="mean")
@smooth_option
@run_cache_option()
@device_option
def submit(
    runs: tuple[Path, ...],
    sample: Path,
    out: Path,
    pad: str | None,
    cut: str | None,
    each: bool,
    ensemble: str,
    smooth: float,
    cache: Path | None,
    device: str,
) -> None:
    """Write a submission with the run folder RUNS; of several, the mean, or another --ensemble.

    Items of the cache are found by the names in the sample file, and need no annotation. Lengths
    must match exactly unless --pad or --cut allows little else. Values are clipped to [-1, 1].
    """
    from .. import api
    from ..fusion.runs.recorded import shared_cache

    cache = shared_cache(runs, cache)
    done = api.submit(
        runs,
        sample,
        out,
        cache,
        pad=bool(pad),
        cut=bool(cut),
        ensemble=ensemble,
        smoothing=smooth,
        device=device,
        each=each,
    )
    for video, fit in done.fits.items():
        surplus = fit.last - fit.rows
        if surplus > 0:
            say(
                f"  {video}: {counted(surplus, 'row')} after frame {fit.rows}: its prediction again"
            )
        elif surplus < 0:
            say(f"  {video}: left out: the last {-surplus} of {counted(fit.rows, 'frame')}")
        if fit.left_out:
            say(f"  {video}: the sample skips {counted(fit.left_out, 'frame')}")
    if len(done.shares) > 1:
        show_shares(done.shares)
    say(
        f"{', '.join(map(str, done.files))}: {counted(done.rows, 'row')} of "
        f"{counted(len(done.fits), 'video')}, "
        f"{counted(done.clipped, 'value')} clipped to [-1, 1]"
    )
    if done.others:
        say(f"not in the sample file: {counted(done.others, 'other item')} of {cache}")
    say(f"cache: {cache}")
