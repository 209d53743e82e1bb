"""An encoder that misbehaves at the videos of some lengths: it hangs, hoards, raises, dies."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vapipe.cache.timeline import Timeline, Valid
from vapipe.extract.encoders import AudioEncoder, register_encoder

# What the damage finds in the unfinished file, and puts in its place.
_DAMAGE = {
    "scribble": (np.ones(8, "<f2").tobytes(), np.full(8, 2, "<f2").tobytes()),
    "garble": (b'"modality":"audio"', b'"modality":"sound"'),
}


class Deeds(str):
    """An option `ROWS=DEED,...@FOLDER` whose unpickling loads this module, and so the encoder.

    A file `plan` in the folder is read at every video in place of `ROWS=DEED,...`: changing it
    changes what is done under one key. Deeds are hang, hoard, raise, die, segfault; `raise1`
    raises at the first try only; `scribble` and `garble` change values and HDF5 metadata of the
    shard being written, whose cache is `cache` in the folder. ROWS may be `*`. Every deed adds a
    line to the file `deeds` in the folder.
    """

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Deeds, (str(self),)


@register_encoder("unruly")
class Unruly(AudioEncoder):
    """Ones for every row of all other videos."""

    def __init__(self, *, deeds: str = "@.", device: str = "cpu") -> None:
        self.dim = 4
        self._plan, _, folder = deeds.partition("@")
        self._notes = Path(folder) / "deeds"

    def encode(
        self, blocks: Iterable[Any], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows = len(timeline)
        file = self._notes.with_name("plan")
        text = file.read_text() if file.exists() else self._plan
        plan = dict(pair.split("=") for pair in text.split(",") if pair)
        deed = plan.get(str(rows), plan.get("*"))
        if deed:
            self._do(deed, rows)
        yield np.ones((rows, 4), np.float32), np.full(rows, Valid.AUDIO, np.uint8)
        if deed in _DAMAGE:
            self._spoil(*_DAMAGE[deed])

    def _spoil(self, place: bytes, other: bytes) -> None:
        """Change what this process is writing, as a stray pointer would."""
        cache = (self._notes.parent / "cache").resolve()
        opened = {Path(f"/proc/self/fd/{number}").resolve() for number in range(256)}
        partials = [path for path in cache.glob("features/*/.*.partial") if path in opened]
        partial = next(path for path in partials if place in path.read_bytes())
        with partial.open("r+b") as file:
            file.seek(file.read().index(place))
            file.write(other)

    def _do(self, deed: str, rows: int) -> None:
        with self._notes.open("a") as file:
            file.write(f"{rows} {os.getpid()}\n")
        if deed == "hang":
            time.sleep(120)
        elif deed == "hoard":
            kept = bytearray(3_000_000_000)
            kept[::4096] = b"1" * len(kept[::4096])
            time.sleep(120)
        elif deed == "die":
            os.abort()
        elif deed == "segfault":
            ctypes.string_at(0)
        elif deed in _DAMAGE:
            return
        elif deed == "raise" or self._notes.read_text().count(f"{rows} ") == 1:
            raise ValueError(f"no good: {rows} rows")


def tries(folder: Path, rows: int) -> list[int]:
    """Process ids of the tries at videos of so many rows."""
    if not (folder / "deeds").exists():
        return []
    lines = [line.split() for line in (folder / "deeds").read_text().splitlines()]
    return [int(process) for length, process in lines if int(length) == rows]
