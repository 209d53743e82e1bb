"""Where the time of an extraction goes: processor seconds per stage, and who waits for whom."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_spent: dict[str, float] = defaultdict(float)  # of the video on which this process works
_inner = threading.local()  # of a thread: seconds that stages inside the present one have taken


@contextmanager
def timed(stage: str) -> Iterator[None]:
    """Add the calling thread's processor time to a stage; that of stages inside is theirs."""
    outer, _inner.seconds = getattr(_inner, "seconds", 0.0), 0.0
    began = time.thread_time()
    try:
        yield
    finally:
        seconds = time.thread_time() - began
        _add(stage, seconds - _inner.seconds)
        _inner.seconds = outer + seconds


def timed_items(stage: str, items: Iterable[T]) -> Iterator[T]:
    """The same items; making them is the stage."""
    iterator = iter(items)
    while True:
        with timed(stage):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


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
