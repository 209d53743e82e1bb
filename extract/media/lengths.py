"""How long a video file says it is, without FFmpeg: what breaks a decoder must not end a planner.

Reads a few box headers of MP4/MOV (ISO/IEC 14496-12), AVI (RIFF), Matroska/WebM (RFC 9559) and
WMV (ASF); other files are judged by their size.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import BinaryIO

_BYTES_PER_S = 10_000  # of a poor video, where a file does not say how long it is
_LEAST_BYTES_PER_S = 50  # of any video; a header that announces a longer one is damaged
_FPS = 30.0  # where a file does not say
_MOST_PARTS = 1000  # of one level that are looked at: a damaged file may announce any number

_MOST_BYTES = 1 << 20  # of a part that is read whole

_Span = tuple[bytes, int, int]  # name of a part of a file, where its content begins and ends


def container_duration(path: Path) -> tuple[float, int]:
    """Seconds and frames that a file says it has, estimated from its size where it says nothing.

    Depends on the file alone, so that every node finds the same; (0, 0) for one that cannot be
    read, which is refused as fast, and listed, when its turn comes.
    """
    try:
        size = path.stat().st_size
        seconds, frames = announced_length(path)
    except OSError:
        return 0.0, 0
    if not 0 < seconds < size / _LEAST_BYTES_PER_S:
        seconds, frames = size / _BYTES_PER_S, 0
    return seconds, frames or round(seconds * _FPS)


def announced_length(path: Path) -> tuple[float, int]:
    """Seconds and frames by the header, 0 where it does not say.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        return _ask(file, os.fstat(file.fileno()).st_size)


def _ask(file: BinaryIO, size: int) -> tuple[float, int]:
    head = _read(file, 0, 12)
    if head[:4] == b"RIFF" and head[8:] == b"AVI ":
        reader: Callable[[BinaryIO, int], tuple[float, int]] = _ask_avi
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        reader = _ask_matroska
    elif head[:4] == _ASF[:4]:
        reader = _ask_asf
    else:
        reader = _ask_mp4
    try:
        seconds, frames = reader(file, size)
    except (struct.error, ZeroDivisionError):  # cut off, or no sense in it
        return 0.0, 0
    return (seconds, frames) if isfinite(seconds) else (0.0, 0)


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    return os.pread(file.fileno(), count, at)


def _unpack(form: str, file: BinaryIO, at: int) -> tuple[int, ...]:
    return struct.unpack(form, _read(file, at, struct.calcsize(form)))


# -- MP4, MOV --------------------------------------------------------------------------------------


def _ask_mp4(file: BinaryIO, size: int) -> tuple[float, int]:
    """Of the video track with most frames."""
    found = [_ask_track(file, *track[1:]) for track in _tracks(file, size)]
    return max(found, key=lambda pair: (pair[1], pair[0]), default=(0.0, 0))


def part_of_mp4(path: Path, index: int) -> bytes:
    """The sample descriptions of a track, by its number; nothing where they are not found.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            tracks = _tracks(file, size)
            span: _Span | None = tracks[index] if index < len(tracks) else None
            for name in (b"mdia", b"minf", b"stbl", b"stsd"):
                span = _within(file, span, name)
        except struct.error:  # cut off
            span = None
        return _read(file, span[1], min(span[2] - span[1], _MOST_BYTES)) if span else b""


def _tracks(file: BinaryIO, size: int) -> list[_Span]:
    movie = _within(file, (b"", 0, size), b"moov")
    inside = _boxes(file, *movie[1:]) if movie else iter(())
    return [part for part in inside if part[0] == b"trak"]


def _ask_track(file: BinaryIO, start: int, stop: int) -> tuple[float, int]:
    media = _within(file, (b"trak", start, stop), b"mdia")
    kind = _within(file, media, b"hdlr")
    if kind is None or _read(file, kind[1] + 8, 4) != b"vide":
        return 0.0, 0
    seconds = 0.0
    header = _within(file, media, b"mdhd")
    if header is not None:
        (version,) = _unpack(">B", file, header[1])
        where, form = (20, ">IQ") if version == 1 else (12, ">II")
        scale, length = _unpack(form, file, header[1] + where)
        seconds = length / scale
    sizes = _within(file, _within(file, _within(file, media, b"minf"), b"stbl"), b"stsz")
    frames = _unpack(">I", file, sizes[1] + 8)[0] if sizes is not None else 0
    return seconds, frames


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[_Span]:
    for _ in range(_MOST_PARTS):
        if start + 8 > stop:
            return
        size, name = struct.unpack(">I4s", _read(file, start, 8))
        content = start + 8
        if size == 1:
            (size,) = _unpack(">Q", file, content)
            content += 8
        end = start + size if size else stop
        if not content <= end <= stop:
            return
        yield name, content, end
        start = end


def _within(file: BinaryIO, span: _Span | None, name: bytes) -> _Span | None:
    """The first box of a name in another."""
    inside = _boxes(file, *span[1:]) if span else iter(())
    return next((box for box in inside if box[0] == name), None)


# -- AVI -------------------------------------------------------------------------------------------


def _ask_avi(file: BinaryIO, size: int) -> tuple[float, int]:
    """Of the first video stream: RIFF 'AVI ' > LIST 'hdrl' > LIST 'strl' > 'strh'."""
    for name, start, stop in _chunks(file, 12, size):
        if name != b"LIST" or _read(file, start, 4) != b"hdrl":
            continue
        for kind, inner, end in _chunks(file, start + 4, stop):
            if kind != b"LIST" or _read(file, inner, 4) != b"strl":
                continue
            for part, header, _ in _chunks(file, inner + 4, end):
                if part == b"strh" and _read(file, header, 4) == b"vids":
                    scale, rate, _, length = _unpack("<4I", file, header + 20)
                    return length * scale / rate, length
        break
    return 0.0, 0


def _chunks(file: BinaryIO, start: int, stop: int) -> Iterator[_Span]:
    for _ in range(_MOST_PARTS):
        if start + 8 > stop:
            return
        name, size = struct.unpack("<4sI", _read(file, start, 8))
        end = min(start + 8 + size, stop)
        yield name, start + 8, end
        start = end + size % 2


# -- Matroska, WebM --------------------------------------------------------------------------------

_SEGMENT, _INFO, _SCALE, _DURATION = (
    bytes.fromhex(code) for code in ("18538067", "1549a966", "2ad7b1", "4489")
)


def _ask_matroska(file: BinaryIO, size: int) -> tuple[float, int]:
    """Segment > Info > Duration, in units of TimestampScale nanoseconds; frames are not told."""
    scale, ticks = 1_000_000, 0.0
    for segment in islice(_elements(file, 0, size), 2):
        for part in _elements(file, *segment[1:]) if segment[0] == _SEGMENT else ():
            if part[0] != _INFO:
                continue
            for name, start, stop in _elements(file, *part[1:]):
                if name == _SCALE:
                    scale = int.from_bytes(_read(file, start, min(8, stop - start)), "big")
                elif name == _DURATION:
                    (ticks,) = _unpack(">d" if stop - start == 8 else ">f", file, start)
            return ticks * scale / 1e9, 0
    return 0.0, 0


def _elements(file: BinaryIO, start: int, stop: int) -> Iterator[_Span]:
    for _ in range(_MOST_PARTS):
        head = _read(file, start, 12)
        if start >= stop or not head or not head[0]:
            return
        name = head[: 9 - head[0].bit_length()]
        rest = head[len(name) :]
        if not rest or not rest[0]:
            return
        width = 9 - rest[0].bit_length()
        size = int.from_bytes(rest[:width], "big") & ((1 << 7 * width) - 1)
        content = start + len(name) + width
        unknown = size == (1 << 7 * width) - 1
        end = stop if unknown else min(content + size, stop)
        yield name, content, end
        start = end


# -- WMV -------------------------------------------------------------------------------------------

_ASF, _PROPERTIES = (
    bytes.fromhex(code)
    for code in ("3026b2758e66cf11a6d900aa0062ce6c", "a1dcab8c47a9cf118ee400c00c205365")
)


def _ask_asf(file: BinaryIO, size: int) -> tuple[float, int]:
    """Header object > file properties > play duration less preroll; frames are not told."""
    at = 30
    for _ in range(_MOST_PARTS):
        (length,) = _unpack("<Q", file, at + 16)
        if _read(file, at, 16) == _PROPERTIES:
            ticks, _, milliseconds = _unpack("<QQQ", file, at + 64)
            return ticks / 1e7 - milliseconds / 1e3, 0
        at += max(length, 24)
    return 0.0, 0
