"""Makes videos of folders of numbered pictures, bit for bit, so that they can be extracted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from PIL import Image

from ..cache.durable import atomic_file
from ..errors import ConfigError, MediaError

_NAME = re.compile(r".*?(\d+)\.(jpe?g|png)", re.IGNORECASE)
_FEWEST = 2  # pictures that are a sequence
_CODECS = {"JPEG": ("mjpeg", "yuvj420p"), "PNG": ("png", "rgb24")}


@dataclass(frozen=True)
class PictureFolder:
    """A folder of numbered pictures.

    Attributes:
        name: its path below the folder that was searched.
        pictures: in the order of their numbers.
        first: number of the first.
    """

    path: Path
    name: str
    pictures: tuple[Path, ...]
    first: int


def picture_folders(root: Path) -> Iterator[PictureFolder]:
    """The folders of numbered pictures below `root`, and itself.

    Raises:
        MediaError: a number is missing or stands twice, so that times would be wrong.
    """
    for folder in [root, *sorted(path for path in root.rglob("*") if path.is_dir())]:
        found: dict[int, Path] = {}
        for path in sorted(folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match is None or path.name.startswith("."):
                continue
            other = found.setdefault(int(match[1]), path)
            if other != path:
                raise MediaError(f"{other} and {path} have the same number; keep one of them")
        if len(found) < _FEWEST:
            continue
        numbers = sorted(found)
        missing = next((n for n in range(numbers[0], numbers[-1]) if n not in found), None)
        if missing is not None:
            raise MediaError(
                f"{folder}: picture {missing} of {numbers[0]} to {numbers[-1]} is missing, and "
                "those after it would come too early; put it there, or a copy of the one before"
            )
        name = root.name if folder == root else folder.relative_to(root).as_posix()
        yield PictureFolder(folder, name, tuple(found[n] for n in numbers), numbers[0])


def write_video(pictures: PictureFolder, target: Path, rate: Fraction) -> int:
    """Put the pictures, as they are, into a QuickTime file; their number.

    Args:
        pictures: JPEG or PNG files of one kind and size.
        target: the file.
        rate: pictures per second; the first is at 0 s.

    Raises:
        MediaError: a file is no such picture, or of another kind or size than the first.
    """
    first = _kind(pictures.pictures[0])
    codec, pixels = _CODECS[first[0]]
    with atomic_file(target) as partial, av.open(str(partial), "w", format="mov") as file:
        stream = file.add_stream(codec, rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = first[1]
        stream.pix_fmt = pixels
        stream.time_base = stream.codec_context.time_base = 1 / rate
        for number, path in enumerate(pictures.pictures):
            kind = _kind(path)
            if kind != first:
                raise MediaError(
                    f"{path}: {kind[0]} of {kind[1][0]}x{kind[1][1]} pixels, and the first of the "
                    f"folder is {first[0]} of {first[1][0]}x{first[1][1]}; convert them alike"
                )
            packet = av.Packet(path.read_bytes())
            packet.stream, packet.time_base = stream, 1 / rate
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, True
            file.mux(packet)
    return len(pictures.pictures)


def _kind(path: Path) -> tuple[str, tuple[int, int]]:
    try:
        with Image.open(path) as picture:
            kind = str(picture.format), picture.size
    except (OSError, SyntaxError, ValueError) as error:
        raise MediaError(f"{path}: no picture that can be read ({error})") from error
    if kind[0] not in _CODECS:
        raise MediaError(f"{path}: a picture of the kind {kind[0]}; convert it to JPEG or PNG")
    return kind


def write_videos(root: Path, out: Path, rate: Fraction) -> Iterator[tuple[Path, int]]:
    """Make a video of every folder of pictures below `root`: its file and its pictures.

    Raises:
        ConfigError: there is none, or a video of the name is there.
        MediaError: pictures that cannot be a video.
    """
    folders = list(picture_folders(root))
    if not folders:
        raise ConfigError(
            f"{root}: no folder of numbered pictures (00001.jpg, 00002.jpg ...) in it"
        )
    for folder in folders:
        target = out / f"{folder.name}.mov"
        if target.exists():
            raise ConfigError(f"{target} exists; name a new folder with --out")
    for folder in folders:
        target = out / f"{folder.name}.mov"
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target, write_video(folder, target, rate)
