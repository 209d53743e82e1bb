"""The ground floor: time, shards, the store, windows. Knows nothing of media or models."""

from ..errors import CacheError, ConfigError, LabelError, MediaError, VapipeError
from .store import FeatureStore
from .timeline import Timeline, Valid, usable
from .windows import Batch, Window, WindowReader, cut_windows, gather

__all__ = [
    "Batch",
    "CacheError",
    "ConfigError",
    "FeatureStore",
    "LabelError",
    "MediaError",
    "Timeline",
    "Valid",
    "VapipeError",
    "Window",
    "WindowReader",
    "cut_windows",
    "gather",
    "usable",
]
