"""Fusion heads; importing this package registers all of them."""

from . import concat, dca, grjca, hgrjca, jca, lfan, mstcn, rjca, sage, tagf, transformer
from .base import ROLES, Head
from .registry import (
    HeadInfo,
    check_options,
    create_head,
    describe_head,
    digest_head,
    list_heads,
    register_head,
    resolve_variant,
)

__all__ = [
    "ROLES",
    "Head",
    "HeadInfo",
    "check_options",
    "concat",
    "create_head",
    "dca",
    "describe_head",
    "digest_head",
    "grjca",
    "hgrjca",
    "jca",
    "lfan",
    "list_heads",
    "mstcn",
    "register_head",
    "resolve_variant",
    "rjca",
    "sage",
    "tagf",
    "transformer",
]
