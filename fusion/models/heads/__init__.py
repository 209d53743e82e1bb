"""The networks of the fusion heads; what else is known of them stands in `fusion.heads`."""

from ...heads import register_head
from .base import Head
from .create import create_head, digest_head

__all__ = ["Head", "create_head", "digest_head", "register_head"]
