"""Sound of a video as 16 kHz mono on the container's clock, in blocks; gaps stay gaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from math import nan
from typing import Any, NamedTuple

import av
import numpy as np

from ...errors import counted
from . import RATE, SILENT
from .mixing import Channels
from .packets import open_media, read_packets
from .probe import MediaInfo
from .resample import Resampler
from .rows import longest_rise

_RATES = range(1000, 400_001)  # hertz; headers that say anything else are damaged
_BLOCK = 10.0  # seconds of a block
_GAP = 0.012  # seconds by which a time may miss the expected one; the rest is a hole or overlap
_ENOUGH = 30.0  # seconds of sound that tell whether channels cancel
_CANCELLED = 0.01  # of the channels' power; so little of it is left where they cancel
_DRIFT = 0.0015  # seconds by which a block's times may be off before the run is moved


@dataclass(frozen=True, eq=False)
class AudioBlock:
    """Successive samples; sample k of the block lies at (start + k) / 16000 s on the clock.

    Where a block does not start at the end of the previous one, there is no sound in between.

    Attributes:
        start: index of the first sample; may be negative.
        samples: [n] float32 mono, full scale 1.
    """

    start: int
    samples: np.ndarray

    @property
    def stop(self) -> int:
        """Index just after the last sample."""
        return self.start + len(self.samples)


def read_audio(info: MediaInfo, seconds: float = _BLOCK) -> Iterator[AudioBlock]:
    """Decode the audio stream once, from beginning to end.

    Positions come from the timestamps: a late start, a hole or an early end moves nothing. Within
    a run of sound samples are counted; timestamps that jitter by less than 12 ms leave no gap, a
    clock that drifts moves the run (by the median of a block) as soon as it is 1.5 ms off. Samples
    that overlap what came before are left out.

    Args:
        info: the probed file; without audio there are no blocks.
        seconds: of a block, about.

    Yields:
        Blocks in order of time.

    Raises:
        MediaError: the file cannot be opened any more.
    """
    if info.audio is None:
        return
    run: _SampleRun | None = None
    heard: int | None = None  # end of what has been given out
    sounds = _decode(info)
    if info.rows.has_left_out:
        sounds = compress(sounds, _fitting(info))
    for time, rate, samples in sounds:
        if run is not None and not run.continues(time, rate):
            block = run.take(heard, final=True)
            run = None
            if block is not None:
                heard = block.stop
                yield block
        if run is None:
            run = _SampleRun(
                rate, start=info.audio.start if time is None and info.audio else time or 0.0
            )
        run.push(time, samples)
        if run.pending >= seconds and (block := run.take(heard, final=False)) is not None:
            heard = block.stop
            yield block
    if run is not None and (block := run.take(heard, final=True)) is not None:
        yield block


def _fitting(info: MediaInfo) -> np.ndarray:
    """Of a file whose time goes back, which of the decoded pieces fit on one line of time."""
    found = [sound.time for sound in _sounds(info, _Tally())]
    times = np.array([nan if time is None else time for time in found])
    low, high = info.timeline.edges()[[0, -1]]
    inside = np.flatnonzero((times >= low - _BLOCK) & (times <= high))
    fitting = np.zeros(len(times), bool)
    fitting[inside[longest_rise(times[inside])]] = True
    return fitting


class _SampleRun:
    """Sound without a hole, counted from its first timestamp."""

    def __init__(self, rate: int, *, start: float) -> None:
        self._rate = rate
        self._resampler = Resampler(rate=rate, target=RATE, start=start)
        self._off: list[float] = []  # timestamps less counted times, since the last block
        self.pending = 0.0  # seconds since the last block

    def continues(self, time: float | None, rate: int) -> bool:
        """Whether samples of that time follow the run's without hole, overlap or change."""
        return rate == self._rate and (time is None or abs(time - self._resampler.end) <= _GAP)

    def push(self, time: float | None, samples: np.ndarray) -> None:
        if time is not None:
            self._off.append(time - self._resampler.end)
        self._resampler.push(samples)
        self.pending += len(samples) / self._rate

    def take(self, heard: int | None, *, final: bool) -> AudioBlock | None:
        """What is due from sample `heard` on; then follow the clock where it has drifted."""
        first, samples = self._resampler.pull(final=final)
        if self._off and abs(drift := float(np.median(self._off))) > _DRIFT:
            self._resampler.shift(drift)
        self._off, self.pending = [], 0.0
        if heard is not None and first < heard:
            first, samples = heard, samples[heard - first :]
        return AudioBlock(first, samples) if len(samples) else None


def _decode(info: MediaInfo) -> Iterator[tuple[float | None, int, np.ndarray]]:
    """Decoded audio: time of the first sample in seconds (None unknown), rate, mono samples [n].

    At the end, `info.damage` is told what the user should know of the sound.
    """
    if info.audio is None:
        return
    stream, peak, tally = f"audio stream {info.audio.index}", 0.0, _Tally()
    cancel = info.audio.channels > 1 and _cancel(info)
    for sound in _sounds(info, tally):
        first = int(np.flatnonzero(sound.weights)[0])
        mono = sound.samples[:, first] if cancel else sound.samples @ sound.weights
        peak = max(peak, float(np.abs(mono).max()))
        yield sound.time, sound.rate, mono
    if cancel:
        info.damage.append(f"the channels of {stream} cancel: its first channel alone is heard")
    if tally.refused:
        info.damage.append(
            f"{counted(tally.refused, 'packet')} of {stream} cannot be decoded: there is no sound"
        )
    if peak < SILENT and info.audio.others:
        others = ", ".join(map(str, info.audio.others))
        info.damage.append(
            f"{stream} is silent for its whole length; the file has others: choose with "
            f"--audio-stream {others}"
        )


class _Sound(NamedTuple):
    """Decoded sound: seconds of its first sample, hertz, [n, channels], [channels]."""

    time: float | None
    rate: int
    samples: np.ndarray
    weights: np.ndarray


@dataclass
class _Tally:
    """Packets of sound that could not be decoded."""

    refused: int = 0


def _sounds(info: MediaInfo, tally: _Tally) -> Iterator[_Sound]:
    """All sound in turn; damaged packets leave gaps."""
    assert info.audio is not None
    with open_media(info.path, info.patience) as container:
        stream: Any = container.streams[info.audio.index]
        packets, channels = read_packets(container, stream), Channels()
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):  # cut off; what follows is a gap
                packet = None
            try:
                for frame in stream.codec_context.decode(packet):
                    if frame.samples and frame.sample_rate in _RATES:
                        time = None if frame.pts is None else float(frame.pts * frame.time_base)
                        yield _Sound(time, frame.sample_rate, *channels.read(frame))
            except av.FFmpegError:  # also what cannot be converted
                tally.refused += packet is not None
            if packet is None:
                return


def _cancel(info: MediaInfo) -> bool:
    """Whether hardly anything is left of the channels in their mix: of opposite phases, say.

    Listens until enough is heard to tell.
    """
    mixed = parts = heard = 0.0
    for sound in _sounds(info, _Tally()):
        power = sound.samples**2 @ sound.weights
        if power.mean() > SILENT**2:
            mixed += float(((sound.samples @ sound.weights) ** 2).sum())
            parts += float(power.sum())
            heard += len(power) / sound.rate
        if heard >= _ENOUGH and mixed >= _CANCELLED * parts:
            return False
    return mixed < _CANCELLED * parts
