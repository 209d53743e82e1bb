"""VGGish, the audio network of AudioSet (Hershey et al. 2017), and its optional PCA.

Parameter names as in torchvggish. The spectrogram patches are made elsewhere.
"""

from __future__ import annotations

import torch
from torch import nn

_LAYERS = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M")
_CLIP = 2.0  # AudioSet clips the whitened embedding to [-2, 2] before quantising it to 8 bits


class VGGish(nn.Module):
    """Log-mel patches [B, 1, 96, 64] to embeddings [B, 128], before the last ReLU.

    The network of AudioSet ends in a ReLU; `embedding.relu()` gives its output.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width in _LAYERS:
            if isinstance(width, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(inplace=True)]
                channels = width
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 6 * 4, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 128),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, 1, 96, 64] (time, mel) to [B, 128]."""
        x = self.features(x)  # [B, 512, 6, 4]
        # TensorFlow, where the weights come from, flattens with the channels last.
        return self.embeddings(x.permute(0, 2, 3, 1).flatten(1))


class VGGishPCA(nn.Module):
    """AudioSet's post-processing: PCA with whitening, clipped to [-2, 2], [B, 128] to [B, 128].

    The released AudioSet features are this, quantised to 8 bits; here it stays continuous.
    """

    pca_eigen_vectors: torch.Tensor
    pca_means: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pca_eigen_vectors", torch.empty(128, 128))
        self.register_buffer("pca_means", torch.empty(128))

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """[B, 128], after the last ReLU, to [B, 128]."""
        centred = embedding - self.pca_means
        return (centred @ self.pca_eigen_vectors.T).clamp(-_CLIP, _CLIP)
