"""Reads folders of face crops made by others: `<folder>/00001.jpg` is the first frame."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ...cache.durable import digest_file
from ...cache.timeline import Valid
from ...errors import MediaError

_NAME = re.compile(r"(\d{5,})\.(?:jpe?g|png)", re.IGNORECASE)


# Backwards, so that no number is taken before it is free.
_RENAME = (
    'cd {folder} && for f in $(ls -r); do mv -n "$f" '
    '"$(printf %05d $((10#${{f%.*}} + {first}))).${{f##*.}}"; done'
)
_MISNAMED = re.compile(r"\d{1,4}\.(?:jpe?g|png)", re.IGNORECASE)


def find_crops(root: Path, item: str) -> Path:
    """Where the crops of an item are: below `root`, in a folder of it, or in one that is called on.

    Data sets grow by folders such as `cropped_aligned_new_50_vids` beside `cropped_aligned`.

    Raises:
        MediaError: in several of them.
    """
    bases = [root, root / "cropped_aligned"]
    places = [*bases, *(more for b in bases for more in sorted(b.parent.glob(f"{b.name}_*")))]
    found = [place / item for place in places if (place / item).is_dir()]
    if len(found) > 1:
        raise MediaError(
            f"{found[0]} and {found[1]} both hold crops of {item}; remove one, so that it is clear "
            "which are meant"
        )
    return found[0] if found else root / item


class CropFiles:
    """The crops of one item, without a look at the pictures.

    Attributes:
        folder: where they lie.
        files: number (from 1, the first frame) -> path.
    """

    def __init__(self, folder: Path) -> None:
        """Index a folder.

        Raises:
            MediaError: no such folder, no image in it, or images numbered from 0.
        """
        if not folder.is_dir():
            raise MediaError(
                f"{folder}: no such folder of face crops; there must be one per item, named like "
                "it, with 00001.jpg, 00002.jpg ..., or leave crops out to detect the faces"
            )
        self.folder = folder
        self.files = {
            int(match[1]): path
            for path in sorted(folder.iterdir())
            if (match := _NAME.fullmatch(path.name))
        }
        misnamed = next((p for p in sorted(folder.iterdir()) if _MISNAMED.fullmatch(p.name)), None)
        if misnamed is not None:
            raise MediaError(
                f"{misnamed}: crops are numbered with five digits from 00001, the first frame; "
                f"rename them: {_RENAME.format(folder=folder, first=0)}"
            )
        if not self.files:
            raise MediaError(
                f"{folder}: holds no image named like 00001.jpg; check that it is the folder of "
                "face crops"
            )
        if 0 in self.files:
            raise MediaError(
                f"{self.files[0]}: crops are numbered from 00001, the first frame; where these "
                f"count from 00000, rename them: {_RENAME.format(folder=folder, first=1)}"
            )

    def digest(self) -> str:
        """SHA-256 over the numbers and contents of all images."""
        return self._digest(digest_file)

    def quick_digest(self) -> str:
        """The same over sizes and times in place of contents: where it is equal, they are."""
        return self._digest(_size_and_time)

    def _digest(self, facts: Callable[[Path], str]) -> str:
        total = hashlib.sha256()
        for number in sorted(self.files):
            total.update(f"{number} {facts(self.files[number])}\n".encode())
        return total.hexdigest()


def quick_digest(root: Path, item: str) -> str:
    """`CropFiles.quick_digest` of an item's crops, or why there is none."""
    try:
        return CropFiles(find_crops(root, item)).quick_digest()
    except MediaError as error:
        return str(error)


def _size_and_time(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"


class OfficialCrops(CropFiles):
    """The crops of one item as pixels; file number n belongs to row n - 1, gaps are missing."""

    def __init__(self, folder: Path, *, rows: int, size: int) -> None:
        """Index a folder.

        Args:
            folder: holds the images of one item.
            rows: frames T of the video.
            size: side in pixels to which images are brought.

        Raises:
            MediaError: see `CropFiles`.
        """
        super().__init__(folder)
        self._size = size
        self.surplus = sum(number > rows for number in self.files)

    def read(self, row: int) -> tuple[np.ndarray, Valid]:
        """The crop [size, size, 3] uint8 RGB of a row (zeros where there is none) and its code."""
        path = self.files.get(row + 1)
        empty = np.zeros((self._size, self._size, 3), np.uint8)
        if path is None:
            return empty, Valid.NO_CROP
        try:
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError):  # what Pillow raises for damaged files
            return empty, Valid.DECODE_ERROR
        return fit_square(pixels, size=self._size), Valid.CROPPED


def fit_square(image: np.ndarray, *, size: int) -> np.ndarray:
    """A whole image [H, W, 3] as [size, size, 3] uint8; unchanged where it has that size."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
