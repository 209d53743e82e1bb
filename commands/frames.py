"""`vapipe frames`: videos of folders of pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import click

from ..errors import counted
from .console import say


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option(
    "--rate", required=True, metavar="HZ", help="Pictures per second, as 25 or 30000/1001."
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="For the videos."
)
def frames(folder: Path, rate: str, out: Path) -> None:
    """Make a video of every folder of numbered pictures below FOLDER, without loss.

    JPEG and PNG files are taken as they are. Extract them as other videos; annotations may stay
    beside the pictures: --labels FOLDER.
    """
    from ..extract.picture_folders import write_videos

    try:
        value = Fraction(rate)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if not 0 < value < 1000:
        raise click.UsageError(f"--rate {rate}: pictures per second, as 25 or 30000/1001")
    count = 0
    for path, pictures in write_videos(folder, out, value):
        say(f"  {path}: {counted(pictures, 'picture')}, {float(pictures / value):.1f} s")
        count += 1
    say(f"{counted(count, 'video')} in {out}")
    say(f"next: vapipe extract --videos {out} --labels {folder}")
