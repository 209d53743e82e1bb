"""`vapipe` with the encoder `unruly`, and with VAPIPE_GRACE seconds in place of 5 minutes' grace.

An encoder that a program registers is known to its own processes; `Deeds` carries it to others.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from typing import Any

from unruly import Deeds

from vapipe.cli import main
from vapipe.extract import attempts, job, options

_choose = options.choose_options


def _with_deeds(*arguments: Any) -> options.Options:
    chosen = _choose(*arguments)
    streams = tuple(
        dataclasses.replace(
            stream, options=tuple((k, Deeds(v) if k == "deeds" else v) for k, v in stream.options)
        )
        for stream in chosen.streams
    )
    return dataclasses.replace(chosen, streams=streams)


if __name__ == "__main__":
    job.choose_options = _with_deeds
    if "VAPIPE_GRACE" in os.environ:
        grace = float(os.environ["VAPIPE_GRACE"])
        attempts.Policy = functools.partial(attempts.Policy, grace=grace)
    main()
