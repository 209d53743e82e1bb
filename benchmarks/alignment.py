"""Measures whether flash and click of one moment land on one row, from the start to minute 20.

Writes a clip per frame rate with PyAV (tiny frames, AAC sound), reads it back with the extraction's
own code, and prints a Markdown table. Run: `python benchmarks/alignment.py [MINUTES]`, some 3 min.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from clips import NTSC, RATES, Clip, Sound, constant_times, variable_times, write_clip

from vapipe.cache import Timeline
from vapipe.extract.audio import RATE, read_audio
from vapipe.extract.encoders import create_encoder
from vapipe.extract.frames import read_frames
from vapipe.extract.media import probe

EVERY = 3.0  # seconds between events
REACH = 12  # rows around an event that are searched
COLUMNS = (
    "clip",
    "frames",
    "events",
    "flash off by (start / end / worst)",
    "click off by (start / end / worst)",
    "rounded hop off by (end)",
)


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 20.5
    seconds = minutes * 60
    cases = {
        f"{float(fps):.2f} fps": (constant_times(fps, round(seconds * fps)), Sound())
        for fps in RATES
    }
    rows = round(seconds / 0.0273)
    cases["variable, 13 to 42 ms"] = variable_times(rows), Sound()
    late = constant_times(NTSC, round(seconds * NTSC), 0.852)
    cases["29.97 fps, video from 0.852 s"] = late, Sound(rate=48000)
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    began = time.perf_counter()
    for name, (times, sound) in cases.items():
        with tempfile.TemporaryDirectory() as folder:
            clip = write_clip(
                Path(folder) / "clip.mp4", times=times, sound=sound, events=events(times)
            )
            print("| " + " | ".join([name, *measure(clip)]) + " |", flush=True)
    print(f"\nOffsets in rows; {time.perf_counter() - began:.0f} s in all.")


def events(times: list) -> list[int]:
    """Rows about every `EVERY` seconds, the last ones included."""
    pts = np.array([float(t) for t in times])
    wanted = np.arange(pts[0] + 1.0, pts[-1] - 1.0, EVERY)
    return np.searchsorted(pts, wanted).tolist()


def measure(clip: Clip) -> list[str]:
    """The table's cells for a clip."""
    info = probe(clip.path)
    light = np.array([frame.image.mean() for frame in read_frames(info)])
    parts = create_encoder("logmel").encode(read_audio(info), info.timeline)
    sound = np.concatenate([np.exp(f.astype(np.float64)).sum(axis=1) for f, _ in parts])
    assert len(light) == len(sound) == len(clip.pts)
    return [
        str(len(light)),
        str(len(clip.events)),
        offsets(clip, light),
        offsets(clip, sound),
        rounded_hop(info.timeline),
    ]


def offsets(clip: Clip, values: np.ndarray) -> str:
    """Rows by which the maximum near the first, the last and the worst event is off."""
    off = [int(values[row - REACH : row + REACH + 1].argmax()) - REACH for row in clip.events]
    return f"{off[0]:+d} / {off[-1]:+d} / {max(off, key=abs):+d}"


def rounded_hop(timeline: Timeline) -> str:
    """Rows by which positions of `round(16000 / fps)` samples per row would be off at the end."""
    rows = np.arange(len(timeline))
    heard = rows * round(RATE / timeline.fps) / RATE  # where row i would be looked for
    seen = timeline.pts - timeline.pts[0]
    return f"{(heard - seen)[-1] * timeline.fps:+.1f}"


if __name__ == "__main__":
    main()
