"""A shard gives back exactly what was written, says when it does not, and is plain HDF5."""

import time

import h5py
import numpy as np
import pytest
from damage import flip
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.cache import CacheError
from vapipe.cache.header import Item, read_header
from vapipe.cache.reading import ShardReader, verify_shard
from vapipe.cache.shard import write_shard
from vapipe.errors import DamagedShardError

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
FACTS = {"source": {"sha256": "s"}}
ARRAYS = {"features": ("<f2", (3,)), "valid": ("|u1", ())}


def write(path, features, valid, items=None, block=7, compress=False):
    items = items or [Item("v", len(features), FACTS)]
    with write_shard(
        path,
        kind="features",
        stream="onet",
        key="c3" * 32,
        items=items,
        arrays=ARRAYS,
        provenance={"modality": "visual", "config": {}},
        compress=compress,
    ) as shard:
        for start in range(0, len(features), block):
            rows = slice(start, start + block)
            shard.append(features=features[rows], valid=valid[rows])
    return path


@pytest.fixture
def shard(tmp_path):
    features = np.arange(60, dtype=np.float16).reshape(20, 3)
    return write(tmp_path / "a.h5", features, np.arange(20, dtype=np.uint8))


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 40),
    block=st.integers(1, 50),
    names=st.lists(NAMES, min_size=1, max_size=5, unique=True),
    seed=st.integers(0, 99),
    compress=st.booleans(),
)
def test_read_equals_written_equals_h5py(tmp_path_factory, rows, block, names, seed, compress):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows * len(names), 3)).astype(np.float16)
    valid = rng.integers(0, 255, len(features)).astype(np.uint8)
    items = [Item(name, rows, FACTS) for name in names]
    path = write(tmp_path_factory.mktemp("s") / "a.h5", features, valid, items, block, compress)
    header = verify_shard(path)
    assert [item.id for item in header.items] == names
    reader = ShardReader(path)
    assert np.array_equal(reader.rows("features", 0, len(features)), features)
    assert np.array_equal(reader.rows("valid", 1, 3), valid[1:3])
    with h5py.File(path) as file:
        assert np.array_equal(file["features"][:], features)
        assert np.array_equal(file["valid"][:], valid)
        assert list(file["videos"].asstr()) == names
        assert file["offsets"][:].tolist() == [rows * i for i in range(len(names) + 1)]
        assert file.attrs["stream"] == "onet"


def test_the_same_values_give_the_same_bytes(tmp_path):
    features, valid = np.ones((9, 3)), np.ones(9)
    one = write(tmp_path / "a.h5", features, valid, block=2)
    time.sleep(1.1)  # HDF5 would note modification times in seconds
    other = write(tmp_path / "b.h5", features, valid, block=9)
    assert one.read_bytes() == other.read_bytes()


def test_mapped_arrays_are_read_only_and_aligned(shard):
    features = ShardReader(shard).rows("features", 0, 20)
    assert not features.flags.writeable
    assert features.ctypes.data % 64 == 0


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.full((4, 3), 7e4), "7e4|70000.0, which float16 cannot hold.*--dtype float32"),
        (np.full((4, 3), np.nan), "feature 0 of row 0 is nan"),
        (np.ones((3, 3)), "only 3 of 4 rows"),
        (np.ones((5, 3)), "row 5 of 4 announced rows"),
    ],
)
def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path, features, message):
    with pytest.raises(CacheError, match=message):
        write(tmp_path / "a.h5", features, np.ones(len(features)), items=[Item("v", 4)], block=9)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_another_shape_are_refused(tmp_path):
    with pytest.raises(CacheError, match=r"v: onet: rows of `features` have shape \[2\], .* \[3\]"):
        write(tmp_path / "a.h5", np.ones((4, 2)), np.ones(4))


def test_arrays_of_unequal_length_are_refused(tmp_path):
    with pytest.raises(CacheError, match="equally many rows"):
        write(tmp_path / "a.h5", np.ones((4, 3)), np.ones(3), items=[Item("v", 4)])


def test_every_truncation_is_noticed_at_opening(shard):
    content = shard.read_bytes()
    for size in range(0, len(content), 97):
        shard.write_bytes(content[:size])
        with pytest.raises(DamagedShardError):
            read_header(shard)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty or all zeros"),
        (bytes(9000), "empty or all zeros"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "an HDF5 file that vapipe did not write"),
        (b"hello", "does not begin with a shard header"),
    ],
)
def test_foreign_files_are_named_as_such(tmp_path, content, reason):
    path = tmp_path / "x.h5"
    path.write_bytes(content)
    with pytest.raises(DamagedShardError, match=reason):
        read_header(path)


def test_a_newer_format_is_refused_with_both_versions(shard):
    shard.write_bytes(shard.read_bytes().replace(b"vapipe-shard 0001", b"vapipe-shard 0003"))
    with pytest.raises(CacheError, match="version 3; this vapipe reads 1 to 2"):
        read_header(shard)


def test_flipped_values_are_named_by_verify(shard):
    header = read_header(shard)
    flip(shard, header.arrays["features"].offset + 5)
    with pytest.raises(DamagedShardError, match="values of features changed"):
        verify_shard(shard)


def test_flipped_metadata_is_named_by_verify(shard):
    flip(shard, 60 - read_header(shard).hdf5_bytes)
    with pytest.raises(DamagedShardError, match="HDF5 metadata changed"):
        verify_shard(shard)


def test_a_compressed_shard_has_no_offsets_and_damage_in_it_is_named(tmp_path):
    features = np.random.default_rng(0).normal(size=(50, 3))
    path = write(tmp_path / "a.h5", features, np.ones(50), compress=True)
    header = verify_shard(path)
    assert {info.offset for info in header.arrays.values()} == {None}
    assert not ShardReader(path).rows("features", 0, 5).flags.writeable
    with h5py.File(path) as file:
        place = file["features"].id.get_chunk_info(0).byte_offset
    flip(path, place, 0xFF)  # the compressed stream's own header
    with pytest.raises(DamagedShardError, match="compressed values or HDF5 metadata changed"):
        verify_shard(path)
    with pytest.raises(DamagedShardError, match="its HDF5 part cannot be read"):
        ShardReader(path).rows("features", 0, 5)


def test_an_unreadable_path_is_named(tmp_path):
    with pytest.raises(CacheError, match=r"cannot read .*nothing.h5"):
        read_header(tmp_path / "nothing.h5")
