"""Features of a video as it comes, row by row, as soon as what they rest on is known.

The same decoder, detector, tracker and encoders as in `video.py`, with nothing held back to work in
larger batches. Nothing is stored.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..cache.timeline import Timeline
from ..errors import ConfigError
from .dataset import Subject
from .encoders import AudioEncoder
from .faces.crop_config import CropConfig
from .faces.crops import read_crops
from .media import RATE
from .media.audio import AudioBlock, read_audio
from .media.live import read_live
from .media.probe import MediaInfo
from .spec import EncoderSpec
from .video import Stream, embed_crops

_BLOCK_S = 0.1  # of sound that is taken at once
_CONTEXT_S = 1.0  # of sound before a row that is heard again; more than any of these encoders needs

Row = dict[str, tuple[np.ndarray, int]]  # stream -> features [D] as stored, code


@dataclass(frozen=True)
class Delay:
    """How long a row of a stream waits for what comes after its frame.

    Attributes:
        stream: its name.
        seconds: of sound or of rows, at most while the face is seen.
        why: for people.
    """

    stream: str
    seconds: float
    why: str


def require_live(specs: Sequence[EncoderSpec]) -> None:
    """Refuse streams that cannot be made as a video comes.

    Raises:
        ConfigError: names the stream and why.
    """
    for spec in specs:
        if spec.crops is not None and spec.crops.source == "crops":
            raise ConfigError(f"stream {spec.stream} was made of face crops, not of videos")
        if spec.crops is None and spec.encoder_options().reach is None:
            raise ConfigError(
                f"stream {spec.stream}: {spec.encoder} hears windows of many seconds at once, so "
                "its rows come too late to be live; fit a run with logmel, mfcc or vggish"
            )
    if len({spec.crops for spec in specs if spec.crops is not None}) > 1:
        raise ConfigError("streams of pictures that are cropped in different ways cannot be live")


def delays(specs: Sequence[EncoderSpec], fps: float) -> list[Delay]:
    """How far each stream looks ahead, at that frame rate."""
    found = []
    for spec in specs:
        if spec.crops is None:
            seconds = (spec.encoder_options().reach or 0.0) + 1 / fps
            found.append(Delay(spec.stream, seconds, "sound after the frame"))
        elif spec.crops.finds_faces:
            found.append(Delay(spec.stream, *_face_delay(spec.crops, fps)))
    return found


def _face_delay(crops: CropConfig, fps: float) -> tuple[float, str]:
    seconds = crops.every / fps + 2.5 * crops.smooth
    return seconds, (
        f"faces are searched in every {crops.every}th frame and smoothed; up to {crops.patience} s "
        "more while one is lost"
    )


def follow(info: MediaInfo, streams: Sequence[Stream], device: str) -> Iterator[Row]:
    """The rows of a video in order, each with all streams.

    Args:
        info: what `open_live` says.
        streams: ready; see `require_live`.
        device: of the face detector.
    """
    timeline: Any = info.timeline
    audio = [stream for stream in streams if isinstance(stream.encoder, AudioEncoder)]
    seen = [stream for stream in streams if stream not in audio]
    sound = _LiveSound(info, audio)
    waiting: deque[Row] = deque()
    row = 0
    for features in _pictures(info, seen, device):
        waiting.append(features)
        while waiting and (not audio or row + 1 < len(timeline)):  # a frame ends where the next is
            yield waiting.popleft() | sound.at(row)
            row += 1
    while waiting:
        yield waiting.popleft() | sound.at(row)
        row += 1


def _pictures(info: MediaInfo, streams: Sequence[Stream], device: str) -> Iterator[Row]:
    if not streams:
        for _ in read_live(info, lines=1):
            yield {}
        return
    crops = streams[0].spec.crops
    assert crops is not None
    subject = Subject("live")
    batches = read_crops(info, crops, [subject], None, device, rows=1, frames=read_live)
    for batch in batches:
        yield {
            stream.spec.stream: (
                embed_crops(stream, batch, subject.id)[0].astype(stream.spec.dtype),
                int(batch.codes[subject.id][0]),
            )
            for stream in streams
        }


class _LiveSound:
    """The sound so far; what is still needed of it is kept."""

    def __init__(self, info: MediaInfo, streams: Sequence[Stream]) -> None:
        self._timeline: Any = info.timeline
        self._streams = streams
        self._blocks = read_audio(info, _BLOCK_S)
        self._kept: deque[AudioBlock] = deque()
        self._ended = False
        self._reach = max((s.spec.encoder_options().reach or 0.0 for s in streams), default=0.0)

    def at(self, row: int) -> Row:
        """Features of a row of every stream, once all sound that decides them has come."""
        if not self._streams:
            return {}
        pts, fps = self._timeline.pts, self._timeline.fps
        times = np.array(pts[row : row + 2])  # the next frame's tells where this one ends
        end = pts[row + 1] if row + 1 < len(pts) else pts[row] + 1 / fps
        need = (end + self._reach) * RATE + 1
        while not self._ended and (not self._kept or self._kept[-1].stop < need):
            block = next(self._blocks, None)
            self._ended = block is None
            if block is not None:
                self._kept.append(block)
        begin = (pts[row] - self._reach - _CONTEXT_S) * RATE
        while len(self._kept) > 1 and self._kept[1].start < begin:
            self._kept.popleft()
        found: Row = {}
        for stream in self._streams:
            encoder = stream.encoder
            assert isinstance(encoder, AudioEncoder)
            parts = encoder.encode(list(self._kept), Timeline(times, fps))
            features, codes = next(part for part in parts if len(part[1]))
            found[stream.spec.stream] = features[0].astype(stream.spec.dtype), int(codes[0])
        return found
