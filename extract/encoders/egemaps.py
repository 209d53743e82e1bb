"""`egemaps`: openSMILE's eGeMAPSv02 at each frame, by the package opensmile."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from importlib.metadata import version

from ...errors import ConfigError, MissingPackageError
from .base import Encoder, EncoderOptions
from .registry import register_encoder


@register_encoder("egemaps")
@dataclass(frozen=True, kw_only=True)
class EgemapsOptions(EncoderOptions):
    """eGeMAPSv02 (Eyben et al. 2016): 25 low-level descriptors, or 88 functionals of a window.

    Descriptors are those nearest to each frame. The package opensmile is optional, and its licence
    is for research only.

    Attributes:
        window: seconds of sound centred on the frame whose functionals are taken; 0 takes the
            descriptors.
        opensmile: version of the package, which must be the installed one; empty means that one.
    """

    modality = "audio"
    window: float = 0.0
    opensmile: str = ""

    def __post_init__(self) -> None:
        """Refuse to go on without the package, with another version of it, or out of range."""
        if importlib.util.find_spec("opensmile") is None:
            raise MissingPackageError(
                "encoder `egemaps`",
                "opensmile",
                "opensmile",
                " (its licence allows research, no commercial use)",
            )
        installed = version("opensmile")
        if self.opensmile not in ("", installed):
            raise ConfigError(
                f"encoder `egemaps`: asked for opensmile {self.opensmile}, {installed} is "
                f"installed: `pip install opensmile=={self.opensmile}`"
            )
        object.__setattr__(self, "opensmile", installed)
        object.__setattr__(self, "window", float(self.window))
        if self.window and not 0.1 <= self.window <= 60:
            raise ConfigError(
                "encoder `egemaps`: window must be 0 (descriptors) or 0.1 to 60 seconds, got "
                f"{self.window:g}"
            )

    @property
    def dim(self) -> int:
        """One value per descriptor, or per functional."""
        return 88 if self.window else 25

    @property
    def bytes_per_hour(self) -> float:
        """OpenSMILE has the whole sound before it where it gives descriptors."""
        return 0.0 if self.window else 2.7e9

    def load(self, device: str) -> Encoder:
        """Start openSMILE; computed on the CPU everywhere."""
        from .egemaps_descriptors import Descriptors, Functionals

        return Functionals(self.name, self.window) if self.window else Descriptors(self.name)
