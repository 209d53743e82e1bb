"""Writes small media files of known content: any frame times, any streams, flashes, clicks."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FILM, PAL, NTSC, THIRTY, DOUBLE = (
    Fraction(24000, 1001),
    Fraction(25),
    Fraction(30000, 1001),
    Fraction(30),
    Fraction(60000, 1001),
)
RATES = (FILM, PAL, NTSC, THIRTY, DOUBLE)
DARK, BRIGHT = 40, 230  # grey levels without and with flash
CLICK = 0.002  # seconds


@dataclass(frozen=True)
class Sound:
    """An audio track.

    Attributes:
        start: time of the first sample in seconds.
        seconds: its length; None as long as the video.
        rate: samples per second.
        layout: FFmpeg's name of the channel layout.
        codec: FFmpeg's name of the encoder.
        signal: amplitude at given times in seconds; clicks are added. None is silence.
        holes: (from, to) in seconds that are left out of the file.
        clock: factor of the timestamps; 1.001 makes a track whose samples run too fast.
    """

    start: float = 0.0
    seconds: float | None = None
    rate: int = 44100
    layout: str = "mono"
    codec: str = "aac"
    signal: Callable[[np.ndarray], np.ndarray] | None = None
    holes: tuple[tuple[float, float], ...] = ()
    clock: float = 1.0


@dataclass(frozen=True)
class Clip:
    """What was written.

    Attributes:
        path: the file.
        pts: [T] presentation times in seconds.
        events: rows that are white; the click is in the middle of the row's interval.
    """

    path: Path
    pts: np.ndarray
    events: list[int] = field(default_factory=list)


def constant_times(fps: Fraction, rows: int, start: float = 0.0) -> list[Fraction]:
    """Frame times of a constant rate, the first at the frame raster's time nearest to `start`."""
    first = Fraction(round(start * 90000), 90000)
    return [first + row / fps for row in range(rows)]


def variable_times(rows: int, seed: int = 0, start: float = 0.0) -> list[Fraction]:
    """Frame times with steps of 13 to 42 ms on a raster of 1/15360 s."""
    steps = np.random.default_rng(seed).integers(200, 641, rows - 1)
    ticks = np.concatenate([[0], np.cumsum(steps)]) + round(start * 15360)
    return [Fraction(int(tick), 15360) for tick in ticks]


def write_videos(folder: Path, lengths: Iterable[int]) -> Path:
    """Clips v0, v1 ... of so many rows, with sound."""
    for number, rows in enumerate(lengths):
        write_clip(folder / f"v{number}.mp4", times=constant_times(PAL, rows), sound=Sound())
    return folder


def write_clip(
    path: Path,
    *,
    times: Sequence[Fraction],
    size: tuple[int, int] = (48, 32),
    events: Sequence[int] = (),
    sound: Sound | None = None,
    draw: Callable[[int], np.ndarray] | None = None,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
    decoys: bool = False,
    container: dict[str, str] | None = None,
    form: str | None = None,
) -> Clip:
    """Write a clip.

    Args:
        path: its suffix chooses the container.
        times: presentation time of every frame in seconds.
        size: width and height in pixels.
        events: rows with flash and, if there is sound, click.
        sound: the audio track, None for none.
        draw: gives the image [H, W, 3] uint8 of a row; default grey. Flashes replace it.
        codec: FFmpeg's name of the video encoder.
        pixels: pixel format.
        options: options of the video encoder.
        decoys: put a smaller video stream and a quieter audio stream before the real ones.
        container: options of the container.
        form: FFmpeg's name of the container; None as the suffix says.
    """
    pts = np.array([float(time) for time in times])
    raster = Fraction(1, int(np.lcm.reduce([time.denominator for time in times])))
    step = np.median(np.diff(pts)) if len(pts) > 1 else 0.04
    flashes = set(events)
    edges = np.append(pts, pts[-1] + step)
    clicks = [(edges[row] + edges[row + 1]) / 2 for row in events]
    with av.open(str(path), "w", format=form, options=container or {}) as file:
        extra = (
            _VideoTrack(file, codec, (16, 16), pixels, raster, step, options) if decoys else None
        )
        quiet = _AudioTrack(file, Sound(seconds=edges[-1], rate=8000), []) if decoys else None
        video = _VideoTrack(file, codec, size, pixels, raster, step, options)
        audio = None
        if sound is not None:
            audio = _AudioTrack(file, sound, clicks, default_stop=float(edges[-1]))
        grey = np.full((size[1], size[0], 3), DARK, np.uint8)
        for row, time in enumerate(times):
            for track in (quiet, audio):
                if track is not None:
                    track.write(until=float(time) + 1.0)
            if row in flashes:
                video.write(time, np.full_like(grey, BRIGHT))
            else:
                video.write(time, grey if draw is None else draw(row))
            if extra is not None:
                extra.write(time, np.zeros((16, 16, 3), np.uint8))
        for track in (quiet, audio, video, extra):
            if track is not None:
                track.finish()
    return Clip(path, pts, list(events))


class _VideoTrack:
    def __init__(
        self,
        file: av.container.OutputContainer,
        codec: str,
        size: tuple[int, int],
        pixels: str,
        raster: Fraction,
        step: float,
        options: dict[str, str] | None,
    ) -> None:
        self._file = file
        self._stream = file.add_stream(
            codec, rate=Fraction(1 / step).limit_denominator(1001), options=options or {}
        )
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = pixels
        self._stream.time_base = self._stream.codec_context.time_base = raster
        self._stream.codec_context.thread_count = 1
        self._raster = raster
        self._image: np.ndarray | None = None
        self._frame: av.VideoFrame | None = None

    def write(self, time: Fraction, image: np.ndarray) -> None:
        if image is not self._image:  # most frames of long clips are one and the same
            self._image = image
            rgb = av.VideoFrame.from_ndarray(image, format="rgb24")
            self._frame = rgb.reformat(format=self._stream.pix_fmt)
        self._frame.pts, self._frame.time_base = int(time / self._raster), self._raster
        self._file.mux(self._stream.encode(self._frame))

    def finish(self) -> None:
        self._file.mux(self._stream.encode(None))


class _AudioTrack:
    def __init__(
        self,
        file: av.container.OutputContainer,
        sound: Sound,
        clicks: Sequence[float],
        default_stop: float = 0.0,
    ) -> None:
        self._file, self._sound, self._clicks = file, sound, np.asarray(clicks)
        self._stream = file.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)
        self._next = round(sound.start * sound.rate)
        stop = default_stop if sound.seconds is None else sound.start + sound.seconds
        self._stop = round(stop * sound.rate)
        self._holes = [(round(a * sound.rate), round(b * sound.rate)) for a, b in sound.holes]
        self._noise = np.random.default_rng(1).uniform(-0.9, 0.9, round(CLICK * sound.rate))

    def write(self, until: float) -> None:
        """Write up to a time in whole chunks of 1024 samples."""
        stop = min(self._stop, int(until * self._sound.rate))
        while self._next + 1024 <= stop:
            self._write(1024)

    def finish(self) -> None:
        self.write(self._stop / self._sound.rate + 1)
        if self._next < self._stop:
            self._write(self._stop - self._next)
        self._file.mux(self._stream.encode(None))

    def _write(self, count: int) -> None:
        first, self._next = self._next, self._next + count
        if any(low < first + count and first < high for low, high in self._holes):
            return
        times = (first + np.arange(count)) / self._sound.rate
        samples = self._sound.signal(times) if self._sound.signal else np.zeros(count)
        for click in self._clicks[(self._clicks > times[0] - 0.01) & (self._clicks <= times[-1])]:
            at = round(click * self._sound.rate) - first
            low, high = max(0, at), min(count, at + len(self._noise))
            if low < high:
                samples[low:high] += self._noise[low - at : high - at]
        channels = len(av.AudioLayout(self._sound.layout).channels)
        frame = av.AudioFrame.from_ndarray(
            np.tile(samples.astype(np.float32), (channels, 1)),
            format="fltp",
            layout=self._sound.layout,
        )
        frame.sample_rate = self._sound.rate
        frame.pts, frame.time_base = round(first * self._sound.clock), Fraction(1, self._sound.rate)
        self._file.mux(self._stream.encode(frame))
