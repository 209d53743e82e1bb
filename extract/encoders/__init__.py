"""Encoders: what turns crops or sound into embeddings, by name."""

from . import logmel, onet
from .base import AudioEncoder, Encoder, VisualEncoder
from .registry import create_encoder, list_encoders, register_encoder, summarise_encoder

__all__ = [
    "AudioEncoder",
    "Encoder",
    "VisualEncoder",
    "create_encoder",
    "list_encoders",
    "logmel",
    "onet",
    "register_encoder",
    "summarise_encoder",
]
