"""A sparse file reads back what was written last, and zeros elsewhere."""

import io
import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache.sparse import SparseFile, uninterrupted

WRITES = st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=30)), max_size=12)


@given(WRITES, st.integers(0, 100), st.integers(0, 100))
def test_it_behaves_like_a_file_in_memory(writes, start, count):
    sparse, plain = SparseFile(), io.BytesIO()
    for offset, content in writes:
        for file in (sparse, plain):
            file.seek(offset)
            file.write(content)
    for file in (sparse, plain):
        file.seek(start)
    assert sparse.read(count) == plain.read(count)
    assert sparse.seek(0, io.SEEK_END) == plain.seek(0, io.SEEK_END) == sparse.size


@given(WRITES)
def test_its_parts_written_in_order_make_the_file(writes):
    sparse = SparseFile()
    for offset, content in writes:
        sparse.seek(offset)
        sparse.write(content)
    target = bytearray(sparse.size)
    for offset, content in sparse.parts:
        target[offset : offset + len(content)] = content
    sparse.seek(0)
    assert sparse.read() == target


def test_an_interrupt_waits_for_the_end_of_the_block():
    done = []

    def work():
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("finished")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["finished"]
