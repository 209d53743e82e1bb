"""Pictures of a file that is being written, or of a camera, as they come.

Rows are the pictures in the order in which they are shown. What `probe` mends in files that
contradict themselves is not mended here: a picture whose time does not rise has no row.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from ...errors import MediaError
from .frames import Converter, Frame, Tally
from .packets import decode_packet, decode_video, open_media, prepare_decoder, read_packets
from .probe import AudioInfo, MediaInfo, choose_stream, describe_picture, is_cover

_LEAST = 2048  # bytes by which FFmpeg tells what a file is


class LiveTimeline:
    """The times of the frames so far, in place of a `Timeline`.

    Attributes:
        pts: seconds on the container's clock.
        decoded: when each was decoded, by `time.monotonic`.
        complete: whether no more will come.
    """

    def __init__(self, rate: float) -> None:
        """Start without frames, at a nominal rate in hertz."""
        self.pts: list[float] = []
        self.decoded: list[float] = []
        self.complete = False
        self._rate = rate

    def __len__(self) -> int:
        return len(self.pts)

    @property
    def fps(self) -> float:
        """The mean rate so far, as `Timeline.from_pts` has it."""
        span = self.pts[-1] - self.pts[0] if self.pts else 0.0
        return (len(self.pts) - 1) / span if span > 0 else self._rate


def open_live(
    path: Path,
    patience: float,
    *,
    video_stream: int | None = None,
    audio_stream: int | None = None,
) -> MediaInfo:
    """What is known of a file that is being written, or of a camera, once it shows a picture.

    Its timeline is a `LiveTimeline`, which `read_live` fills. Of several channels of sound the mean
    is heard: that they cancel shows only later.

    Args:
        path: the file or the camera's device.
        patience: seconds without anything new after which it has ended.
        video_stream: index in the container, None for the default one.
        audio_stream: likewise.

    Raises:
        MediaError: it cannot be opened, or shows nothing for so long.
    """
    until = time.monotonic() + patience
    while path.is_file() and path.stat().st_size < _LEAST and time.monotonic() < until:
        time.sleep(0.05)
    with open_media(path, patience) as container:
        videos = [s for s in container.streams.video if not is_cover(s)]
        video = choose_stream(path, container, "video", videos, video_stream)
        audio = choose_stream(path, container, "audio", container.streams.audio, audio_stream)
        first = None if video is None else _first_picture(container, video)
        if first is None:
            raise MediaError(f"{path}: no picture came within {patience:g} s; is it being written?")
        rate = float(video.average_rate or video.guessed_rate or video.base_rate or 25)
        damage: list[str] = []
        timeline: Any = LiveTimeline(rate)
        rows: Any = _Nothing()
        return MediaInfo(
            **describe_picture(video, first, damage),
            path=path,
            size=0,
            timeline=timeline,
            time_base=Fraction(video.time_base),
            rows=rows,
            index=video.index,
            codec=video.codec_context.name,
            rate=rate,
            audio=None
            if audio is None or audio.codec_context is None
            else AudioInfo(
                index=audio.index,
                codec=audio.codec_context.name,
                rate=audio.codec_context.sample_rate,
                channels=1,
                start=0.0,
                duration=0.0,
            ),
            default_video=video.index,
            default_audio=None if audio is None else audio.index,
            damage=damage,
            patience=patience,
        )


class _Nothing:
    """In place of `Rows`: there is no list of them."""

    has_left_out = False


def _first_picture(container: Any, video: Any) -> av.VideoFrame | None:
    prepare_decoder(video)
    try:
        for number, packet in enumerate(read_packets(container, video)):
            if frames := decode_packet(video, packet, number).frames:
                return frames[0]
    except (av.FFmpegError, OSError):  # nothing came for too long
        pass
    return next(iter(decode_packet(video, None, 0).frames), None)


def read_live(
    info: MediaInfo, *, lines: int | None = None, reduced_lines: int | None = None
) -> Iterator[Frame]:
    """Decode pictures as they come, as `read_frames` does those of a complete file."""
    timeline: Any = info.timeline
    convert, tally = Converter(info, lines, reduced_lines), Tally()
    for decoded in decode_video(info.path, info.index, info.patience):
        for frame in decoded.frames:
            pts = None if frame.pts is None else float(frame.pts * info.time_base)
            if pts is None or (timeline.pts and pts <= timeline.pts[-1]):
                continue
            timeline.pts.append(pts)
            timeline.decoded.append(time.monotonic())
            yield convert(len(timeline) - 1, frame, tally)
    timeline.complete = True
