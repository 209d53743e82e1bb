"""IR-50: the 50-layer improved residual network of ArcFace for aligned faces.

Deng et al. 2019, section 3.2; parameter names as in InsightFace_Pytorch and face.evoLVe.
"""

from __future__ import annotations

from math import isqrt

import torch
from torch import nn

CHANNELS = 512
_STAGES = ((64, 3), (128, 4), (256, 14), (512, 3))  # output channels, units


class IR50(nn.Module):
    """Face crops [B, 3, crop, crop] to embeddings [B, 512], not normalised.

    Four stages halve the map, each rounding up: crops of 112 px end in 7 x 7, and the linear
    layer has 512 * 7 * 7 inputs. With `first_stride=1` the first stage keeps the size: the form
    in which the affect papers' FER+ network reads crops of 40 px, ending in 5 x 5. Neither
    stride has parameters, so a file does not tell which one it was trained with.
    InsightFace_Pytorch normalises the embedding to unit length, face.evoLVe does not.
    """

    def __init__(self, *, crop: int = 112, first_stride: int = 2) -> None:
        """`crop` in pixels; `first_stride` 2 (face recognition) or 1 (small crops)."""
        super().__init__()
        self.crop = crop
        self.first_stride = first_stride
        self.spatial = ir50_spatial(crop, first_stride)
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        )
        units: list[nn.Module] = []
        channels = 64
        for stage, (depth, count) in enumerate(_STAGES):
            for unit in range(count):
                stride = 1 if unit else 2 if stage else first_stride
                units.append(_Unit(channels, depth, stride))
                channels = depth
        self.body = nn.Sequential(*units)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(CHANNELS),
            nn.Dropout(),
            nn.Flatten(),
            nn.Linear(CHANNELS * self.spatial**2, 512),
            nn.BatchNorm1d(512),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 3, crop, crop], scaled as the weights were trained, to [B, 512]."""
        return self.output_layer(self.body(self.input_layer(x)))


class _Unit(nn.Module):
    """`bottleneck_IR`: batch norm, 3x3, PReLU, 3x3 with the stride, batch norm, plus shortcut."""

    def __init__(self, channels: int, depth: int, stride: int) -> None:
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if channels == depth
            else nn.Sequential(
                nn.Conv2d(channels, depth, 1, stride, bias=False), nn.BatchNorm2d(depth)
            )
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, depth, 3, padding=1, bias=False),
            nn.PReLU(depth),
            nn.Conv2d(depth, depth, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(depth),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.res_layer(x) + self.shortcut_layer(x)


def ir50_spatial(crop: int, first_stride: int) -> int:
    """Side of the map in front of the linear layer: `crop`, halved upwards by each stride of 2."""
    return -(-crop // (8 * first_stride))


def map_side(linear_inputs: int) -> int | None:
    """Side of the map whose 512 channels are `linear_inputs` numbers; None where none is."""
    side = isqrt(linear_inputs // CHANNELS)
    return side if side and side**2 * CHANNELS == linear_inputs else None
