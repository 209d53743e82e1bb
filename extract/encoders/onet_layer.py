"""Computes `onet`: crops through MTCNN's O-Net up to its 256-d layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from .base import VisualEncoder


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
