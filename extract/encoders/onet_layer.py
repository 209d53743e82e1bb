"""Computes `onet`: crops through MTCNN's O-Net up to its 256-d layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from ...device_faults import Batches
from ...numerics import inferring
from .base import VisualEncoder
from .precision import to_device

_BATCH = 256


class ONetEncoder(VisualEncoder):
    """The first dense layer of O-Net on face boxes without margin, 48 x 48."""

    name = "onet"
    dim = 256
    input_size = 48

    def __init__(self, weights: Path, device: torch.device | str) -> None:
        """Load the weights."""
        from facenet_pytorch.models.mtcnn import ONet

        self._device = torch.device(device)
        self._network = ONet(pretrained=False)
        self._network.load_state_dict(torch.load(weights, weights_only=True))
        self._network.eval().requires_grad_(False)
        self._network.to(self._device, memory_format=torch.channels_last)
        self._batches = Batches(self.name, _BATCH, str(self._device))

    def encode(self, crops: np.ndarray, *, margin: float = 0.0) -> np.ndarray:
        """Embed the face boxes inside crops [n, S, S, 3] uint8; [n, 256] float32."""
        size = crops.shape[1]
        cut = round((size - size / (1 + margin)) / 2)  # left out on each side
        face = crops[:, cut : size - cut, cut : size - cut]
        with inferring():
            return torch.cat(self._batches.map(self._embed, face)).cpu().numpy()

    def _embed(self, faces: np.ndarray) -> torch.Tensor:
        """Faces [n, s, s, 3] uint8 through O-Net to its 256-d layer, as in its own forward."""
        pixels = to_device(torch.from_numpy(np.ascontiguousarray(faces)), self._device)
        pixels = pixels.permute(0, 3, 1, 2).float()  # [n, 3, s, s]
        x = (functional.interpolate(pixels, size=(48, 48), mode="area") - 127.5) / 128
        net = self._network
        x = net.pool1(net.prelu1(net.conv1(x)))
        x = net.pool2(net.prelu2(net.conv2(x)))
        x = net.pool3(net.prelu3(net.conv3(x)))
        x = net.prelu4(net.conv4(x))  # [n, 128, 3, 3]
        x = x.permute(0, 3, 2, 1).contiguous().flatten(1)  # the order of the original weights
        return net.prelu5(net.dense5(x))
