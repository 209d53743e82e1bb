"""vapipe: a two-stage feature-cache pipeline for audio-visual valence/arousal estimation."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import (
        evaluate,
        extract_features,
        fit,
        open_cache,
        predict,
        report,
        robustness,
        submit,
        sweep,
    )

__version__ = "0.1.0"
__all__ = [
    "evaluate",
    "extract_features",
    "fit",
    "open_cache",
    "predict",
    "report",
    "robustness",
    "submit",
    "sweep",
]

# Threads of torch that wait for each other sleep instead of spinning: on a machine that other
# processes use too, spinning made small networks up to twenty times slower. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    """Load the functions, and what they need, only for those who ask."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import api

    return getattr(api, name)
