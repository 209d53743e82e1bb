"""Running ahead changes when items are made, never which, and ends with its consumer."""

import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.extract.prefetch import prefetch


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(), max_size=30), st.integers(1, 4))
def test_items_come_in_order(items, depth):
    assert list(prefetch(iter(items), depth)) == items


def test_an_error_comes_after_the_items_before_it():
    def source():
        yield 1
        raise OSError("broken")

    items = prefetch(source())
    assert next(items) == 1
    with pytest.raises(OSError, match="broken"):
        next(items)


def test_at_most_so_many_items_wait():
    made = []

    def source():
        for number in range(20):
            made.append(number)
            yield number

    items = prefetch(source(), depth=2)
    assert next(items) == 0
    time.sleep(0.3)
    assert len(made) <= 1 + 2 + 1  # taken, waiting, in hand
    items.close()


def test_the_thread_ends_when_the_consumer_stops():
    def source():
        while True:
            yield 0

    items = prefetch(source())
    next(items)
    items.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "vapipe-prefetch"]


def test_source_and_consumer_run_at_the_same_time():
    """Each waits for the other once per item: alone neither could go on."""
    barrier = threading.Barrier(2, timeout=5)

    def source():
        yield 0
        for number in range(1, 4):
            barrier.wait()
            yield number

    seen = []
    for number in prefetch(source()):
        seen.append(number)
        if number < 3:
            barrier.wait()
    assert seen == [0, 1, 2, 3]
