"""What `vapipe extract` takes for large runs: failures and their limits."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


def failure_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How failures are met; the names are those of `Policy`."""
    for option in reversed(
        [
            click.option(
                "--retries",
                type=click.IntRange(0),
                default=1,
                show_default=True,
                help="Tries more, alone, for a video that failed otherwise than by its file.",
            ),
            click.option(
                "--time-limit",
                type=click.FloatRange(0, min_open=True),
                metavar="FACTOR",
                help="Seconds per second of video, and 5 minutes on top, after which a video is "
                "given up [default: 100; none where one process does all].",
            ),
            click.option(
                "--memory-limit",
                type=click.FloatRange(0, min_open=True),
                metavar="GB",
                help="Memory after which a worker process is ended [default: any].",
            ),
            click.option(
                "--max-failures",
                type=click.IntRange(0),
                metavar="N",
                help="Stop when more videos than this failed [default: never].",
            ),
            click.option(
                "--retry-failed",
                is_flag=True,
                help="Try videos again that failed in an earlier run.",
            ),
        ]
    ):
        command = option(command)
    return command


@contextmanager
def stoppable() -> Iterator[None]:
    """Hear a request to end (SIGTERM) as Ctrl-C; after the first of them a second ends at once."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what signals do
        return

    def stop(number: int, frame: object) -> None:
        for each in stops:
            signal.signal(each, signal.SIG_DFL)
        raise KeyboardInterrupt

    stops = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each, before in stops.items():
        if before is not signal.SIG_IGN:  # a shell's background jobs do not hear Ctrl-C
            signal.signal(each, stop)
    try:
        yield
    finally:
        for each, before in stops.items():
            signal.signal(each, before)
