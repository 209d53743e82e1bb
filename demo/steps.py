"""The demo's steps: the ordinary commands, and the options of a fit on so little data."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from ..cache.durable import write_json

# Narrower networks and shorter steps than the papers': the data set is a thousandth of Aff-Wild2.
FIT = {
    "tcn_channels": {"video": [128, 128, 64, 64], "audio": [64, 64, 64, 64]},
    "stride": 100,
    "batch": 6,
    "learning_rate": 5e-4,
    "warmup_epochs": 1,
    "epochs": 30,
    "patience": 8,
}


def plan_steps(folder: Path, *, head: str, seed: int, device: str) -> list[list[str]]:
    """Words of each `vapipe` command, over the clips in `folder`/videos; writes the fit's options.

    Raises:
        CacheError: the folder cannot be written.
    """
    videos, cache, options = folder / "videos", folder / "cache", folder / "fit.json"
    write_json(options, FIT)
    runs = (folder / "runs" / f"{head}-{number}" for number in count(1))
    run = next(path for path in runs if not path.exists())
    where = [] if device == "auto" else ["--device", device]
    stored = ["--cache", str(cache)]
    streams = ["--stream", "video=onet", "--stream", "audio=logmel"]  # a cache may hold others
    fit = ["fit", "--head", head, *streams, "--config", str(options), "--seed", str(seed)]
    return [
        ["extract", "--videos", str(videos), *stored, *where],
        [*fit, *stored, "--run", str(run), *where],
        ["evaluate", str(run), *stored, *where],
        ["report", str(run), *stored, "--media", str(videos)],
    ]
