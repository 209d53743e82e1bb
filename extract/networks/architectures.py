"""The networks that files of weights fit, by the name of their architecture, without weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ...errors import ConfigError
from .ir50 import IR50
from .vggish import VGGish, VGGishPCA


def _resnet50() -> nn.Module:
    from torchvision.models import resnet50

    network = resnet50(weights=None)
    network.fc = nn.Identity()  # the 2048 pooled features, [B, 3, H, W] to [B, 2048]
    return network


def _facenet() -> nn.Module:
    from facenet_pytorch import InceptionResnetV1

    return InceptionResnetV1(pretrained=None)


def _wavlm_base() -> nn.Module:
    from torchaudio.models import wavlm_base

    return wavlm_base()


def _wavlm_large() -> nn.Module:
    from torchaudio.models import wavlm_large

    return wavlm_large()


ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {
    "resnet50": _resnet50,
    "facenet": _facenet,
    "ir50": IR50,
    "vggish": VGGish,
    "vggish-pca": VGGishPCA,
    "wavlm-base": _wavlm_base,
    "wavlm-large": _wavlm_large,
}


def blueprint(architecture: str, **options: Any) -> nn.Module:
    """The network on the meta device: names and shapes, no memory, nothing to compute with.

    Raises:
        ConfigError: unknown architecture.
    """
    if architecture not in ARCHITECTURES:
        raise ConfigError(
            f"no network is called {architecture!r}; there are {', '.join(ARCHITECTURES)}"
        )
    with torch.device("meta"):
        return ARCHITECTURES[architecture](**options)
