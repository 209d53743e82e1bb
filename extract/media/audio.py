"""Sound of a video as 16 kHz mono on the container's clock, in blocks; gaps stay gaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np

from . import RATE
from .probe import MediaInfo, open_media, read_packets
from .resample import Resampler

_RATES = range(1000, 400_001)  # hertz; headers that say anything else are damaged
_BLOCK = 10.0  # seconds of a block
_GAP = 0.012  # seconds by which a time may miss the expected one; the rest is a hole or overlap
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


def read_audio(info: MediaInfo) -> Iterator[AudioBlock]:
    """Decode the audio stream once, from beginning to end.

    Positions come from the timestamps: a late start, a hole or an early end moves nothing. Within
    a run of sound samples are counted; timestamps that jitter by less than 12 ms leave no gap, a
    clock that drifts moves the run (by the median of a block) as soon as it is 1.5 ms off. Samples
    that overlap what came before are left out.

    Args:
        info: the probed file; without audio there are no blocks.

    Yields:
        Blocks of about 10 s in order of time.

    Raises:
        MediaError: the file cannot be opened any more.
    """
    run: _SampleRun | None = None
    heard: int | None = None  # end of what has been given out
    for time, rate, samples in _decode(info):
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
        if run.pending >= _BLOCK and (block := run.take(heard, final=False)) is not None:
            heard = block.stop
            yield block
    if run is not None and (block := run.take(heard, final=True)) is not None:
        yield block


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
    """Decoded audio: time of the first sample in seconds (None unknown), rate, mono samples [n]."""
    if info.audio is None:
        return
    with open_media(info.path) as container:
        stream: Any = container.streams[info.audio.index]
        mixer = _Mixer()
        packets = read_packets(container, stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):  # cut off; what follows is a gap
                packet = None
            if packet is None:
                return
            if not packet.size and packet.dts is not None:
                continue  # would be taken for the end of the stream
            try:
                frames = [f for f in packet.decode() if f.samples and f.sample_rate in _RATES]
                mixed = [mixer.mono(frame) for frame in frames]
            except av.FFmpegError:  # a damaged packet, or nothing that can be mixed: a gap
                continue
            for frame, samples in zip(frames, mixed, strict=True):
                time = None if frame.pts is None else float(frame.pts * frame.time_base)
                yield time, frame.sample_rate, samples


class _Mixer:
    """Mixes frames of any sample format and channel layout down to one channel, full scale 1."""

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._resampler: Any = None

    def mono(self, frame: av.AudioFrame) -> np.ndarray:
        """Samples [n] float64; the channels' weights add up to one.

        Raises:
            av.FFmpegError: nothing that FFmpeg can convert.
        """
        # Of channels without names nobody knows how to mix them; they count alike, below.
        unnamed = frame.layout.name.endswith(" channels")
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._resampler = av.AudioResampler(
                format="flt",
                layout=frame.layout.name if unnamed else "mono",
                rate=frame.sample_rate,
                options={"rematrix_maxval": "1.0"},
            )
            self._kind = kind
        mixed = [
            part.to_ndarray().reshape(part.samples, -1) for part in self._resampler.resample(frame)
        ]
        samples = np.concatenate(mixed).astype(np.float64).mean(axis=1)
        return np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
