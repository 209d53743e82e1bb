"""How `vapipe predict --follow` and `--webcam` show themselves: a line of CSV per frame."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource

from ..errors import MediaError, counted
from .batch import stoppable
from .console import STOPPED, say

_OPTIONS = {"run", "follow", "webcam", "patience", "config", "device"}
_OPTIONS |= {"video_stream", "audio_stream"}


def choose_source(context: click.Context) -> Path | None:
    """The file or camera that `vapipe predict` is to follow; None where it is to follow none.

    Raises:
        click.UsageError: both, or an option that is of complete videos.
        MediaError: there is no such camera.
    """
    follow, webcam = context.params["follow"], context.params["webcam"]
    if follow is None and webcam is None:
        return None
    if follow and webcam:
        raise click.UsageError("give --follow FILE or --webcam, not both")
    for parameter in context.command.params:
        name = parameter.name or ""
        by_hand = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if name not in _OPTIONS and by_hand and context.params[name]:
            word = parameter.opts[0] if isinstance(parameter, click.Option) else "INPUTS"
            raise click.UsageError(f"{word} does not go with --follow or --webcam")
    if webcam and not webcam.is_char_device():
        raise MediaError(
            f"--webcam: there is no camera at {webcam}; `ls /dev/video*` lists those that there "
            "are, and --webcam DEVICE takes another"
        )
    source: Path = follow or webcam
    return source


def show_live(run: Path, source: Path, patience: float, **options: Any) -> None:
    """Print the predictions of a file that is being written, or of a camera, as they come."""
    from ..live import predict_live

    with stoppable():
        live = predict_live(run, source, patience=patience, **options)
        for delay in live.delays:
            say(f"{delay.stream} looks {1000 * delay.seconds:.0f} ms ahead: {delay.why}", err=True)
        ages: list[float] = []
        begun = True
        try:
            for row in live.rows:
                if row.row == 0:
                    click.echo(",".join(["row", "pts", *live.targets, *row.evidence]))
                values = ",".join(f"{value:.6f}" for value in row.values)
                codes = "".join(f",{code.name.lower()}" for code in row.evidence.values())
                click.echo(f"{row.row},{row.pts:.6f},{values}{codes}")
                sys.stdout.flush()
                ages.append(row.age)
            begun = False
        except KeyboardInterrupt:
            pass
        if ages:
            middle, most = 1000 * np.percentile(ages, [50, 95])
            say(
                f"{counted(len(ages), 'frame')}; from decoded to printed: median {middle:.0f} ms, "
                f"95 % within {most:.0f} ms",
                err=True,
            )
    if begun:
        sys.exit(STOPPED)
