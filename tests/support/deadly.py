"""An encoder that kills its own process at the videos of some length, as a fault in a library."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from vapipe.cache.timeline import Timeline, Valid
from vapipe.extract.encoders import AudioEncoder, register_encoder


class Plan(str):
    """An option `ROWS:SIGNAL:FOLDER` whose unpickling loads this module, and so the encoder.

    Every death leaves a file in the folder. In place of ROWS, `loading` kills before any video.
    """

    def __reduce__(self) -> tuple[type, tuple[str]]:
        return Plan, (str(self),)


@register_encoder("deadly")
class Deadly(AudioEncoder):
    """Ones for every row of all other videos."""

    def __init__(self, *, plan: str = "0:9:.", device: str = "cpu") -> None:
        self.dim = 4
        rows, number, folder = plan.split(":")
        self._rows, self._signal, self._folder = rows, int(number), Path(folder)
        if rows == "loading":
            self._die()

    def encode(
        self, blocks: Iterable[Any], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows = len(timeline)
        if str(rows) == self._rows:
            self._die()
        yield np.ones((rows, 4), np.float32), np.full(rows, Valid.AUDIO, np.uint8)

    def _die(self) -> None:
        (self._folder / f"{os.getpid()}.death").touch()
        os.kill(os.getpid(), self._signal)

    @staticmethod
    def deaths(folder: Path) -> int:
        return len(list(folder.glob("*.death")))
