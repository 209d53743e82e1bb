"""What every encoder is: a named, configured, frozen network or transform."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np

from ...cache.timeline import Timeline
from ..media.audio import AudioBlock


class VisualEncoder(ABC):
    """Turns face crops into embeddings, one per crop, each on its own.

    Attributes:
        name: the registered name, or PREFIX:MEMBER of a family.
        dim: length D of an embedding.
        input_size: side in pixels of the image that the network sees.
    """

    modality: ClassVar[Literal["visual"]] = "visual"
    name: str
    dim: int
    input_size: int

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Name, options, weights digest and precision: all that determines the values; JSON."""

    @abstractmethod
    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        """Embed crops.

        Args:
            crops: [n, S, S, 3] uint8 RGB, any S.
            margin: by how much the crops are wider than the face box, as a part of the box
                (`CropConfig.face_margin`), so that an encoder can take the part it knows.

        Returns:
            [n, D] float32.
        """


class AudioEncoder(ABC):
    """Turns the sound of a video into one embedding per frame of its timeline.

    Attributes:
        name: the registered name, or PREFIX:MEMBER of a family.
        dim: length D of an embedding.
    """

    modality: ClassVar[Literal["audio"]] = "audio"
    name: str
    dim: int

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """Name, options, weights digest and precision: all that determines the values; JSON."""

    @abstractmethod
    def encode(
        self, blocks: Iterable[AudioBlock], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Embed the sound of every frame.

        Args:
            blocks: 16 kHz mono in order of time, see `read_audio`.
            timeline: the video's T frames.

        Yields:
            Successive rows, T in all: features [n, D] float32 (zeros where there is no audio) and
            codes [n] uint8 of `cache.timeline.Valid`.
        """


Encoder = VisualEncoder | AudioEncoder
