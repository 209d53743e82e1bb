"""`onet`: the 256-d layer of MTCNN's O-Net, face weights that ship with facenet-pytorch."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional

from ..weights.wheel import digest_facenet_weights, facenet_weights
from .base import VisualEncoder
from .registry import register_encoder

_WEIGHTS = "onet.pt"


@register_encoder("onet")
class ONetEncoder(VisualEncoder):
    """Output of the first dense layer of O-Net, after its PReLU (Zhang et al. 2016).

    The network was trained on face boxes without margin, reduced to 48 x 48 by averaging areas,
    as (x - 127.5) / 128; it gets just that.
    """

    def __init__(self, *, device: torch.device | str = "cpu") -> None:
        """Load the weights.

        Raises:
            ConfigError: the weights are missing from the installed facenet-pytorch.
        """
        from facenet_pytorch.models.mtcnn import ONet

        self.dim = 256
        self.input_size = 48
        self._device = torch.device(device)
        self._network = ONet(pretrained=False)
        self._network.load_state_dict(torch.load(facenet_weights(_WEIGHTS), weights_only=True))
        self._network.eval().requires_grad_(False)
        self._network.to(self._device, memory_format=torch.channels_last)

    def identity(self) -> dict[str, Any]:
        """All that determines the values."""
        return {
            "name": self.name,
            "weights": digest_facenet_weights(_WEIGHTS),
            "precision": "float32",
        }

    @torch.inference_mode()
    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        """Embed the face boxes inside crops [n, S, S, 3] uint8; [n, 256] float32."""
        size = crops.shape[1]
        cut = round((size - size / (1 + margin)) / 2)  # left out on each side
        face = crops[:, cut : size - cut, cut : size - cut]
        pixels = torch.from_numpy(np.ascontiguousarray(face)).to(self._device)  # [n, s, s, 3]
        pixels = pixels.permute(0, 3, 1, 2).float()  # [n, 3, s, s]
        pixels = functional.interpolate(pixels, size=(48, 48), mode="area")
        return self._embed((pixels - 127.5) / 128).float().cpu().numpy()

    def _embed(self, x: torch.Tensor) -> torch.Tensor:
        """O-Net from [n, 3, 48, 48] to its 256-d layer, as in its own forward."""
        net = self._network
        x = net.pool1(net.prelu1(net.conv1(x)))
        x = net.pool2(net.prelu2(net.conv2(x)))
        x = net.pool3(net.prelu3(net.conv3(x)))
        x = net.prelu4(net.conv4(x))  # [n, 128, 3, 3]
        x = x.permute(0, 3, 2, 1).contiguous().flatten(1)  # the order of the original weights
        return net.prelu5(net.dense5(x))
