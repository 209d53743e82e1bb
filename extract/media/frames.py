"""Frames of a video as RGB images, one per row of its timeline, from one sequential decode.

Scaling and conversion happen once, inside FFmpeg's swscale. Nothing here looks for faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from .probe import MediaInfo, displayed_rotation, open_media, read_packets

# Frames that wait for earlier ones. Decoders deliver in presentation order; only files whose
# times contradict that order need any.
_REORDER = 8
# Averages over areas, hence no aliasing; the same bits on any machine.
_SCALER = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


@dataclass(frozen=True, eq=False)
class Frame:
    """One row's picture.

    Attributes:
        row: index in the timeline.
        image: [H, W, 3] uint8 RGB as displayed; None where the frame could not be decoded.
        reduced: [h, w, 3] uint8 RGB, the same picture smaller; None unless asked for.
    """

    row: int
    image: np.ndarray | None
    reduced: np.ndarray | None = None


def read_frames(
    info: MediaInfo, *, lines: int | None = None, reduced_lines: int | None = None
) -> Iterator[Frame]:
    """Decode a video once, from beginning to end.

    One thread decodes: with several, what a decoder makes of a damaged stretch depends on timing.
    Pixels are made square; nothing is ever enlarged otherwise.

    Args:
        info: the probed file.
        lines: images are reduced until their shorter side has at most so many pixels.
        reduced_lines: the same for a second, smaller image; None for none.

    Yields:
        A `Frame` for every row 0..T-1, in order, each exactly once.

    Raises:
        MediaError: the file cannot be opened any more.
    """
    place = _Order(info) if info.by_order else _Times(info)
    scaler = VideoReformatter()
    waiting: dict[int, Frame] = {}
    due = 0
    for frame, number in _decode(info):
        row = place.row_of(frame, number)
        if row is None or row < due or row in waiting:
            continue  # belongs to no row, or comes after its row was given up
        image = _convert(scaler, frame, info.pixel_aspect, lines)
        reduced = (
            _convert(scaler, frame, info.pixel_aspect, reduced_lines) if reduced_lines else None
        )
        waiting[row] = Frame(row, image, reduced)
        if len(waiting) > _REORDER:
            for missing in range(due, min(waiting)):
                yield Frame(missing, None)
            due = min(waiting)
        while due in waiting:
            yield waiting.pop(due)
            due += 1
    for row in range(due, len(info.ticks)):
        yield waiting.pop(row) if row in waiting else Frame(row, None)


def _decode(info: MediaInfo) -> Iterator[tuple[av.VideoFrame, int | None]]:
    """Sound frames as the decoder gives them, in order of presentation.

    Each comes with its number as the stream of packets tells it: the packet in hand less the
    decoder's delay; None for the last frames, which come when there is no packet any more.
    """
    count = 0
    with open_media(info.path) as container:
        stream: Any = container.streams[info.index]
        stream.codec_context.thread_count = 1
        packets = read_packets(container, stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.FFmpegError, OSError):  # cut off; `probe` has noted it, its rows end here
                packet = None
            if packet is None:
                return
            if not packet.size and packet.dts is not None:
                continue  # would be taken for the end of the stream
            count += bool(packet.size) and not packet.is_discard
            try:
                frames = packet.decode()
            except av.FFmpegError:  # a damaged packet: its row stays without an image
                continue
            number = count - 1 - stream.codec_context.reorder_depth if packet.size else None
            for frame in frames:
                if not frame.is_corrupt:
                    yield frame, number


class _Times:
    """Finds the row of a frame by its presentation time; equal times fill up in turn."""

    def __init__(self, info: MediaInfo) -> None:
        self._ticks = info.ticks
        self._taken: dict[int, int] = {}  # of the ticks seen last, rows handed out

    def row_of(self, frame: av.VideoFrame, number: int | None) -> int | None:
        if frame.pts is None:
            return None
        row = int(np.searchsorted(self._ticks, frame.pts))
        if row == len(self._ticks) or self._ticks[row] != frame.pts:
            return None
        again = self._taken.pop(frame.pts, 0)
        self._taken[frame.pts] = again + 1
        if len(self._taken) > 2 * _REORDER:
            del self._taken[next(iter(self._taken))]
        row += again
        return row if row < len(self._ticks) and self._ticks[row] == frame.pts else None


class _Order:
    """Counts, for containers whose presentation times do not identify frames.

    Counting packets rather than frames keeps the rows after a damaged stretch in place.
    """

    def __init__(self, info: MediaInfo) -> None:
        self._rows = len(info.ticks)
        self._next = 0

    def row_of(self, frame: av.VideoFrame, number: int | None) -> int | None:
        row = self._next if number is None else max(self._next, number)
        self._next = row + 1
        return row if row < self._rows else None


def _convert(
    scaler: VideoReformatter, frame: av.VideoFrame, aspect: float, lines: int | None
) -> np.ndarray:
    """A frame as [H, W, 3] uint8 RGB, turned for display, its shorter side at most `lines`."""
    width, height = frame.width * aspect, float(frame.height)
    scale = min(1.0, lines / min(width, height)) if lines else 1.0
    picture = scaler.reformat(
        frame,
        width=max(1, round(width * scale)),
        height=max(1, round(height * scale)),
        format="rgb24",
        interpolation=_SCALER,
        threads=1,
    ).to_ndarray()
    turns = displayed_rotation(frame) // 90
    return np.ascontiguousarray(np.rot90(picture, -turns)) if turns else picture
