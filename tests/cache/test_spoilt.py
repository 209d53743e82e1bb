"""What changes a shard while it is being written is found; nothing of that shard stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.cache.durable import PARTIAL_SUFFIX
from vapipe.cache.header import Item
from vapipe.cache.shard import write_shard
from vapipe.errors import WriteVerificationError

ROWS, DIM = 40, 16


def write(folder, spoil):
    arrays = {"features": ("<f2", (DIM,)), "valid": ("|u1", ())}
    with write_shard(
        folder / "a.h5",
        kind="features",
        items=[Item("a", ROWS, {"source": {"sha256": "s"}})],
        arrays=arrays,
        stream="s",
        key="c3" * 32,
        provenance={"modality": "audio", "config": {}},
    ) as shard:
        shard.append(features=np.ones((ROWS, DIM)), valid=np.ones(ROWS))
        (partial,) = folder.glob(f".*{PARTIAL_SUFFIX}")
        spoil(partial)


def block(folder):
    """Bytes before the HDF5 part, which are written last."""
    seen = []
    write(folder, lambda partial: seen.append(partial.read_bytes()))
    (folder / "a.h5").unlink()
    return seen[0].index(b"\x89HDF"), len(seen[0])


@settings(max_examples=150, deadline=None)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_no_flipped_bit_is_sealed(tmp_path_factory, where, bit):
    folder = tmp_path_factory.mktemp("spoilt")
    start, stop = block(folder)
    at = start + int(where * (stop - start))

    def flip(partial):
        content = bytearray(partial.read_bytes())
        content[at] ^= 1 << bit
        partial.write_bytes(content)

    with pytest.raises(
        WriteVerificationError, match=r"reads back differently .* or a library wrote"
    ):
        write(folder, flip)
    assert list(folder.iterdir()) == []


def test_the_message_tells_values_from_metadata(tmp_path):
    def change(old, new):
        def spoil(partial):
            content = partial.read_bytes()
            assert old in content
            partial.write_bytes(content.replace(old, new))

        return spoil

    with pytest.raises(WriteVerificationError, match=r"a\.h5: `features` reads back"):
        write(tmp_path, change(np.ones(DIM, "<f2").tobytes(), bytes(2 * DIM)))
    with pytest.raises(WriteVerificationError, match=r"a\.h5: HDF5 metadata reads back"):
        write(tmp_path, change(b'"audio"', b'"sound"'))
