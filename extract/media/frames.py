"""Pictures of a video, one per row of its timeline, from one sequential decode."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, islice
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ...errors import counted
from ..stages import timed, timed_items
from .orientation import Orientation
from .packets import (
    decode_packet,
    decode_video,
    open_media,
    packet_of,
    prepare_decoder,
    read_packets,
)
from .picture import Picture
from .probe import MediaInfo
from .rows import REORDER

_SAMPLED = 500  # rows


@dataclass(frozen=True, eq=False)
class Frame:
    """One row's picture.

    Attributes:
        row: index in the timeline.
        picture: as displayed; None where the frame could not be decoded.
        reduced: [h, w, 3] uint8 RGB, the same picture smaller; None unless asked for.
    """

    row: int
    picture: Picture | None
    reduced: np.ndarray | None = None

    @property
    def image(self) -> np.ndarray | None:
        """[H, W, 3] uint8 RGB: all of the picture, converted on every call."""
        return None if self.picture is None else self.picture.rgb()


def read_frames(
    info: MediaInfo, *, lines: int | None = None, reduced_lines: int | None = None
) -> Iterator[Frame]:
    """Decode a video once, from beginning to end.

    Pixels are made square; nothing is ever enlarged otherwise. At the end, `info.damage` is told
    where the pictures were not those that the packets announced.

    Args:
        info: the probed file.
        lines: pictures are reduced until their shorter side has at most so many pixels.
        reduced_lines: the same for a second, smaller one in RGB; None for none.

    Yields:
        A `Frame` for every row 0..T-1, in order, each exactly once.

    Raises:
        MediaError: the file cannot be opened any more.
    """
    rows, convert = info.rows, Converter(info, lines, reduced_lines)
    waiting: dict[int, Frame] = {}
    tally, due, given = Tally(), 0, 0
    for decoded in timed_items("decode", decode_video(info.path, info.index)):
        tally.refused += decoded.refused
        for frame in decoded.frames:
            row = rows.row_of(given if rows.by_order else packet_of(frame))
            given += 1
            if row < 0:
                tally.surplus += not rows.by_order
                continue
            if row < due or row in waiting:
                tally.surplus += 1
                continue
            tally.doubtful += frame.is_corrupt
            with timed("convert"):
                waiting[row] = convert(row, frame, tally)
            tally.placed += 1
            if len(waiting) > REORDER:
                for missing in range(due, min(waiting)):
                    yield Frame(missing, None)
                due = min(waiting)
            while due in waiting:
                yield waiting.pop(due)
                due += 1
    for row in range(due, len(rows.ticks)):
        yield waiting.pop(row) if row in waiting else Frame(row, None)
    info.damage.extend(tally.notes(len(rows.ticks)))


def sample_frames(info: MediaInfo, count: int) -> Iterator[Frame]:
    """Some frames that are spread over a video, for looking at it.

    They are in the middles of `count` equal parts; where a key frame is near, in the same part, it
    is taken instead, so that hardly more than these frames is decoded. Of a video whose pictures
    only a decoder can number (`Rows.by_order`) they are from the first `_SAMPLED`.

    Yields:
        At most `count` frames in order of rows, each once.

    Raises:
        MediaError: the file cannot be opened any more.
    """
    total = len(info.rows.ticks)
    if info.rows.by_order:
        total = min(total, _SAMPLED)
        wanted = {int((part + 0.5) * total / count) for part in range(count)}
        yield from (f for f in islice(read_frames(info), max(wanted) + 1) if f.row in wanted)
        return
    with open_media(info.path) as container:
        packets = enumerate(read_packets(container, container.streams[info.index]))
        keys = [number for number, packet in packets if packet.is_keyframe]
    near = np.array([row for number in keys if (row := info.rows.row_of(number)) >= 0])
    wanted = set()
    for part in range(count):
        row = int((part + 0.5) * total / count)
        key = int(near[np.abs(near - row).argmin()]) if len(near) else row
        wanted.add(key if int(key * count / total) == part else row)
    found = {frame.row: frame for frame in _decode_rows(info, keys, wanted)}
    yield from (found.get(row, Frame(row, None)) for row in sorted(wanted))


def _decode_rows(info: MediaInfo, keys: Sequence[int], wanted: set[int]) -> Iterator[Frame]:
    """Decode just what is needed for some rows: of a group from its key packet to the last one."""
    convert, tally = Converter(info, None, None), Tally()
    due: dict[int, set[int]] = {}  # group, by the number of key packets before -> its rows
    for number in np.flatnonzero(np.isin(info.rows.places, list(wanted))).tolist():
        due.setdefault(bisect_right(keys, number), set()).add(info.rows.row_of(number))
    with open_media(info.path) as container:
        stream: Any = container.streams[info.index]
        prepare_decoder(stream)
        packets = enumerate(read_packets(container, stream))
        for group, own in groupby(packets, lambda packet: bisect_right(keys, packet[0])):
            rows = due.get(group, set())
            if rows:
                stream.codec_context.flush_buffers()
            for number, packet in chain(own, [(-1, None)]) if rows else ():
                for frame in decode_packet(stream, packet, number).frames:
                    row = info.rows.row_of(packet_of(frame))
                    if row in rows:
                        rows.remove(row)
                        yield convert(row, frame, tally)
                if not rows:
                    break


@dataclass
class Tally:
    """How the pictures that a decoder gives agree with the rows that `probe` found."""

    placed: int = 0
    surplus: int = 0
    doubtful: int = 0
    refused: int = 0
    spaces: Counter[int] = field(default_factory=Counter)

    def notes(self, rows: int) -> list[str]:
        """What the user should know."""
        notes = []
        if self.surplus:
            notes.append(f"the decoder gives {counted(self.surplus, 'picture')} without a frame")
        if rows - self.placed > self.refused:
            notes.append(
                f"the decoder gives {self.placed} pictures for {rows} frames and calls "
                f"{counted(self.refused, 'packet')} damaged"
            )
        if self.doubtful:
            notes.append(f"{counted(self.doubtful, 'picture')} may be damaged, says the decoder")
        for space, count in self.spaces.items():
            notes.append(
                f"colour space {space} (ITU-T H.273) of {counted(count, 'picture')} is not known "
                "here: colours may be wrong"
            )
        return notes


class Converter:
    """Makes the frames of one video; the orientation stays as last said."""

    def __init__(self, info: MediaInfo, lines: int | None, reduced_lines: int | None) -> None:
        self._scalers = VideoReformatter(), VideoReformatter()
        self._info, self._orientation = info, info.orientation
        self._lines, self._reduced_lines = lines, reduced_lines

    def __call__(self, row: int, frame: av.VideoFrame, tally: Tally) -> Frame:
        """The frame of a row; `tally` is told of strange colours."""
        self._orientation = Orientation.of(frame) or self._orientation
        picture = Picture(
            frame,
            self._orientation,
            aspect=self._info.pixel_aspect,
            lines=self._lines,
            scaler=self._scalers[0],
        )
        if picture.strange is not None:
            tally.spaces[picture.strange] += 1
        if not self._reduced_lines:
            return Frame(row, picture)
        return Frame(row, picture, picture.rgb(self._reduced_lines, self._scalers[1]))
