"""What a media file holds: frame times, streams and facts, by one pass over its packets.

Only the first frame is decoded (it alone tells the rotation). Pixels are read by `frames.py`,
sound by `audio.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from ...cache.timeline import Timeline
from ...errors import MediaError

_PACKETS_FOR_FIRST_FRAME = 64  # a decoder that shows nothing after so many is given up


@dataclass(frozen=True)
class AudioInfo:
    """The audio stream chosen.

    Attributes:
        index: its index in the container.
        codec: name of its codec.
        rate: sampling rate in hertz.
        channels: number of channels.
        start: time of its first sample in seconds on the container's clock.
        duration: seconds from its first to the end of its last packet.
    """

    index: int
    codec: str
    rate: int
    channels: int
    start: float
    duration: float


@dataclass(frozen=True, eq=False)
class MediaInfo:
    """The chosen video stream's timeline and what else extraction must know of a file.

    Attributes:
        path: the file.
        size: its bytes.
        timeline: presentation times of its T frames, seconds on the container's clock.
        ticks: [T] int64, the same times in units of `time_base`, sorted.
        time_base: seconds per tick.
        by_order: True where the container's presentation times do not identify frames (AVI), so
            that the j-th frame decoded is row j; rows then lie at the packets' decoding times.
        index: the video stream's index in the container.
        codec: name of its codec.
        width: pixels as displayed, after rotation, square.
        height: pixels as displayed, after rotation, square.
        pixel_aspect: width of a stored pixel by its height.
        rotation: degrees clockwise by which decoded frames are turned for display.
        rate: the container's nominal frame rate in hertz, None where it gives none.
        audio: the audio stream, None where there is none.
        default_video: index of the container's default video stream.
        default_audio: index of its default audio stream, None where there is none.
        damage: what is wrong with the file although it can be used; empty for a sound one.
    """

    path: Path
    size: int
    timeline: Timeline
    ticks: np.ndarray
    time_base: Fraction
    by_order: bool
    index: int
    codec: str
    width: int
    height: int
    pixel_aspect: float
    rotation: int
    rate: float | None
    audio: AudioInfo | None
    default_video: int
    default_audio: int | None
    damage: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """All of it but the frame times, as plain JSON values."""
        audio = self.audio
        return {
            "bytes": self.size,
            "frames": len(self.timeline),
            "video": {
                "index": self.index,
                "codec": self.codec,
                "width": self.width,
                "height": self.height,
                "pixel_aspect": self.pixel_aspect,
                "rotation": self.rotation,
                "nominal_fps": self.rate,
                "fps": self.timeline.fps,
                "start": float(self.timeline.pts[0]),
                "end": float(self.timeline.edges()[-1]),
                "time_base": str(self.time_base),
                "frames_by_order": self.by_order,
            },
            "audio": None if audio is None else dict(vars(audio)),
            "default": {"video": self.default_video, "audio": self.default_audio},
            "damage": list(self.damage),
        }


@contextmanager
def open_media(path: Path) -> Iterator[InputContainer]:
    """Open a media file with FFmpeg, closed on leaving.

    Raises:
        MediaError: the file does not exist, is empty, or is nothing that FFmpeg reads.
    """
    if not path.is_file():
        raise MediaError(f"{path}: no such file; check the path")
    if not path.stat().st_size:
        raise MediaError(f"{path}: the file is empty (0 bytes); copy or download it again")
    try:
        # As a file: no name is taken for an address, and no playlist leads to the network.
        container = av.open(
            f"file:{path}", metadata_errors="ignore", options={"protocol_whitelist": "file"}
        )
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{path}: {_diagnose(path)} (FFmpeg: {_reason(error)})") from error
    with container:
        yield container


def probe(
    path: Path | str, *, video_stream: int | None = None, audio_stream: int | None = None
) -> MediaInfo:
    """Read the times of all frames of a video from its packets.

    Packets that an edit list discards are no frames. Times are not shifted: an audio stream that
    starts at 0.008 s and a video stream that starts at 0.852 s keep these values.

    Args:
        path: the file.
        video_stream: index in the container, None for the container's default video stream.
        audio_stream: index in the container, None for the container's default audio stream.

    Raises:
        MediaError: the file cannot be read, holds no such stream, no video frame, or no times.
    """
    path = Path(path)
    with open_media(path) as container:
        pictures = [s for s in container.streams.video if not _is_cover(s)]
        video = _choose(path, container, "video", pictures, video_stream)
        if video is None:
            held = ", ".join(sorted({s.type for s in container.streams})) or "nothing"
            cover = " (a cover picture is not a video)" if container.streams.video else ""
            raise MediaError(
                f"{path}: no video stream{cover}; the file holds {held}. Give a file with video"
            )
        if video.codec_context is None:
            raise MediaError(
                f"{path}: no decoder for the codec of video stream {video.index}; convert the "
                "file, e.g. to H.264 in MP4"
            )
        audio = _choose(path, container, "audio", container.streams.audio, audio_stream)
        default = _choose(path, container, "audio", container.streams.audio, None)
        packets = _Packets(container, video, audio)
        if audio_stream is None and packets.audio is None:
            default = None  # announced, but nothing can be heard of it
        by_order = container.format.name == "avi" or packets.presentation is None
        ticks = packets.decoding if by_order else packets.presentation
        if not packets.count:
            raise MediaError(
                f"{path}: the video stream {video.index} holds no frame; the file is cut off or "
                "damaged: copy or download it again"
            )
        if ticks is None:
            raise MediaError(
                f"{path}: the container stores no times for its {packets.count} frames; put the "
                f"stream into one that does, e.g. `ffmpeg -framerate 25 -i {path.name} -c copy "
                "out.mp4`"
            )
        rate = video.average_rate or video.guessed_rate or video.base_rate
        if (ticks[0] == ticks[-1]) and not rate:
            raise MediaError(
                f"{path}: {len(ticks)} frame(s), all at one time, and no frame rate; re-encode the "
                "video with a constant rate"
            )
        time_base = Fraction(video.time_base)
        aspect = float(video.sample_aspect_ratio or 1)
        stored = (round(packets.shape[0] * aspect), packets.shape[1])
        width, height = stored[::-1] if packets.rotation % 180 else stored
        return MediaInfo(
            path=path,
            size=path.stat().st_size,
            timeline=Timeline.from_pts(
                ticks * time_base.numerator / time_base.denominator,
                nominal_fps=float(rate) if rate else None,
            ),
            ticks=ticks,
            time_base=time_base,
            by_order=by_order,
            index=video.index,
            codec=video.codec_context.name,
            width=width,
            height=height,
            pixel_aspect=aspect,
            rotation=packets.rotation,
            rate=float(rate) if rate else None,
            audio=packets.audio,
            default_video=_choose(path, container, "video", pictures, None).index,
            default_audio=None if default is None else default.index,
            damage=tuple(packets.damage),
        )


def read_packets(container: InputContainer, *streams: Any) -> Iterator[Any]:
    """Packets of some streams in the order of the file, then an empty one for each.

    Raises:
        av.FFmpegError: the file cannot be read further.
        OSError: likewise.
    """
    packets = container.demux(streams)
    while True:
        try:
            packet = next(packets)
        # PyAV fails at the end of a file in whose midst streams appeared that it did not announce.
        except (StopIteration, IndexError):
            return
        yield packet


def displayed_rotation(frame: av.VideoFrame) -> int:
    """Degrees clockwise (0, 90, 180, 270) by which a decoded frame must be turned for display."""
    return int(round(-frame.rotation / 90) * 90) % 360


class _Packets:
    """One pass over the packets of a video stream and, if given, an audio stream."""

    def __init__(self, container: InputContainer, video: Any, audio: Any) -> None:
        self.damage: list[str] = []
        if audio is not None and audio.codec_context is None:
            self.damage.append(f"no decoder for the codec of audio stream {audio.index}")
            audio = None
        self.shape = (video.codec_context.width, video.codec_context.height)
        self.rotation = 0
        presented: list[int | None] = []
        decoded: list[int | None] = []
        heard: list[tuple[int, int]] = []  # first tick and end tick of every audio packet
        first: av.VideoFrame | None = None
        video.codec_context.thread_count = 1
        try:
            for packet in read_packets(container, *(s for s in (video, audio) if s is not None)):
                if packet.is_discard or not packet.size:
                    continue
                if packet.stream_index == video.index:
                    presented.append(packet.pts)
                    decoded.append(packet.dts if packet.dts is not None else packet.pts)
                    if first is None and len(presented) <= _PACKETS_FOR_FIRST_FRAME:
                        first = _first_frame(video, packet)
                elif packet.pts is not None:
                    heard.append((packet.pts, packet.pts + (packet.duration or 0)))
        except (av.FFmpegError, OSError) as error:
            self.damage.append(
                f"reading stopped after {len(presented)} video packets ({_reason(error)}); "
                "what comes later is lost"
            )
        if first is None and 0 < len(presented) <= _PACKETS_FOR_FIRST_FRAME:
            first = _first_frame(video, None)  # so short that the decoder still holds all of it
        self.count = len(presented)
        self.presentation = _sorted_ticks(presented)
        self.decoding = _sorted_ticks(decoded)
        self.audio = None if audio is None else _describe_audio(audio, heard)
        if first is None and presented:
            self.damage.append("no frame at the start can be decoded")
        elif first is not None:
            self.rotation = displayed_rotation(first)
            self.shape = (first.width, first.height)


def _first_frame(video: Any, packet: Any) -> av.VideoFrame | None:
    try:
        frames = video.codec_context.decode(packet)
    except av.FFmpegError:  # a damaged packet; `read_frames` marks its row
        return None
    return frames[0] if frames else None


def _sorted_ticks(ticks: Sequence[int | None]) -> np.ndarray | None:
    """The ticks in order, or None where one is missing or there is none."""
    known = [tick for tick in ticks if tick is not None]
    if not known or len(known) < len(ticks):
        return None
    return np.sort(np.asarray(known, dtype=np.int64))


def _describe_audio(audio: Any, heard: Sequence[tuple[int, int]]) -> AudioInfo | None:
    """None for a stream that is announced but holds nothing."""
    if not heard or not audio.codec_context.sample_rate:
        return None
    base = float(audio.time_base)
    stop = max(end for _, end in heard)
    # The stream's start time leaves out what the decoder discards of the first packet.
    start = audio.start_time if audio.start_time is not None else min(tick for tick, _ in heard)
    return AudioInfo(
        index=audio.index,
        codec=audio.codec_context.name,
        rate=audio.codec_context.sample_rate,
        channels=audio.codec_context.channels,
        start=start * base,
        duration=(stop - start) * base,
    )


def _is_cover(stream: Any) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _choose(
    path: Path,
    container: InputContainer,
    kind: Literal["video", "audio"],
    streams: Sequence[Any],
    index: int | None,
) -> Any:
    """The stream with that index; without one, FFmpeg's default of the kind, or None."""
    if index is not None:
        for stream in streams:
            if stream.index == index:
                return stream
        held = ", ".join(f"{s.index} ({_codec(s)})" for s in streams) or "none"
        raise MediaError(
            f"{path}: stream {index} is no {kind} stream; its {kind} streams are: {held}"
        )
    best = container.streams.best(kind)
    return best if best in streams else next(iter(streams), None)


def _codec(stream: Any) -> str:
    return "unknown codec" if stream.codec_context is None else stream.codec_context.name


def _diagnose(path: Path) -> str:
    """In words, why FFmpeg may not read a file, and what to do."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return "the file cannot be opened; check its permissions"
    if head[4:8] == b"ftyp":
        return (
            "an MP4/MOV file whose index (moov) is missing or damaged, as in a file that was cut "
            "off; copy, download or record it again"
        )
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "holds text, not a video; give the media file itself"
    return "not a media file that can be read; copy or download it again, or convert it to MP4"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
