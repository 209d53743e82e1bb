"""What headers say against what a file holds: more frames or seconds, or that it is encrypted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .lengths import announced_length, part_of_mp4

_USUAL = 0.02  # by which a length in a header may be off
_USUAL_S = 0.3  # seconds, likewise
_HEAD = 1 << 20  # bytes in which packets of a transport stream are judged
_TS = 188  # bytes of such a packet

# EBML elements ContentEncodings > ContentEncoding > ... ContentEncryption (RFC 9559, 5.1.4.1.31).
_MATROSKA = re.compile(rb"\x6d\x80.{1,8}\x62\x40.{0,32}\x50\x35", re.DOTALL)
_ASF = bytes.fromhex("fbb31122 23bdd211 b4b700a0 c955fc6e")  # content encryption object
_ASF_MORE = bytes.fromhex("14e68a29 2226174c b935dae0 7ee9289c")  # extended one


def find_shortfall(
    container: Any, path: Path, streams: Iterable[Any], counts: Mapping[int, int], end: float
) -> list[str]:
    """In words, what is announced but not there.

    Args:
        container: read to its end.
        path: the file.
        streams: those to be used.
        counts: packets found of each stream.
        end: seconds at which the last of all streams ends.
    """
    form = container.format.name
    if form.startswith("mov,"):  # the index, which FFmpeg has cut as edit lists say
        return [
            f"the file announces {listed} {'frames' if stream.type == 'video' else 'packets'} of "
            f"{stream.type} stream {stream.index} and holds {held}: it is cut off or damaged"
            for stream in streams
            if (listed := len(stream.index_entries)) > (held := counts.get(stream.index, 0))
        ]
    seconds = 0.0
    if form in ("avi", "matroska,webm", "asf"):
        seconds = announced_length(path)[0]
    elif form in ("flv", "mxf", "rm"):
        seconds = (container.duration or 0) / 1e6
    if seconds - end <= max(_USUAL_S, _USUAL * seconds):
        return []
    return [f"the file announces {seconds:.1f} s and holds {end:.1f} s: it is cut off or damaged"]


def is_encrypted(path: Path, form: str, index: int) -> bool:
    """Whether headers say that the video is encrypted.

    Args:
        path: the file.
        form: FFmpeg's name of its format.
        index: the video stream's index in the container.
    """
    if form.startswith("mov,"):
        return b"sinf" in part_of_mp4(path, index)
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if form == "matroska,webm":
        return bool(_MATROSKA.search(head))
    if form == "asf":
        return _ASF in head or _ASF_MORE in head
    if form == "mpegts":
        start = next((at for at in range(_TS) if set(head[at : at + 10 * _TS : _TS]) == {71}), 0)
        packets = [head[at : at + 4] for at in range(start, len(head) - 4, _TS)]
        scrambled = sum(packet[3] >> 6 > 1 for packet in packets if packet[0] == 71)
        return 2 * scrambled > len(packets)
    return False
