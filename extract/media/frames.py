"""Pictures of a video, one per row of its timeline, from one sequential decode."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from ...errors import counted
from ..stages import timed, timed_items
from .orientation import Orientation
from .packets import decode_video, packet_of
from .picture import Picture
from .probe import MediaInfo
from .rows import REORDER


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
    rows, convert = info.rows, _Converter(info, lines, reduced_lines)
    waiting: dict[int, Frame] = {}
    tally, due, given = _Tally(), 0, 0
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


@dataclass
class _Tally:
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


class _Converter:
    """Makes the frames of one video; the orientation stays as last said."""

    def __init__(self, info: MediaInfo, lines: int | None, reduced_lines: int | None) -> None:
        self._scalers = VideoReformatter(), VideoReformatter()
        self._info, self._orientation = info, info.orientation
        self._lines, self._reduced_lines = lines, reduced_lines

    def __call__(self, row: int, frame: av.VideoFrame, tally: _Tally) -> Frame:
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
