"""`vapipe demo`: the whole path on a synthetic data set, with the ordinary commands."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

import click

from ..errors import counted
from .console import device_option, say
from .progress import progress_bar


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="./vapipe-demo",
    show_default=True,
    help="Where the clips, the cache and the runs go; a new or empty folder, or an earlier demo.",
)
@click.option("--head", default="grjca", show_default=True, help="Fusion head.")
@click.option("--seed", default=0, show_default=True, help="Of the clips and of the fit.")
@device_option
@click.pass_context
def demo(context: click.Context, folder: Path, head: str, seed: int, device: str) -> None:
    """Try everything on a small synthetic data set: extract, fit, evaluate, report.

    Needs no download and no data; takes a few minutes on two cores.
    """
    from ..demo.dataset import DESCRIPTION, write_demo_set
    from ..demo.steps import plan_steps

    began = time.perf_counter()
    videos, program = folder / "videos", context.find_root().command
    say(DESCRIPTION)
    with progress_bar() as bar:

        def show(number: int, total: int) -> None:
            bar.show(number, total, f"writing clips {number}/{total}")

        paths = write_demo_set(videos, seed=seed, progress=show)
    say(f"{counted(len(paths), 'clip')} written to {videos}")
    for words in plan_steps(folder, head=head, seed=seed, device=device):
        say(f"\n$ vapipe {shlex.join(words)}")
        try:
            program.main(words, "vapipe")
        except SystemExit as end:
            if end.code:
                raise
    fit = f"vapipe fit --head concat --config {folder / 'fit.json'} --cache {folder / 'cache'}"
    say(
        f"\nthe demo took {time.perf_counter() - began:.0f} s; the data is synthetic\n"
        "next: open the report in a browser; then one modality alone, for comparison\n"
        f"  {fit} --stream audio=logmel\n"
        f"  {fit} --stream video=onet"
    )
