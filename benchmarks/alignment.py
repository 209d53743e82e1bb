"""Measures whether flash and click of one moment land on one row, over the whole of long clips.

Writes a clip per frame rate with PyAV (tiny frames, AAC sound), reads it back with the extraction's
own code, and prints a Markdown table. Run: `python benchmarks/alignment.py --minutes 120`, some
20 min. VGGish has generated weights: where it hears a click does not depend on them. Of WavLM the
windows, strides and interpolation are measured, with the energy in place of the network.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/support"))

from clips import CLICK, NTSC, RATES, Clip, Sound, constant_times, variable_times, write_clip
from trained import trained

from vapipe.cache import Timeline
from vapipe.extract.encoders import AudioEncoder, create_encoder
from vapipe.extract.encoders.waveform import WaveformEncoder, cut_steps
from vapipe.extract.media.audio import RATE, AudioBlock, read_audio
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import MediaInfo, probe
from vapipe.extract.networks.vggish import VGGish

EVERY = 3.0  # seconds between events
REACH = 12  # rows around an event that are searched
VGGISH_EVENTS = 9  # at which VGGish is measured, from the first to the last
VGGISH_EDGE = 0.42, 0.55  # seconds from a click between which windows begin or cease to hear it
BETWEEN = 4  # moments per row at which VGGish is measured, for fractions of a frame
COLUMNS = (
    "clip",
    "frames",
    "events",
    "flash off by (start / end / worst)",
    "click off by (start / end / worst)",
    "click's time off by (worst)",
    "vggish off by (start / end / worst)",
    "wavlm off by (start / end / worst)",
    "rounded hop off by (end)",
)


class WavLMSteps(WaveformEncoder):
    """In place of WavLM's network the energy of what each of its features sees, 25 ms every 20 ms.

    Windows, strides and interpolation are those of `wavlm`.
    """

    name = "wavlm"
    dim = 1
    batch = 1
    steps = cut_steps("wavlm", chunk=10.0, context=1.5, hop=320, field=400)

    def embed(self, windows: np.ndarray) -> np.ndarray:
        """Energies [b, F, 1] of windows [b, n]."""
        fields = np.lib.stride_tricks.sliding_window_view(windows, self.steps.field, axis=1)
        return (fields[:, :: self.steps.hop] ** 2).sum(axis=-1, keepdims=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.5, help="length of every clip")
    seconds = parser.parse_args().minutes * 60
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "vggish.pt"
        torch.save(trained(VGGish).state_dict(), weights)
        vggish = create_encoder("vggish", weights=weights, precision="float32")
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
            print("| " + " | ".join([name, *measure(clip, vggish)]) + " |", flush=True)
    print(f"\nOffsets in rows; {time.perf_counter() - began:.0f} s in all.")


def events(times: list) -> list[int]:
    """Rows about every `EVERY` seconds, the last ones included."""
    pts = np.array([float(t) for t in times])
    wanted = np.arange(pts[0] + 1.0, pts[-1] - 1.0, EVERY)
    return np.searchsorted(pts, wanted).tolist()


def measure(clip: Clip, vggish: AudioEncoder) -> list[str]:
    """The table's cells for a clip."""
    info = probe(clip.path)
    light = np.array([frame.image.mean() for frame in read_frames(info)])
    edges = info.timeline.edges()
    middles = ((edges[:-1] + edges[1:]) / 2)[clip.events]  # seconds, where the clicks are
    heard: list[float] = []
    blocks = listen(read_audio(info), middles + CLICK / 2, heard)
    parts = create_encoder("logmel").encode(blocks, info.timeline)
    sound = np.concatenate([np.exp(f.astype(np.float64)).sum(axis=1) for f, _ in parts])
    assert len(light) == len(sound) == len(clip.pts)
    return [
        str(len(light)),
        str(len(clip.events)),
        offsets(clip, light),
        offsets(clip, sound),
        f"{max(heard, key=abs) * info.timeline.fps:+.2f}",
        vggish_offsets(info, middles + CLICK / 2, vggish),
        wavlm_offsets(info, middles + CLICK / 2),
        rounded_hop(info.timeline),
    ]


def listen(
    blocks: Iterable[AudioBlock], expected: np.ndarray, heard: list[float]
) -> Iterator[AudioBlock]:
    """Pass blocks on; add to `heard` by how many seconds each click is late (centre of energy)."""
    reach = round(0.02 * RATE)
    for block in blocks:
        for click in np.round(expected * RATE).astype(int):
            if block.start + reach <= click < block.stop - reach:
                at = click - block.start
                power = block.samples[at - reach : at + reach + 1].astype(np.float64) ** 2
                late = (power * np.arange(-reach, reach + 1)).sum() / power.sum()
                heard.append(float(late) / RATE)
        yield block


def offsets(clip: Clip, values: np.ndarray) -> str:
    """Rows by which the maximum near the first, the last and the worst event is off."""
    off = [int(values[row - REACH : row + REACH + 1].argmax()) - REACH for row in clip.events]
    return f"{off[0]:+d} / {off[-1]:+d} / {max(off, key=abs):+d}"


def vggish_offsets(info: MediaInfo, clicks: np.ndarray, encoder: AudioEncoder) -> str:
    """Frames by which the middle of the moments that hear a click is off the click.

    Embedded are the rows, and moments between them, whose windows just hear some of the clicks.
    """
    chosen = clicks[np.linspace(0, len(clicks) - 1, VGGISH_EVENTS).astype(int)]
    pts = info.timeline.pts
    moments = np.interp(np.arange(0, len(pts) - 1, 1 / BETWEEN), np.arange(len(pts)), pts)
    moments = np.concatenate([_edges(moments, click) for click in chosen])
    timeline = Timeline(moments, info.timeline.fps * BETWEEN)
    parts = encoder.encode(read_audio(info), timeline)
    values = np.concatenate([features for features, _ in parts])
    off = []
    for click in chosen:
        here = np.abs(moments - click) < VGGISH_EDGE[1]
        moved = np.abs(values[here] - values[here][0]).max(axis=1)
        hears = moments[here][moved > 0.2 * moved.max()]
        off.append(((hears[0] + hears[-1]) / 2 - click) * info.timeline.fps)
    return f"{off[0]:+.2f} / {off[-1]:+.2f} / {max(off, key=abs):+.2f}"


def wavlm_offsets(info: MediaInfo, clicks: np.ndarray) -> str:
    """Frames by which the centre of the energy in WavLM's steps is off each click.

    Rows, and moments between them, are interpolated as `wavlm` does it.
    """
    pts = info.timeline.pts
    moments = np.interp(np.arange(0, len(pts) - 1, 1 / BETWEEN), np.arange(len(pts)), pts)
    timeline = Timeline(moments, info.timeline.fps * BETWEEN)
    parts = WavLMSteps().encode(read_audio(info), timeline)
    energy = np.concatenate([features for features, _ in parts])[:, 0].astype(np.float64)
    off = []
    for click in clicks:
        near = slice(*np.searchsorted(moments, [click - 0.1, click + 0.1]))
        weight = energy[near] * np.gradient(moments[near])
        off.append(((weight * moments[near]).sum() / weight.sum() - click) * info.timeline.fps)
    return f"{off[0]:+.2f} / {off[-1]:+.2f} / {max(off, key=abs):+.2f}"


def _edges(moments: np.ndarray, click: float) -> np.ndarray:
    away = np.abs(moments - click)
    return moments[(away > VGGISH_EDGE[0]) & (away < VGGISH_EDGE[1])]


def rounded_hop(timeline: Timeline) -> str:
    """Rows by which positions of `round(16000 / fps)` samples per row would be off at the end."""
    rows = np.arange(len(timeline))
    heard = rows * round(RATE / timeline.fps) / RATE  # where row i would be looked for
    seen = timeline.pts - timeline.pts[0]
    return f"{(heard - seen)[-1] * timeline.fps:+.1f}"


if __name__ == "__main__":
    main()
