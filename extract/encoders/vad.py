"""`vad`: how probable speech is at each frame, by Silero VAD."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from ...errors import MissingPackageError
from ..weights.bundled_weights import silero_weights
from ..weights.table import WeightFile
from .base import Encoder, EncoderOptions
from .registry import register_encoder


@register_encoder("vad")
@dataclass(frozen=True, kw_only=True)
class VadOptions(EncoderOptions):
    """Probability of speech, 0 to 1, of Silero VAD's windows of 32 ms around each frame.

    The network keeps a state from window to window, from the beginning of each run of sound. It
    comes with the optional package silero-vad (MIT).
    """

    modality = "audio"
    dim = 1

    def __post_init__(self) -> None:
        """Refuse to go on without the packages."""
        for package in ("silero_vad", "onnxruntime"):
            if importlib.util.find_spec(package) is None:
                raise MissingPackageError("encoder `vad`", package.replace("_", "-"), "vad")

    def weights_files(self) -> dict[str, WeightFile]:
        """The file in the installed silero-vad."""
        return {"silero-vad": silero_weights()}

    def load(self, device: str) -> Encoder:
        """Load the network; computed on the CPU everywhere, since it is small and recurrent."""
        from .vad_windows import VadEncoder

        return VadEncoder(self.name, silero_weights().path)
