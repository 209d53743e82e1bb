"""`vggish`: AudioSet's VGGish on the 0.96 s of sound around each frame; 128 values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from ...errors import ConfigError
from ..weights.files import all_with_weights
from ..weights.table import WeightFile
from .base import Encoder, EncoderOptions, check_precision
from .pretrained import open_weights
from .registry import register_encoder

DIM = 128


@register_encoder("vggish")
@dataclass(frozen=True, kw_only=True)
class VGGishOptions(EncoderOptions):
    """VGGish (Hershey et al. 2017) of one log-mel patch per frame.

    A patch begins at the sample nearest to where it should, at most 31 us off at any frame rate;
    its spectra are computed from there, not taken from a grid. Without sound around it, it hears
    silence; a frame of which less than half is heard is NO_AUDIO.

    Attributes:
        weights: name or path of the weights.
        placement: "centre" has the patch's middle at the frame's time; "forward" has its beginning
            there, as common ports do.
        relu: whether the last layer ends in its ReLU, as AudioSet's does.
        pca: AudioSet's PCA with whitening, clipped to -2..2: whether, or name or path of its
            parameters.
        precision: float32, bfloat16, or auto.
    """

    modality = "audio"
    dim = DIM
    weights: str = "vggish"
    placement: Literal["centre", "forward"] = "centre"
    relu: bool = True
    pca: bool | str = False
    precision: str = "auto"

    def __post_init__(self) -> None:
        """Refuse options out of range or at odds."""
        check_precision(self.name, self.precision)
        if self.placement not in ("centre", "forward"):
            raise ConfigError(
                f"encoder `vggish`: placement `{self.placement}` is neither centre nor forward"
            )
        if self.pca and not self.relu:
            raise ConfigError(
                "encoder `vggish`: the PCA was fitted to values after the last ReLU; use relu=true "
                "with it, or pca=false"
            )

    @classmethod
    def weights_options(cls) -> tuple[str, ...]:
        """Both name files."""
        return ("weights", "pca")

    def weights_files(self) -> dict[str, WeightFile]:
        """The network's, and the PCA's where it is asked for."""
        named: dict[str, Any] = {"weights": (self.weights, "vggish")}
        if self.pca:
            named["pca"] = ("vggish-pca" if self.pca is True else self.pca, "vggish-pca")
        opened = all_with_weights(
            partial(open_weights, weights, architecture, encoder=self.name)
            for weights, architecture in named.values()
        )
        return dict(zip(named, opened, strict=True))

    @property
    def reach(self) -> float:
        """The patch, or its second half."""
        return 0.5 if self.placement == "centre" else 1.0

    def load(self, device: str) -> Encoder:
        """Load the network."""
        from .vggish_network import VGGishEncoder

        return VGGishEncoder(self, device)
