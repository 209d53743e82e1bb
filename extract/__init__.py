"""Stage one: videos in, frame-aligned features in the cache out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .encoders import (
        AudioEncoder,
        VisualEncoder,
        create_encoder,
        list_encoders,
        register_encoder,
    )

__all__ = ["AudioEncoder", "VisualEncoder", "create_encoder", "list_encoders", "register_encoder"]


def __getattr__(name: str) -> Any:
    """Load the encoders, and torch with them, only for those who ask: most commands do not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import encoders

    return getattr(encoders, name)
