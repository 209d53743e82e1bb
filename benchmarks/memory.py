"""Measures whether the peak memory of an extraction depends on the length of the video.

Writes clips with a face that moves and is covered now and then (so that rows wait for its return)
and with sound, extracts each in a fresh process, and prints the peak resident memory.
Run: `python benchmarks/memory.py`, some 10 min.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))

from clips import Sound, constant_times, write_clip
from PIL import Image

from vapipe.extract.dataset import find_dataset
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.options import choose_options
from vapipe.extract.run import run_extraction
from vapipe.extract.spec import make_specs
from vapipe.extract.task import Settings

SIZE = 176, 144
COVERED = 40  # every so many rows the face is covered ...
HIDDEN = 2  # ... for so many


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, nargs=2, default=(5.0, 60.0))
    parser.add_argument("--fps", type=int, default=5, help="low, so that an hour takes minutes")
    parser.add_argument("--streams", default="onet,logmel")
    parser.add_argument("--extract", type=Path, help="extract this folder; used by the benchmark")
    options = parser.parse_args()
    if options.extract:
        extract(options.extract, options.streams)
        return
    peaks = []
    for minutes in options.minutes:
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder) / "clip.mp4", minutes, options.fps)
            command = [sys.executable, __file__, "--extract", folder, "--streams", options.streams]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows, peak = done.stdout.split()[-2:]
        peaks.append(int(peak))
        print(f"{minutes:.0f} min, {rows} rows: peak {int(peak) / 1024:.1f} MiB", flush=True)
    print(f"ratio {peaks[1] / peaks[0]:.3f}")


def write(path: Path, minutes: float, fps: int) -> None:
    """A clip of a portrait that wanders about, with a hum."""
    from skimage.data import astronaut

    head = np.asarray(Image.fromarray(astronaut()[0:240, 100:340]).resize((120, 120)))

    def draw(row: int) -> np.ndarray:
        image = np.full((SIZE[1], SIZE[0], 3), 40, np.uint8)
        if row % COVERED >= HIDDEN:
            x, y = round(28 + 26 * np.sin(row / 40)), round(12 + 10 * np.cos(row / 33))
            image[y : y + 120, x : x + 120] = head
        return image

    def hum(times: np.ndarray) -> np.ndarray:
        return 0.3 * np.sin(2 * np.pi * 220 * times)

    times = constant_times(Fraction(fps), round(minutes * 60 * fps))
    write_clip(path, times=times, size=SIZE, draw=draw, sound=Sound(signal=hum))


def extract(folder: Path, streams: str) -> None:
    settings = Settings(
        cache=folder / "cache",
        specs=make_specs(choose_options(streams, None, None).streams, CropConfig()),
    )
    for outcome in run_extraction(find_dataset(folder), settings):
        if outcome.status != "extracted":
            raise SystemExit(f"{outcome.status}: {outcome.problems}{outcome.trace}")
        print(*outcome.notes, sep="\n", file=sys.stderr)
        print(outcome.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
