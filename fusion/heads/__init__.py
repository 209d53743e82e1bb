"""Fusion heads; importing this package registers all of them."""

from . import concat, grjca, hgrjca, jca, rjca
from .base import ROLES, Head
from .registry import HeadInfo, create_head, describe_head, list_heads, register_head

__all__ = [
    "ROLES",
    "Head",
    "HeadInfo",
    "concat",
    "create_head",
    "describe_head",
    "grjca",
    "hgrjca",
    "jca",
    "list_heads",
    "register_head",
    "rjca",
]
