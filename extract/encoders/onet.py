"""`onet`: the 256-d layer of MTCNN's O-Net, face weights that ship with facenet-pytorch."""

from __future__ import annotations

from dataclasses import dataclass

from ..weights.bundled_weights import facenet_weights
from ..weights.table import WeightFile
from .base import Encoder, EncoderOptions
from .registry import register_encoder


@register_encoder("onet")
@dataclass(frozen=True, kw_only=True)
class ONetOptions(EncoderOptions):
    """Output of the first dense layer of O-Net, after its PReLU (Zhang et al. 2016).

    The network was trained on face boxes without margin, reduced to 48 x 48 by averaging areas,
    as (x - 127.5) / 128; it gets just that.
    """

    modality = "visual"
    dim = 256

    def weights_files(self) -> dict[str, WeightFile]:
        """The file in the installed facenet-pytorch."""
        return {"onet.pt": facenet_weights("onet.pt")}

    def load(self, device: str) -> Encoder:
        """Load the network."""
        from .onet_layer import ONetEncoder

        return ONetEncoder(facenet_weights("onet.pt").path, device)
