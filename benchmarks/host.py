"""Processor time per frame of the host's work by stage, with an encoder that costs nothing.

Prints a Markdown table per clip, beside pure decoding by PyAV and (where it is installed)
torchcodec, all in one thread and in turns; then what it means for Aff-Wild2.
Run: `python benchmarks/host.py CLIPS... --repeats 3`, some 2 min per 1000 frames.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch loads

import av
import numpy as np
import torch

from vapipe.extract.dataset import Subject, Video
from vapipe.extract.encoders import VisualEncoder
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.faces.detector import FaceDetector
from vapipe.extract.media.probe import MediaInfo, probe
from vapipe.extract.options import StreamConfig
from vapipe.extract.spec import make_specs
from vapipe.extract.stages import take_times
from vapipe.extract.task import Settings, Task
from vapipe.extract.video import Stream, extract_video

DEVICE = ("search", "track")  # stages that a device takes over where there is one
AFF_WILD2 = 2.8e6  # frames
CORES = 16


class Free(VisualEncoder):
    """Costs nothing."""

    name, dim, input_size = "free", 1, 112

    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        """Zeros."""
        return np.zeros((len(crops), 1), np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", type=Path, nargs="+", help="videos with a face")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    searched = count_searches()
    ways: dict[str, Any] = {"PyAV": pyav, "torchcodec": torchcodec}
    if not has_torchcodec():
        print("torchcodec is not installed: left out")
        del ways["torchcodec"]
    extract(probe(options.clips[0]))  # imports and first calls
    for clip in options.clips:
        info = probe(clip)
        runs: list[Counter[str]] = []
        searched.clear()
        for _ in range(options.repeats):
            runs.append(Counter({name: processor_time(way, info)[0] for name, way in ways.items()}))
            whole, stages = processor_time(extract, info)
            runs[-1].update(stages)
            runs[-1]["the rest"] = whole - sum(stages.values())
            runs[-1]["all"] = whole
        report(info, runs, list(ways), searched.total() / options.repeats)


def report(info: MediaInfo, runs: list[Counter[str]], ways: list[str], searches: float) -> None:
    """Medians in ms per frame, as a table of one row; and the sums."""
    rows = len(info.timeline)
    names = dict.fromkeys(name for run in runs for name in run)
    ms = {n: 1000 * statistics.median(run[n] for run in runs) / rows for n in names}
    print(f"\n{info.path.name}: {info.codec}, {info.width}x{info.height}, {rows} frames\n")
    print("| " + " | ".join(ms) + " |\n" + "|---" * len(ms) + "|")
    print("| " + " | ".join(f"{value:.2f}" for value in ms.values()) + " |\n")
    moved = sum(ms.get(stage, 0.0) for stage in DEVICE)
    ratios = [run["all"] / run[ways[0]] for run in runs]
    print(
        f"{100 * searches / rows:.1f} searches per 100 frames; all is "
        f"{statistics.median(ratios):.2f} x {ways[0]}; without {' and '.join(DEVICE)} "
        f"{ms['all'] - moved:.2f} ms"
    )
    for what, value in (("all", ms["all"]), ("without them", ms["all"] - moved)):
        minutes = AFF_WILD2 * value / 1000 / CORES / 60
        print(f"Aff-Wild2 on {CORES} cores, {what}: {minutes:.0f} min", flush=True)


def processor_time(work: Any, info: MediaInfo) -> tuple[float, dict[str, float]]:
    """Seconds of all threads of this process, and those of stages."""
    take_times()
    began = time.process_time()
    work(info)
    spent = time.process_time() - began
    return spent, {name: s for name, s in take_times().items() if not name.startswith("wait ")}


def extract(info: MediaInfo) -> None:
    """All of it: digest, probing, decoding, faces, crops, shard."""
    with tempfile.TemporaryDirectory() as name:
        (spec,) = make_specs([StreamConfig("free", "onet")], CropConfig())
        video = Video("v", info.path, (Subject("v"),))
        task = Task(video, {"free": ("v",)}, timeline=True)
        extract_video(task, Settings(Path(name), (spec,)), [Stream(spec, Free())])


def pyav(info: MediaInfo) -> None:
    """Pictures as the decoder gives them, none converted."""
    with av.open(str(info.path)) as file:
        file.streams[info.index].codec_context.thread_count = 1
        for _ in file.decode(file.streams[info.index]):
            pass


def torchcodec(info: MediaInfo) -> None:
    """RGB pictures; the decoder converts them."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(info.path), stream_index=info.index, num_ffmpeg_threads=1)
    for _ in decoder:
        pass


def has_torchcodec() -> bool:
    try:
        import torchcodec.decoders  # noqa: F401
    except (ImportError, RuntimeError, OSError) as error:  # it fails in many ways
        print(error.__class__.__name__, file=sys.stderr)
        return False
    return True


def count_searches() -> Counter[str]:
    """Counts the pictures that the detector is given."""
    counted: Counter[str] = Counter()
    plain = FaceDetector.detect

    def detect(self: FaceDetector, images: Any) -> Any:
        counted["pictures"] += len(images) if isinstance(images, list) else 1
        return plain(self, images)

    FaceDetector.detect = detect  # type: ignore[method-assign]
    return counted


if __name__ == "__main__":
    main()
