"""Packets of a file in the order they are stored, and pictures as a decoder gives them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer

from ...errors import MediaError

# Packets of MP4 that may be missing in turn before the file counts as ended: where it is cut off,
# those of another stream still follow.
_MOST_MISSING = 64
_OPENING_S = 10.0  # seconds of a file that is being written in which FFmpeg finds its streams


@contextmanager
def open_media(path: Path, patience: float = 0.0) -> Iterator[InputContainer]:
    """Open a media file with FFmpeg, closed on leaving.

    Args:
        path: of a file; with patience also of a camera.
        patience: seconds for which more of a file is waited for that is being written; 0 for a
            file that is complete.

    Raises:
        MediaError: the file does not exist, is empty, or is nothing that FFmpeg reads.
    """
    camera = patience > 0 and path.is_char_device()
    if not camera and not path.is_file():
        raise MediaError(f"{path}: no such file; check the path")
    if not camera and not path.stat().st_size:
        raise MediaError(f"{path}: the file is empty (0 bytes); copy or download it again")
    try:
        # As a file: no name is taken for an address, and no playlist leads to the network.
        growing = {"follow": "1", "seekable": "0"} if patience and not camera else {}
        container = av.open(
            str(path) if camera else f"file:{path}",
            format="v4l2" if camera else None,
            metadata_errors="ignore",
            options={"protocol_whitelist": "file", **growing},
            timeout=(patience + _OPENING_S, patience) if patience else None,
        )
    except (av.FFmpegError, OSError) as error:
        if camera:
            raise MediaError(
                f"{path}: no picture comes from this camera (FFmpeg: {reason(error)}); it may be "
                "in use, be none, or need another user's rights"
            ) from error
        raise MediaError(f"{path}: {_diagnose(path)} (FFmpeg: {reason(error)})") from error
    with container:
        yield container


def read_packets(container: InputContainer, *streams: Any) -> Iterator[Any]:
    """Packets of some streams that hold something, in the order of the file.

    Raises:
        av.FFmpegError: the file cannot be read to its end.
        OSError: likewise.
    """
    is_whole = container.read_timeout is None
    tries = _MOST_MISSING if is_whole and container.format.name.startswith("mov,") else 1
    missing, problem = 0, None
    while missing < tries:
        try:
            for packet in container.demux(streams):
                if packet.size:
                    missing, problem = 0, None
                    yield packet
        except (av.FFmpegError, OSError) as error:
            problem = error
        # PyAV fails at the end of a file in whose midst streams appeared that it did not announce.
        except IndexError:
            return
        missing += 1
    if problem is not None:
        raise problem


@dataclass(frozen=True, eq=False)
class Decoded:
    """What a decoder gave for one packet.

    Attributes:
        number: of the packet among those of its stream, from 0.
        frames: pictures, each made of the packet `packet_of`.
        refused: whether the decoder calls the packet damaged.
    """

    number: int
    frames: list[av.VideoFrame]
    refused: bool = False


def decode_video(path: Path, index: int, patience: float = 0.0) -> Iterator[Decoded]:
    """Feed all packets of a video stream to its decoder, and at last ask for what it still holds.

    One thread decodes: with several, what a decoder makes of a damaged stretch depends on timing.
    A file that cannot be read further ends. Patience is that of `open_media`.

    Raises:
        MediaError: the file cannot be opened any more.
    """
    number = -1
    with open_media(path, patience) as container:
        stream: Any = container.streams[index]
        prepare_decoder(stream)
        try:
            for number, packet in enumerate(read_packets(container, stream)):
                yield decode_packet(stream, packet, number)
        except (av.FFmpegError, OSError):  # `probe` has noted it
            pass
        yield decode_packet(stream, None, number + 1)


class _Number(int):
    """An integer that is an object of its own: PyAV knows what packets carry by identity."""


def prepare_decoder(stream: Any) -> None:
    """Make pictures know their packets."""
    stream.codec_context.thread_count = 1
    stream.codec_context.copy_opaque = True


def decode_packet(stream: Any, packet: Any, number: int) -> Decoded:
    """Decode one packet, None for the end."""
    if packet is not None:
        packet.opaque = _Number(number)
    try:
        return Decoded(number, stream.codec_context.decode(packet))
    except av.FFmpegError:
        return Decoded(number, [], refused=True)


def packet_of(frame: av.VideoFrame) -> int:
    """Number of the packet that a picture is made of; -1 where the decoder does not tell."""
    number = frame.opaque
    return number if isinstance(number, int) else -1


def reason(error: Exception) -> str:
    """FFmpeg's words for an error."""
    return getattr(error, "strerror", None) or str(error)


def _diagnose(path: Path) -> str:
    """In words, why FFmpeg may not read a file, and what to do."""
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError:
        return "the file cannot be opened; check its permissions"
    if head.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the video itself; get that with `git lfs pull`"
    if head[4:8] == b"ftyp":
        return (
            "an MP4/MOV file whose index (moov) is missing or damaged, as in a file that was cut "
            "off; copy, download or record it again"
        )
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in head):
        return "holds text, not a video; give the media file itself"
    return "not a media file that can be read; copy or download it again, or convert it to MP4"
