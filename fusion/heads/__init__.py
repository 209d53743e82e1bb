"""What is known of the fusion heads without their networks; torch is not loaded here."""

from . import joint, others
from .facts import ROLES, HeadFacts
from .registry import (
    HeadInfo,
    check_options,
    describe_head,
    list_heads,
    register_head,
    resolve_variant,
)

__all__ = [
    "ROLES",
    "HeadFacts",
    "HeadInfo",
    "check_options",
    "describe_head",
    "joint",
    "list_heads",
    "others",
    "register_head",
    "resolve_variant",
]
