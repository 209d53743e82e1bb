"""`egemaps`: openSMILE's eGeMAPSv02 descriptors at each frame, by the package opensmile."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

from ...errors import MissingPackageError
from .base import Encoder, EncoderOptions
from .registry import register_encoder


@register_encoder("egemaps")
@dataclass(frozen=True, kw_only=True)
class EgemapsOptions(EncoderOptions):
    """The 25 low-level descriptors of eGeMAPSv02 (Eyben et al. 2016), those nearest to each frame.

    The package opensmile is optional, and its licence is for research only.
    """

    modality = "audio"

    def __post_init__(self) -> None:
        """Refuse to go on without the package.

        Raises:
            MissingPackageError: says how to install it.
        """
        if importlib.util.find_spec("opensmile") is None:
            raise MissingPackageError(
                "encoder `egemaps`",
                "opensmile",
                "opensmile",
                " (its licence allows research, no commercial use)",
            )

    @property
    def dim(self) -> int:
        """One value per descriptor."""
        return 25

    def load(self, device: str) -> Encoder:
        """Start openSMILE; computed on the CPU everywhere."""
        from .egemaps_descriptors import EgemapsEncoder

        return EgemapsEncoder(self.name)
