"""Stage one: videos in, frame-aligned features in the cache out."""

from .encoders import create_encoder, list_encoders, register_encoder

__all__ = ["create_encoder", "list_encoders", "register_encoder"]
