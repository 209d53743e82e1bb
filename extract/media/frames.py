"""Frames of a video as RGB images, one per row of its timeline, from one sequential decode.

Scaling and conversion happen once, inside FFmpeg's swscale. Nothing here looks for faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from .orientation import Orientation
from .packets import decode_video, packet_of
from .probe import MediaInfo
from .rows import REORDER

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

    Pixels are made square; nothing is ever enlarged otherwise. At the end, `info.damage` is told
    where the pictures were not those that the packets announced.

    Args:
        info: the probed file.
        lines: images are reduced until their shorter side has at most so many pixels.
        reduced_lines: the same for a second, smaller image; None for none.

    Yields:
        A `Frame` for every row 0..T-1, in order, each exactly once.

    Raises:
        MediaError: the file cannot be opened any more.
    """
    rows, convert = info.rows, _Converter(info)
    waiting: dict[int, Frame] = {}
    tally, due, given = _Tally(), 0, 0
    for decoded in decode_video(info.path, info.index):
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
            image = convert.rgb(frame, lines)
            reduced = convert.rgb(frame, reduced_lines) if reduced_lines else None
            waiting[row] = Frame(row, image, reduced)
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

    def notes(self, rows: int) -> list[str]:
        """What the user should know."""
        notes = []
        if self.surplus:
            notes.append(f"{self.surplus} picture(s) that the decoder gives belong to no frame")
        if rows - self.placed > self.refused:
            notes.append(
                f"the decoder gives {self.placed} pictures for {rows} frames and calls "
                f"{self.refused} packet(s) damaged"
            )
        if self.doubtful:
            notes.append(f"{self.doubtful} picture(s) may be damaged, says the decoder")
        return notes


class _Converter:
    """Turns frames into images; the orientation stays as last said."""

    def __init__(self, info: MediaInfo) -> None:
        self._scaler = VideoReformatter()
        self._aspect = info.pixel_aspect
        self._orientation = info.orientation

    def rgb(self, frame: av.VideoFrame, lines: int | None) -> np.ndarray:
        """[H, W, 3] uint8 RGB, turned for display, its shorter side at most `lines`."""
        self._orientation = Orientation.of(frame) or self._orientation
        width, height = frame.width * self._aspect, float(frame.height)
        scale = min(1.0, lines / min(width, height)) if lines else 1.0
        picture = self._scaler.reformat(
            frame,
            width=max(1, round(width * scale)),
            height=max(1, round(height * scale)),
            format="rgb24",
            interpolation=_SCALER,
            threads=1,
        ).to_ndarray()
        return self._orientation.apply(picture)
