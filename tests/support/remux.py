"""Writes media files again with other packets, and asks FFmpeg's own tools what is right."""

import shutil
import struct
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import av
import pytest

PROBLEMS = Path(__file__).resolve().parents[3] / "shared" / "media" / "problem"

# The (a, b, c, d) of the display matrix: x' = a x + c y, y' = b x + d y.
MATRICES = [
    (1, 0, 0, 1),
    (0, 1, -1, 0),
    (-1, 0, 0, -1),
    (0, -1, 1, 0),
    (-1, 0, 0, 1),
    (1, 0, 0, -1),
    (0, 1, 1, 0),
    (0, -1, -1, 0),
]


def problem(name: str) -> Path:
    """A real file that is difficult; its test is skipped where it is not there."""
    path = PROBLEMS / name
    if not path.is_file():
        pytest.skip("no difficult files here")
    return path


def remux(
    source: Path, target: Path, edit: Callable[[int, Any], Iterable[Any]] = lambda n, p: [p]
) -> Path:
    """Copy all packets; `edit` turns the n-th packet of the video into those to write."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        count = 0
        for packet in old.demux():
            if not packet.size:
                continue
            is_video = packet.stream.type == "video"
            index = packet.stream.index
            for each in edit(count, packet) if is_video else [packet]:
                each.stream = streams[index]
                new.mux(each)
            count += is_video
    return target


def ffmpeg(*words: object) -> None:
    """Run FFmpeg; the test is skipped where it is not installed."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("FFmpeg's command line is not installed")
    words = ("ffmpeg", "-v", "error", "-y", *words)
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def shown_times(path: Path, stream: int) -> list[int | None]:
    """Times in ticks at which ffprobe shows the frames, in its order; None where it knows none."""
    if shutil.which("ffprobe") is None:
        pytest.skip("FFmpeg's command line is not installed")
    entries = ["-show_entries", "frame=best_effort_timestamp", "-of", "csv=p=0"]
    words = ["ffprobe", "-v", "quiet", "-select_streams", str(stream), *entries, str(path)]
    lines = subprocess.run(words, check=True, capture_output=True, text=True).stdout.split()
    times = [line.strip(",") for line in lines if line.strip(",")]
    return [None if time == "N/A" else int(time) for time in times]


def set_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Of the track header; its translation is of no importance to players."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
