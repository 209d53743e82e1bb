"""Runs an iterator ahead in a thread, so that decoding goes on while an encoder computes."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, TypeVar

import torch

from .stages import waiting

T = TypeVar("T")
_DONE = object()


def prefetch(source: Iterator[T], depth: int = 2) -> Iterator[T]:
    """Yield the items of `source` in order; at most `depth` wait at any time.

    An error of the source is raised here in its turn. When the consumer stops early, the thread
    stops before its next item.
    """
    ready: queue.Queue[Any] = queue.Queue(maxsize=depth)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        with waiting("wait for encoders"):
            while not stopped.is_set():
                try:
                    ready.put(item, timeout=0.1)
                except queue.Full:
                    continue
                return True
        return False

    def run() -> None:
        torch.set_num_threads(1)  # the setting of a thread is its own
        try:
            for item in source:
                if not put((item, None)):
                    return
            put((_DONE, None))
        except BaseException as error:
            put((_DONE, error))

    thread = threading.Thread(target=run, name="vapipe-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            with waiting("wait for rows"):
                item, error = ready.get()
            if error is not None:
                raise error
            if item is _DONE:
                return
            yield item
    finally:
        stopped.set()
        thread.join()
