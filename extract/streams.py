"""Named streams: an encoder with its options, bound to a key that determines the values."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..cache.durable import canonical_json
from ..cache.layout import DTYPES
from ..errors import ConfigError
from ..plugins import plugin_digest
from .encoders import Encoder, create_encoder, same_values
from .faces.crops import CropConfig
from .views import WHOLE, View

# Part of every key; raised when stored values change without any option changing:
# 2: sound whose channels have no names is mixed with equal weights.
SCHEMA = 2


@dataclass(frozen=True)
class StreamConfig:
    """What the user asks for.

    Attributes:
        name: of the stream.
        encoder: registered name of the encoder.
        options: its (option, value) pairs.
        dtype: stored precision.
        view: which view of the crops it sees.
    """

    name: str
    encoder: str
    options: tuple[tuple[str, Any], ...] = ()
    dtype: str = "float16"
    view: View = WHOLE


@dataclass(frozen=True)
class StreamFacts:
    """What a stream is, without the network that makes it.

    Attributes:
        config: what was asked for.
        modality: "visual" or "audio".
        dim: feature dimension D.
        identity: everything that determines the stored values, JSON-able.
        key: SHA-256 (hex) of the identity.
    """

    config: StreamConfig
    modality: str
    dim: int
    identity: dict[str, Any]
    key: str


@dataclass(frozen=True)
class Stream(StreamFacts):
    """A stream ready to run.

    Attributes:
        encoder: the loaded encoder.
    """

    encoder: Encoder

    def facts(self) -> StreamFacts:
        """What it is, fit to be sent to another process."""
        return StreamFacts(self.config, self.modality, self.dim, self.identity, self.key)


def bind(config: StreamConfig, crops: CropConfig, device: str) -> Stream:
    """Load a stream's encoder and work out its key.

    Args:
        config: the stream.
        crops: how faces are found and cropped; part of a visual stream's key.
        device: torch device the encoder runs on.

    Raises:
        ConfigError: unknown encoder, option or precision, or a view of an audio stream.
    """
    if config.dtype not in DTYPES:
        raise ConfigError(
            f"stream `{config.name}`: dtype `{config.dtype}` is none of {', '.join(DTYPES)}"
        )
    encoder = create_encoder(config.encoder, device=device, **dict(config.options))
    if encoder.modality == "audio" and config.view != WHOLE:
        raise ConfigError(
            f"stream `{config.name}`: views are of pictures; {config.encoder} hears sound"
        )
    identity: dict[str, Any] = {
        "schema": SCHEMA,
        "encoder": encoder.identity(),
        "dtype": config.dtype,
    }
    if code := plugin_digest(type(encoder).__module__):
        identity["plugin"] = code
    if encoder.modality == "visual":
        identity["crops"] = crops.identity()
        if config.view != WHOLE:
            identity["view"] = config.view.name
    key = hashlib.sha256(canonical_json(identity)).hexdigest()
    return Stream(config, encoder.modality, encoder.dim, identity, key, encoder)


def doubled(streams: Sequence[StreamFacts]) -> list[tuple[str, str]]:
    """Pairs of streams that are the same network on the same input, up to precision."""
    pairs = []
    for number, stream in enumerate(streams):
        for other in streams[:number]:
            one, two = ({**s.identity, "encoder": None, "dtype": None} for s in (other, stream))
            same = same_values(other.identity["encoder"], stream.identity["encoder"])
            if same and one == two:
                pairs.append((other.config.name, stream.config.name))
    return pairs
