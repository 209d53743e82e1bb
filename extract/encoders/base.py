"""What every encoder is: its options, which know all but the network, and the network itself.

Nothing here imports torch: what a stream is, is worked out for 60,000 videos without it.
"""

from __future__ import annotations

import dataclasses
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ...device_faults import Batches
from ...errors import ConfigError

if TYPE_CHECKING:
    from ...cache.timeline import Timeline
    from ..media.audio import AudioBlock
    from ..weights.files import WeightFile

COMPUTED = ("float32", "bfloat16", "float16")
PRECISIONS = (*COMPUTED, "auto")


@dataclass(frozen=True)
class EncoderOptions(ABC):
    """The options of one encoder: the fields of a frozen dataclass, checked when it is made.

    Attributes:
        registered: the name, or the prefix of a family.
        modality: what it reads.
    """

    registered: ClassVar[str]
    modality: ClassVar[Literal["visual", "audio"]]

    @property
    def name(self) -> str:
        """The registered name, or PREFIX:MEMBER of a family."""
        member = getattr(self, "member", None)
        return f"{self.registered}:{member}" if member else self.registered

    @property
    def dim(self) -> int | None:
        """Length D of an embedding, None where only the network tells."""
        return None

    @property
    def bytes_per_hour(self) -> float:
        """Memory that grows with a video's length, per hour of it; mostly none does."""
        return 0.0

    @property
    def reach(self) -> float | None:
        """Of sound: seconds after a frame that decide its row; None where others may, too."""
        return None

    @abstractmethod
    def load(self, device: str) -> Encoder:
        """Load the network.

        Raises:
            WeightsError: missing or wrong weights.
            ConfigError: no such device, or the network cannot compute there as asked.
        """

    def weights_files(self) -> dict[str, WeightFile]:
        """The files of weights by the option that names each, checked but not read as networks.

        Raises:
            WeightsError: missing or wrong weights.
        """
        return {}

    def describe(self) -> dict[str, Any]:
        """The options that determine values, as plain values; weights and precision stand apart."""
        apart = {"member", "precision", *self.weights_options()}
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in apart
        }

    @classmethod
    def weights_options(cls) -> tuple[str, ...]:
        """The options that name weights; their digests count, not their names."""
        names = {field.name for field in dataclasses.fields(cls)}
        return ("weights",) if "weights" in names else ()


def check_precision(encoder: str, precision: str) -> None:
    """Refuse a precision that no network computes in.

    Raises:
        ConfigError: names those that there are.
    """
    if precision not in PRECISIONS:
        raise ConfigError(
            f"encoder `{encoder}`: precision `{precision}` is none of {', '.join(PRECISIONS)}"
        )


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
    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        """Embed crops.

        Args:
            crops: [n, S, S, 3] uint8 RGB, any S.
            margin: by how much the crops are wider than the face box, as a part of the box
                (`CropConfig.face_margin`), so that an encoder can take the part it knows.

        Returns:
            [n, D] float32.
        """

    def encode_fitting(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        """The same, in parts where the device's memory does not hold all of it.

        Raises:
            DeviceError: it does not even hold one crop.
        """
        fitting: Batches = self.__dict__.setdefault("_fitting", Batches(self.name, sys.maxsize))
        parts = fitting.map(lambda part: self.encode(part, margin=margin), crops)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)


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
