"""Where the time of an extraction goes: processor seconds per stage, and who waits for whom."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_spent: Counter[str] = Counter()  # of the video on which this process works


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Add the calling thread's processor time to a stage; stages do not nest."""
    began = time.thread_time()
    try:
        yield
    finally:
        _add(stage, time.thread_time() - began)


@contextmanager
def waiting(stage: str) -> Iterator[None]:
    """Add wall time, where a thread waits for another one, a device or a disk."""
    began = time.perf_counter()
    try:
        yield
    finally:
        _add(stage, time.perf_counter() - began)


def take_times() -> dict[str, float]:
    """Stage -> seconds since the last call."""
    with _lock:
        taken = dict(_spent)
        _spent.clear()
    return taken


def _add(stage: str, seconds: float) -> None:
    with _lock:
        _spent[stage] += seconds
