"""Simulates nodes that each extract one part of a data set (`--partition i/n`): who is done when.

Durations are spread as those of Aff-Wild2, of which is known: 594 videos, some 3 million frames,
eleven of fewer than 300, the shortest of 73. The log-normal distribution with this mean and this
share below 300 frames has a median of 94 s (at 30 per second) and a longest of 46 min; its
quantiles are the data set, and larger ones are several times it. A video takes as long as it
lasts. Run: `python benchmarks/partitions.py`, some seconds.
"""

from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist
from unittest.mock import patch

import numpy as np

from vapipe.extract import plan
from vapipe.extract.dataset import Video
from vapipe.extract.plan import partition

VIDEOS, FRAMES, SHORT, SHORTER, SHORTEST = 594, 3_000_000, 300, 11, 73
FPS = 30.0
RATE_SPREAD = 0.7  # standard deviation of the logarithm of bytes per second, between videos


def durations() -> np.ndarray:
    """Seconds of the videos, the shortest first: quantiles of a log-normal distribution."""
    normal = NormalDist()
    # mu + sigma^2 / 2 is the logarithm of the mean, and SHORT lies `below` deviations from mu.
    below, mean = normal.inv_cdf(SHORTER / VIDEOS), math.log(FRAMES / VIDEOS)
    sigma = below + math.sqrt(below**2 + 2 * (mean - math.log(SHORT)))
    mu = mean - sigma**2 / 2
    quantiles = [normal.inv_cdf((number + 0.5) / VIDEOS) for number in range(VIDEOS)]
    frames = np.exp(mu + sigma * np.array(quantiles))
    return np.maximum(frames, SHORTEST) / FPS


def makespan(seconds: np.ndarray, weights: np.ndarray, nodes: int) -> float:
    """When the last node is done, if parts are balanced by weights."""
    videos = [Video(str(number), Path(str(number)), ()) for number in range(len(seconds))]
    with patch.object(plan, "announced", lambda path: (float(weights[int(path.name)]), 0)):
        parts = partition(videos, nodes)
    return max(sum(seconds[int(video.id)] for video in part) for part in parts)


def in_turns(seconds: np.ndarray, nodes: int) -> float:
    """When the last node is done, if videos are dealt out in turns as they come."""
    return max(seconds[start::nodes].sum() for start in range(min(nodes, len(seconds))))


def main() -> None:
    chance = np.random.default_rng(0)
    print(f"longest {durations()[-1] / 60:.0f} min, median {np.median(durations()):.0f} s")
    print("| videos | nodes | bound | by duration | by size | in turns |")
    print("|---|---|---|---|---|---|")
    for times in (1, 10, 100):
        seconds = chance.permutation(np.tile(durations(), times))
        sizes = seconds * np.exp(RATE_SPREAD * chance.standard_normal(len(seconds)))
        for nodes in (10, 100, 1000):
            bound = max(seconds.max(), seconds.sum() / nodes)
            ends = [
                makespan(seconds, seconds, nodes),
                makespan(seconds, sizes, nodes),
                in_turns(seconds, nodes),
            ]
            cells = " | ".join(f"{end / bound:.3f}" for end in ends)
            print(f"| {len(seconds)} | {nodes} | {bound / 60:.1f} min | {cells} |", flush=True)


if __name__ == "__main__":
    main()
