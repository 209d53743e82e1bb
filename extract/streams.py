"""Named streams: an encoder with its options, bound to a key that determines the values."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from ..cache.durable import canonical_json
from ..cache.errors import ConfigError
from ..cache.layout import DTYPES
from .crops import CropConfig
from .encoders import Encoder, create_encoder

SCHEMA = 1  # raised when the meaning of stored values changes without any option changing
DEFAULT_STREAMS = ("onet", "logmel")
DEFAULT_REASON = (
    "the embedded default: their weights ship with the dependencies or none are needed; "
    "choose others with --streams"
)


@dataclass(frozen=True)
class StreamConfig:
    """What the user asks for: a name, the encoder, its (option, value) pairs, the precision."""

    name: str
    encoder: str
    options: tuple[tuple[str, Any], ...] = ()
    dtype: str = "float16"


@dataclass(frozen=True)
class Stream:
    """A stream ready to run.

    Attributes:
        config: what was asked for.
        encoder: the loaded encoder.
        identity: everything that determines the stored values, JSON-able.
        key: SHA-256 (hex) of the identity.
    """

    config: StreamConfig
    encoder: Encoder
    identity: dict[str, Any]
    key: str


def bind(config: StreamConfig, crops: CropConfig, device: str) -> Stream:
    """Load a stream's encoder and work out its key.

    Args:
        config: the stream.
        crops: how faces are found and cropped; part of a visual stream's key.
        device: torch device the encoder runs on.

    Raises:
        ConfigError: unknown encoder, option or precision.
    """
    if config.dtype not in DTYPES:
        raise ConfigError(
            f"stream `{config.name}`: dtype `{config.dtype}` is none of {', '.join(DTYPES)}"
        )
    encoder = create_encoder(config.encoder, device=device, **dict(config.options))
    identity = {
        "schema": SCHEMA,
        "encoder": encoder.identity(),
        "dtype": config.dtype,
        **({"crops": crops.identity()} if encoder.modality == "visual" else {}),
    }
    return Stream(config, encoder, identity, hashlib.sha256(canonical_json(identity)).hexdigest())


def choose_streams(names: str | None, dtype: str) -> tuple[tuple[StreamConfig, ...], str]:
    """The streams of a comma-separated list, or the default ones; and why these.

    Raises:
        ConfigError: an empty or repeated name.
    """
    chosen = [name.strip() for name in names.split(",")] if names is not None else DEFAULT_STREAMS
    if not all(chosen) or len(set(chosen)) < len(chosen):
        raise ConfigError(f"--streams `{names}`: give distinct names separated by commas")
    reason = DEFAULT_REASON if names is None else "as asked for with --streams"
    return tuple(StreamConfig(name, name, dtype=dtype) for name in chosen), reason
