"""Reads folders of face crops made by others: `<folder>/00001.jpg` is the first frame."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
from PIL import Image

from ...cache.durable import digest_file
from ...cache.timeline import Valid
from ...errors import MediaError
from .squares import fit_square

_NAME = re.compile(r"(\d{5,})\.(?:jpe?g|png)", re.IGNORECASE)


class OfficialCrops:
    """The crops of one item; file number n (from 1) belongs to row n - 1, gaps are missing."""

    def __init__(self, folder: Path, *, rows: int, size: int) -> None:
        """Index a folder.

        Args:
            folder: holds the images of one item.
            rows: frames T of the video.
            size: side in pixels to which images are brought.

        Raises:
            MediaError: no such folder, no image in it, or images numbered from 0.
        """
        if not folder.is_dir():
            raise MediaError(
                f"{folder}: no such folder of face crops; there must be one per item, named like "
                "it, with 00001.jpg, 00002.jpg ..., or leave crops out to detect the faces"
            )
        self.folder = folder
        self._size = size
        self._files = {
            int(match[1]): path
            for path in sorted(folder.iterdir())
            if (match := _NAME.fullmatch(path.name))
        }
        if not self._files:
            raise MediaError(
                f"{folder}: holds no image named like 00001.jpg; check that it is the folder of "
                "face crops"
            )
        if 0 in self._files:
            raise MediaError(
                f"{self._files[0]}: crops are numbered from 00001 (the first frame); rename them"
            )
        self.surplus = sum(number > rows for number in self._files)

    def read(self, row: int) -> tuple[np.ndarray, Valid]:
        """The crop [size, size, 3] uint8 RGB of a row (zeros where there is none) and its code."""
        path = self._files.get(row + 1)
        empty = np.zeros((self._size, self._size, 3), np.uint8)
        if path is None:
            return empty, Valid.NO_CROP
        try:
            with Image.open(path) as picture:
                pixels = np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError, ValueError):  # what Pillow raises for damaged files
            return empty, Valid.DECODE_ERROR
        return fit_square(pixels, size=self._size), Valid.CROPPED

    def digest(self) -> str:
        """SHA-256 over the numbers and contents of all images."""
        total = hashlib.sha256()
        for number in sorted(self._files):
            total.update(f"{number} {digest_file(self._files[number])}\n".encode())
        return total.hexdigest()
