"""How far a task is: told where it is worked on, also in another process; heard where it is shown.

Nothing here knows what the task is. What nobody listens to is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

_listener: Callable[..., None] | None = None


def tell(*news: Any) -> None:
    """Tell how far a task is: `tell(done, total, words)`; executors put the task in front."""
    if _listener is not None:
        _listener(*news)


@contextmanager
def listening(listener: Callable[..., None]) -> Iterator[None]:
    """Have what is told meanwhile heard by one listener alone; any thread may call it."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


@contextmanager
def telling_of(task: Any) -> Iterator[None]:
    """Put a task in front of what is told meanwhile."""
    if _listener is None:
        yield
        return
    with listening(partial(_listener, task)):
        yield
