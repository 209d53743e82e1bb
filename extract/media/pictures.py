"""How many pictures a packet of video shows, told by its first bits without decoding.

VP8, VP9 and AV1 hide frames, H.264 may split one into fields; other codecs only a decoder knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

UNSURE = -1  # the stream is of a kind that only a decoder can count
Counter = Callable[[bytes], int]


def picture_counter(codec: str, extradata: bytes | None, *, intra_only: bool) -> Counter | None:
    """A function from a packet's bytes to the number of pictures shown, or `UNSURE`.

    Damaged bytes count as one picture, so that a damaged packet keeps its row.

    Args:
        codec: FFmpeg's name of the codec.
        extradata: what the container stores beside the packets.
        intra_only: whether every packet of the codec is a picture of its own.

    Returns:
        None for a codec whose packets do not tell.
    """
    extra = extradata or b""
    if codec == "h264":
        return _H264(_length_size(extra, 4), _h264_headers(extra)).count
    if codec == "hevc":
        return partial(_count_hevc, length=_length_size(extra, 21))
    if codec == "vp8":
        return _count_vp8
    if codec == "vp9":
        return _count_vp9
    if codec in ("av1", "libdav1d", "libaom-av1"):
        return partial(_count_av1, still=_is_still_av1(extra[4:]))
    return _count_one if intra_only else None


def _count_one(packet: bytes) -> int:
    return 1


# -- H.264 and HEVC --------------------------------------------------------------------------------

_START = re.compile(b"\x00\x00\x01")
_HEAD = 256  # bytes of a unit that are looked at


def _length_size(extra: bytes, at: int) -> int:
    """Bytes of a NAL unit's length in avcC and hvcC; 0 where units begin with start codes."""
    return (extra[at] & 3) + 1 if len(extra) > at and extra[0] == 1 else 0


def _nals(packet: bytes, length: int) -> Iterator[bytes]:
    """The first bytes of each NAL unit.

    Raises:
        ValueError: lengths that make no sense.
    """
    if not length:
        for start in _START.finditer(packet):
            yield packet[start.end() : start.end() + _HEAD]
        return
    at = 0
    while at < len(packet):
        size = int.from_bytes(packet[at : at + length], "big")
        at += length
        if not 0 < size <= len(packet) - at:
            raise ValueError
        yield packet[at : at + min(size, _HEAD)]
        at += size


class _H264:
    """Counts pictures by their slices; of a pair of fields, the first one counts.

    Slices begin with first_mb_in_slice, 0 (the bit 1) in the first one of a frame or field.
    """

    def __init__(self, length: int, headers: Sequence[bytes]) -> None:
        self._length = length
        self._fields: _Interlaced | None = None
        self._waiting: tuple[int, int] | None = None  # frame_num and parity of a field without pair
        for header in headers:
            self._fields = _read_header(header) or self._fields

    def count(self, packet: bytes) -> int:
        """See `picture_counter`."""
        slices = pictures = 0
        whole = False  # whether the first slice of anything is there
        try:
            for nal in _nals(packet, self._length):
                kind = nal[0] & 31 if nal else 0
                if kind == 7:
                    self._fields = _read_header(nal)
                elif kind in (1, 2, 5):
                    slices += 1
                    if len(nal) > 1 and nal[1] >> 7:
                        whole = True
                        pictures += self._fields is None or self._begins(self._fields, nal)
        except (ValueError, IndexError):
            return 1
        return pictures if whole else min(slices, 1)

    def _begins(self, fields: _Interlaced, nal: bytes) -> bool:
        """Whether a first slice begins a frame, or the first field of one."""
        field = fields.field(nal)
        before, self._waiting = self._waiting, field
        if field is None or before is None or before[0] != field[0] or before[1] == field[1]:
            return True
        self._waiting = None
        return False


def _count_hevc(packet: bytes, *, length: int) -> int:
    """Slices begin with first_slice_segment_in_pic_flag.

    After a broken link or an end of sequence a decoder leaves pictures out.
    """
    slices = first = 0
    try:
        for nal in _nals(packet, length):
            if len(nal) < 3:
                continue
            kind, layer = nal[0] >> 1 & 63, (nal[0] & 1) << 5 | nal[1] >> 3
            if 16 <= kind <= 18 or 36 <= kind <= 37:
                return UNSURE
            if kind < 32 and layer == 0:
                slices += 1
                first += nal[2] >> 7
    except ValueError:
        return 1
    return max(first, min(slices, 1))


def _h264_headers(extra: bytes) -> list[bytes]:
    """The sequence parameter sets of avcC, or among units with start codes."""
    if not _length_size(extra, 4):
        return [nal for nal in _nals(extra, 0) if nal and nal[0] & 31 == 7]
    sets, at = [], 6
    for _ in range(extra[5] & 31 if len(extra) > 5 else 0):
        size = int.from_bytes(extra[at : at + 2], "big")
        sets.append(extra[at + 2 : at + 2 + size])
        at += 2 + size
    return sets


_WITH_CHROMA = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)  # profile_idc


@dataclass(frozen=True)
class _Interlaced:
    """What the slice headers of a stream need to be read whose pictures may be fields."""

    frame_bits: int
    planes: bool

    def field(self, nal: bytes) -> tuple[int, int] | None:
        """frame_num and bottom_field_flag of a slice of a field, None of a frame; 7.3.3."""
        bits = _Bits(nal[1:24].replace(b"\x00\x00\x03", b"\x00\x00"))
        bits.golomb(), bits.golomb(), bits.golomb()
        bits.take(2 * self.planes)
        number = bits.take(self.frame_bits)
        return (number, bits.take(1)) if bits.take(1) else None


def _read_header(nal: bytes) -> _Interlaced | None:
    """Of a sequence parameter set; None where all pictures are frames (ITU-T H.264, 7.3.2.1.1)."""
    bits, planes = _Bits(nal[1:].replace(b"\x00\x00\x03", b"\x00\x00")), 0
    try:
        profile = bits.take(8)
        bits.take(16)
        bits.golomb()
        if profile in _WITH_CHROMA:
            chroma = bits.golomb()
            planes = bits.take(chroma == 3)
            bits.golomb(), bits.golomb(), bits.take(1)
            if bits.take(1):  # scaling matrices
                for number in range(8 if chroma != 3 else 12):
                    if bits.take(1):
                        bits.skip_scaling(16 if number < 6 else 64)
        frame_bits = bits.golomb() + 4
        order = bits.golomb()
        if order == 0:
            bits.golomb()
        elif order == 1:
            bits.take(1)
            bits.golomb(), bits.golomb()
            for _ in range(bits.golomb()):
                bits.golomb()
        bits.golomb(), bits.take(1), bits.golomb(), bits.golomb()
        return None if bits.take(1) else _Interlaced(frame_bits, bool(planes))
    except IndexError:  # damaged
        return None


class _Bits:
    """Reads bits, the first one highest."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def take(self, count: int) -> int:
        if self._at + count > len(self._bits):
            raise IndexError
        self._at += count
        return int(self._bits[self._at - count : self._at] or "0", 2)

    def golomb(self) -> int:
        """An Exp-Golomb code, ue(v)."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)

    def skip_scaling(self, size: int) -> None:
        """A scaling list; 7.3.2.1.1.1."""
        last = following = 8
        for _ in range(size):
            if following:
                code = self.golomb()
                following = (last + ((code + 1) // 2 if code % 2 else -(code // 2))) % 256
            last = following or last


# -- VP8, VP9, AV1 ---------------------------------------------------------------------------------


def _count_vp8(packet: bytes) -> int:
    """RFC 6386, 9.1: show_frame is bit 4 of the first byte."""
    return packet[0] >> 4 & 1


def _count_vp9(packet: bytes) -> int:
    """The VP9 bitstream specification, 6.2 and annex B (superframes)."""
    return sum(_vp9_shows(frame) for frame in _vp9_frames(packet))


def _vp9_frames(packet: bytes) -> list[bytes]:
    mark = packet[-1]
    count, width = (mark & 7) + 1, (mark >> 3 & 3) + 1
    index = packet[-(2 + width * count) :]
    if mark & 0xE0 != 0xC0 or len(index) != 2 + width * count or index[0] != mark:
        return [packet]
    frames, at = [], 0
    for number in range(count):
        low = 1 + width * number
        size = int.from_bytes(index[low : low + width], "little")
        if size:
            frames.append(packet[at : at + 1])
        at += size
    return frames


def _vp9_shows(frame: bytes) -> bool:
    first = frame[0] if frame else 0
    if first >> 6 != 2:  # damaged
        return True
    if first >> 4 & 3 == 3:  # profile 3 has a reserved bit more
        return bool(first >> 2 & 1 or first & 1)
    return bool(first >> 3 & 1 or first >> 1 & 1)


def _count_av1(packet: bytes, *, still: bool) -> int:
    """The AV1 bitstream specification, 5.5.1 and 5.9.2: shown frames of a temporal unit."""
    shown = 0
    try:
        for kind, obu in _obus(packet):
            still |= kind == 1 and _is_still(obu)
            if kind in (3, 6):
                shown += still or bool(obu[0] >> 7 or obu[0] >> 4 & 1)
    except IndexError:
        return 1
    return shown


def _is_still_av1(headers: bytes) -> bool:
    try:
        return any(kind == 1 and _is_still(obu) for kind, obu in _obus(headers))
    except IndexError:  # damaged
        return False


def _is_still(header: bytes) -> bool:
    """reduced_still_picture_header of a sequence header."""
    return bool(header and header[0] >> 3 & 1)


def _obus(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and first bytes of each open bitstream unit.

    Raises:
        IndexError: the units are cut off.
    """
    at = 0
    while at < len(data):
        head = data[at]
        at += 1 + (head >> 2 & 1)
        size = len(data) - at
        if head >> 1 & 1:
            size = shift = 0
            while True:
                byte = data[at]
                at += 1
                size |= (byte & 127) << shift
                shift += 7
                if byte < 128 or shift > 56:
                    break
        if size > len(data) - at:
            raise IndexError
        yield head >> 3 & 15, data[at : at + min(size, 8)]
        at += size
