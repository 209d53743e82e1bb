"""Writes a video again with two values per frame drawn beside it, in time and with its sound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ..cache.durable import atomic_file
from ..errors import ConfigError, MediaError, counted
from ..extract.media.frames import read_frames
from ..extract.media.packets import open_media, read_packets
from ..extract.media.probe import MediaInfo, probe
from .panel import Panel

_HEIGHT = 540  # pixels that pictures are reduced to
_CODECS = {"libx264": {"preset": "veryfast", "crf": "23"}, "mpeg4": {"qscale": "3"}}
_SOUNDS_OF_MP4 = (
    "aac",
    "mp3",
    "mp3float",
    "ac3",
    "eac3",
    "alac",
    "opus",
    "flac",
)  # MKV takes any other


def write_overlay(
    source: Path,
    stem: Path,
    values: np.ndarray,
    *,
    names: Sequence[str] = ("valence", "arousal"),
    shaded: Mapping[str, np.ndarray] | None = None,
    boxes: np.ndarray | None = None,
    title: str = "",
    video_stream: int | None = None,
) -> Path:
    """Draw values beside the frames of a video: the file written.

    Every frame keeps its presentation time, and the sound is copied as it is. Frames that could
    not be decoded are dark; of several frames at one time the first is written.

    Args:
        stem: where to write, without suffix: .mp4, or .mkv where MP4 cannot hold the sound.
        values: [T, 2], a row per frame.
        shaded: why values are to be taken with care -> [T] bool; such stretches are shaded, and
            the reason is written.
        boxes: [T, 4] of faces, left, top, width and height in pixels of the frame as displayed,
            NaN where there is none; None for no boxes.
        title: what the values are of, e.g. the run's name.
        video_stream: index in the container, None for the default one.

    Raises:
        ConfigError: another number of rows than the video has frames.
        MediaError: the video cannot be read, or the result not be encoded.
    """
    info = probe(source, video_stream=video_stream)
    if values.shape != (len(info.timeline), 2):
        raise ConfigError(
            f"{source}: values of shape {values.shape} for a video of "
            f"{counted(len(info.timeline), 'frame')}; "
            "an overlay needs a row of two values per frame"
        )
    is_mp4 = info.audio is None or info.audio.codec in _SOUNDS_OF_MP4
    target = stem.with_name(f"{stem.name}.{'mp4' if is_mp4 else 'mkv'}")

    def panel(picture: tuple[int, int]) -> Panel:
        scaled = None if boxes is None else boxes * (picture[1] / info.height)
        return Panel(picture, info.timeline.pts, values, names, shaded, scaled, title)

    with atomic_file(target) as partial:
        try:
            _write(info, partial, "mp4" if is_mp4 else "matroska", panel)
        except (av.FFmpegError, ValueError) as error:
            raise MediaError(
                f"{target}: the overlay of {source} cannot be encoded ({error}); convert the "
                "video, e.g. to H.264 with AAC in MP4, and try again"
            ) from error
    return target


def _write(
    info: MediaInfo, path: Path, form: str, make_panel: Callable[[tuple[int, int]], Panel]
) -> None:
    scale = min(1.0, _HEIGHT / info.height)
    lines = max(1, round(min(info.width, info.height) * scale))
    panel: Panel | None = None
    scaler = VideoReformatter()
    with ExitStack() as stack:
        file = stack.enter_context(av.open(str(path), "w", format=form))
        video = _add_video(file, info)
        sound = stack.enter_context(_Sound(info, file))
        before: int | None = None
        for frame in read_frames(info, lines=lines):
            if panel is None:
                shape = (round(info.height * scale), round(info.width * scale))
                if frame.image is not None:
                    shape = frame.image.shape[:2]
                panel = make_panel((shape[1], shape[0]))
                video.width, video.height = panel.size
            tick = int(info.ticks[frame.row])
            if tick == before:
                continue
            before = tick
            sound.copy(until=info.timeline.pts[frame.row] + 1)
            canvas = panel.draw(frame.row, frame.image)
            drawn = av.VideoFrame.from_ndarray(canvas, format="rgb24")
            picture = scaler.reformat(drawn, format="yuv420p")
            picture.pts, picture.time_base = tick, info.time_base
            file.mux(video.encode(picture))
        sound.copy(until=np.inf)
        file.mux(video.encode(None))


def _add_video(file: Any, info: MediaInfo) -> Any:
    codec = next(name for name in _CODECS if name in av.codecs_available)
    rate = Fraction(info.timeline.fps).limit_denominator(1001)
    stream = file.add_stream(codec, rate=rate, options=_CODECS[codec])
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = info.time_base
    return stream


class _Sound:
    """Copies the packets of the sound, if there is any, as the pictures go on."""

    def __init__(self, info: MediaInfo, file: Any) -> None:
        self._info, self._file = info, file
        self._stack = ExitStack()
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None

    def __enter__(self) -> _Sound:
        if self._info.audio is not None:
            container = self._stack.enter_context(open_media(self._info.path))
            source: Any = container.streams[self._info.audio.index]
            self._stream = self._file.add_stream_from_template(source)
            self._packets = read_packets(container, source)
            self._waiting = self._next()
        return self

    def __exit__(self, *reason: object) -> None:
        self._stack.close()

    def copy(self, until: float) -> None:
        """Write the packets that begin before a time in seconds."""
        while self._waiting is not None:
            packet = self._waiting
            if packet.pts * packet.time_base > until:
                return
            packet.stream = self._stream
            self._file.mux(packet)
            self._waiting = self._next()

    def _next(self) -> Any:
        """The next packet with a time; None at the end, or where the file is cut off."""
        while True:
            try:
                packet = next(self._packets, None)
            except (av.FFmpegError, OSError):  # `probe` has told of it
                return None
            if packet is None or (packet.size and packet.pts is not None):
                return packet
