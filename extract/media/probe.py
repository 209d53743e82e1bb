"""What a media file holds: frame times, streams and facts, by one pass over its packets.

Only the first picture is decoded, and all of them where packets do not tell the pictures. Pixels
are read by `frames.py`, sound by `audio.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from ...cache.timeline import Timeline
from ...errors import MediaError, counted
from .claims import find_shortfall, is_encrypted
from .orientation import Orientation
from .packets import (
    Decoded,
    decode_packet,
    decode_video,
    open_media,
    packet_of,
    prepare_decoder,
    read_packets,
    reason,
)
from .pictures import UNSURE, Counter, picture_counter
from .rows import PacketLog, PictureLog, Rows, rows_of_packets, rows_of_pictures

_WIDEST = 10.0  # a pixel by its height; headers that say more are damaged
_PACKETS_FOR_FIRST_PICTURE = 64  # a decoder that shows nothing after so many sees all of them


@dataclass(frozen=True)
class AudioInfo:
    """The audio stream chosen.

    Attributes:
        rate: sampling rate in hertz.
        start: time of its first sample in seconds on the container's clock.
        duration: seconds from its first to the end of its last packet.
        others: indices of the file's other audio streams.
    """

    index: int
    codec: str
    rate: int
    channels: int
    start: float
    duration: float
    others: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class MediaInfo:
    """The chosen video stream's timeline and what else extraction must know of a file.

    Attributes:
        size: bytes.
        timeline: presentation times of its T frames, seconds on the container's clock.
        time_base: seconds per tick.
        rows: [T] ticks, and which row every picture is.
        index: the video stream's index in the container.
        width: pixels as displayed, after rotation, square.
        height: pixels as displayed, after rotation, square.
        pixel_aspect: width of a stored pixel by its height.
        orientation: how decoded frames are turned and mirrored for display.
        rate: the container's nominal frame rate in hertz, None where it gives none.
        default_video: index of the container's default video stream.
        default_audio: index of its default audio stream, None where there is none.
        damage: what is wrong with the file although it can be used; empty for a sound one. Who
            reads pictures or sound adds what shows only then.
        choices: which of several streams was taken where nobody said which.
        patience: of `open_media`, for a file that is being written; 0 for one that is complete.
    """

    path: Path
    size: int
    timeline: Timeline
    time_base: Fraction
    rows: Rows
    index: int
    codec: str
    width: int
    height: int
    pixel_aspect: float
    orientation: Orientation
    rate: float | None
    audio: AudioInfo | None
    default_video: int
    default_audio: int | None
    damage: list[str] = field(default_factory=list)
    choices: tuple[str, ...] = ()
    patience: float = 0.0

    @property
    def ticks(self) -> np.ndarray:
        """[T] int64, the times of the timeline in units of `time_base`, sorted."""
        return self.rows.ticks

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
                "rotation": self.orientation.rotation,
                "mirrored": self.orientation.mirrored,
                "nominal_fps": self.rate,
                "fps": self.timeline.fps,
                "start": float(self.timeline.pts[0]),
                "end": float(self.timeline.edges()[-1]),
                "time_base": str(self.time_base),
                "frames_by_order": self.rows.by_order,
            },
            "audio": None if audio is None else dict(vars(audio)),
            "default": {"video": self.default_video, "audio": self.default_audio},
            "damage": list(self.damage),
        }


def probe(
    path: Path | str, *, video_stream: int | None = None, audio_stream: int | None = None
) -> MediaInfo:
    """Read the times of all pictures that a video shows.

    Packets whose pictures are hidden or discarded by an edit list are no frames. Times are not
    shifted: an audio stream that starts at 0.008 s and a video stream that starts at 0.852 s keep
    these values.

    Args:
        path: the file.
        video_stream: index in the container, None for the container's default video stream.
        audio_stream: index in the container, None for the container's default audio stream.

    Raises:
        MediaError: the file cannot be read, holds no such stream, no video frame, or no times.
    """
    path = Path(path)
    with open_media(path) as container:
        videos = [s for s in container.streams.video if not is_cover(s)]
        video = choose_stream(path, container, "video", videos, video_stream)
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
        if is_encrypted(path, container.format.name, video.index):
            raise MediaError(
                f"{path}: video stream {video.index} is encrypted (DRM), and no picture of it can "
                "be seen; get the video without encryption"
            )
        audio = choose_stream(path, container, "audio", container.streams.audio, audio_stream)
        default = choose_stream(path, container, "audio", container.streams.audio, None)
        found = _Pass(path, container, video, audio)
        if audio_stream is None and found.audio is None:
            default = None  # announced, but nothing can be heard of it
        if not found.log.pts:
            raise MediaError(
                f"{path}: the video stream {video.index} holds no frame; the file is cut off or "
                "damaged: copy or download it again"
            )
        nominal = video.average_rate or video.guessed_rate or video.base_rate
        rate = float(nominal) if nominal else None
        time_base = Fraction(video.time_base)
        rows, first = _find_rows(path, container, video, found, Fraction(nominal or 25))
        if rows.ticks[0] == rows.ticks[-1] and not rate:
            raise MediaError(
                f"{path}: {counted(len(rows.ticks), 'frame')} at one time, and no frame rate; "
                "re-encode the video with a constant rate"
            )
        return MediaInfo(
            **describe_picture(video, first, found.damage),
            path=path,
            size=path.stat().st_size,
            timeline=Timeline.from_pts(
                rows.ticks * time_base.numerator / time_base.denominator, nominal_fps=rate
            ),
            time_base=time_base,
            rows=rows,
            index=video.index,
            codec=video.codec_context.name,
            rate=rate,
            audio=found.audio,
            default_video=choose_stream(path, container, "video", videos, None).index,
            default_audio=None if default is None else default.index,
            damage=[*found.damage, *rows.notes],
            choices=(
                *_name_choice("video", videos, video, video_stream),
                *_name_choice("audio", container.streams.audio, audio, audio_stream),
            ),
        )


def describe_picture(video: Any, first: av.VideoFrame, damage: list[str]) -> dict[str, Any]:
    """How pictures are displayed, as `MediaInfo` has it; `damage` is told what cannot be."""
    aspect = float(video.sample_aspect_ratio or 1)
    if not 1 / _WIDEST <= aspect <= _WIDEST:
        damage.append(f"pixels are said to be {aspect:.3g} times as wide as high: ignored")
        aspect = 1.0
    orientation = Orientation.of(first) or Orientation()
    stored = (round(first.width * aspect), first.height)
    width, height = stored[::-1] if orientation.swap else stored
    return {
        "width": width,
        "height": height,
        "pixel_aspect": aspect,
        "orientation": orientation,
    }


def _find_rows(
    path: Path, container: InputContainer, video: Any, found: _Pass, rate: Fraction
) -> tuple[Rows, av.VideoFrame]:
    """The rows, as packets tell them or else the decoder, and the first picture."""
    timed, first = _is_timed(container), found.first
    if first is not None:
        rows = rows_of_packets(
            found.log,
            delayed=video.codec_context.has_b_frames,
            first=None if found.refused else packet_of(first),
            timed=timed,
        )
        if rows is not None:
            return rows, first
    log, first = PictureLog(), None
    for decoded in decode_video(path, video.index):
        if decoded.refused:
            log.refused.append(decoded.number)
        for frame in decoded.frames:
            first = first or frame
            log.packets.append(packet_of(frame))
            log.pts.append(frame.pts)
            log.dts.append(frame.dts)
    if first is None:
        raise MediaError(
            f"{path}: none of the {len(found.log.pts)} packets of video stream {video.index} can "
            "be decoded; the file is damaged or encrypted: copy or download it again"
        )
    base = Fraction(video.time_base)
    return rows_of_pictures(found.log, log, rate=rate, base=base, timed=timed), first


class _Pass:
    """One pass over the packets of all streams; decodes the first picture."""

    def __init__(self, path: Path, container: InputContainer, video: Any, audio: Any) -> None:
        self.damage: list[str] = []
        if audio is not None and audio.codec_context is None:
            self.damage.append(f"no decoder for the codec of audio stream {audio.index}")
            audio = None
        self.log = PacketLog()
        self.first: av.VideoFrame | None = None
        self.refused = False  # any packet before the first picture
        self._patience = _PACKETS_FOR_FIRST_PICTURE
        heard: list[tuple[int, int]] = []  # first tick and end tick of every audio packet
        ends: dict[int, tuple[int, Fraction]] = {}  # ticks at which the streams end
        counts: dict[int, int] = {}  # packets of the streams
        count = _counter(container, video)
        self._video = video
        prepare_decoder(video)
        try:
            for packet in read_packets(container):
                counts[packet.stream_index] = counts.get(packet.stream_index, 0) + 1
                if packet.stream_index == video.index:
                    self._add(packet, count)
                elif (
                    audio is not None
                    and packet.stream_index == audio.index
                    and packet.pts is not None
                    and not packet.is_discard
                ):
                    heard.append((packet.pts, packet.pts + (packet.duration or 0)))
                time = packet.pts if packet.pts is not None else packet.dts
                if time is not None:
                    end = time + (packet.duration or 0)
                    known = ends.get(packet.stream_index)
                    if known is None or end > known[0]:
                        ends[packet.stream_index] = end, packet.time_base
        except (av.FFmpegError, OSError) as error:
            self.damage.append(
                f"reading stopped after {len(self.log.pts)} video packets ({reason(error)}); "
                "what comes later is lost"
            )
        if self.first is None and 0 < len(self.log.pts) <= _PACKETS_FOR_FIRST_PICTURE:
            self._look(decode_packet(video, None, len(self.log.pts)))  # the decoder held all of it
        self.audio = None if audio is None else _describe_audio(audio, heard)
        used = [stream for stream in (video, audio) if stream is not None]
        end = max((float(tick * base) for tick, base in ends.values()), default=0.0)
        self.damage += find_shortfall(container, path, used, counts, end)

    def _add(self, packet: Any, count: Counter | None) -> None:
        number = len(self.log.pts)
        self.log.pts.append(packet.pts)
        self.log.dts.append(packet.dts)
        self.log.discard.append(packet.is_discard)
        self.log.key.append(packet.is_keyframe)
        self.log.shown.append(count(bytes(packet)) if count else UNSURE)
        if count is None or self.first is not None or self._patience < 0:
            return
        self._patience -= not packet.is_discard and True in self.log.key
        self._look(decode_packet(self._video, packet, number))

    def _look(self, decoded: Decoded) -> None:
        if decoded.frames:
            self.first = decoded.frames[0]
        self.refused |= decoded.refused and decoded.number >= self.log.first_key()


def _counter(container: InputContainer, video: Any) -> Counter | None:
    """What counts the pictures of packets; None where a decoder must."""
    codec = video.codec_context.codec
    if not _is_timed(container) and not codec.intra_only:
        return None
    extradata = video.codec_context.extradata
    return picture_counter(codec.canonical_name, extradata, intra_only=codec.intra_only)


def _is_timed(container: InputContainer) -> bool:
    """Whether the container stores presentation times; FFmpeg makes up those of AVI."""
    return container.format.name != "avi"


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
        others=tuple(s.index for s in audio.container.streams.audio if s.index != audio.index),
    )


def is_cover(stream: Any) -> bool:
    """Whether a video stream is the picture on the cover of a sound file."""
    return bool(stream.disposition & Disposition.attached_pic)


def choose_stream(
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
        held = _list(streams) or "none"
        raise MediaError(
            f"{path}: stream {index} is no {kind} stream; its {kind} streams are: {held}"
        )
    best = container.streams.best(kind)
    return best if best in streams else next(iter(streams), None)


def _name_choice(kind: str, streams: Sequence[Any], taken: Any, index: int | None) -> list[str]:
    """Which stream was taken of several, unless that was asked for."""
    if index is not None or len(streams) < 2:
        return []
    others = _list(s for s in streams if s.index != taken.index)
    return [
        f"{len(streams)} {kind} streams: {_list([taken])} is taken, not {others}; "
        f"--{kind}-stream takes another"
    ]


def _list(streams: Iterable[Any]) -> str:
    codecs = ((s.index, s.codec_context) for s in streams)
    return ", ".join(f"{i} ({c.name if c else 'unknown codec'})" for i, c in codecs)
