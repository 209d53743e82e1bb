"""Packing changes where rows lie and nothing else."""

import numpy as np
import pytest
from caches import add_features, add_video, make_cache, source_of
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.cache import CacheError, FeatureStore
from vapipe.cache.layout import write_timeline
from vapipe.cache.pack import pack_cache
from vapipe.cache.verify import verify_cache


def fill(root, lengths, value=0.0):
    for number, rows in enumerate(lengths):
        labels = np.full((rows, 2), number / 100)
        features = np.arange(rows * 2).reshape(rows, 2) + value + number
        add_video(root, f"v{number:02d}", {"onet": features}, labels=labels, partition="train")


def content(root):
    store = FeatureStore.open(root)
    return {
        item: (
            store.read(item, "onet").tobytes(),
            store.status(item, "onet").tobytes(),
            store.labels(item).tobytes(),
            store.timeline(item).pts.tobytes(),
            store.partition(item),
        )
        for item in store.videos()
    }


def shards(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*.h5"))


@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=8),
    max_bytes=st.sampled_from([1, 500, 2000, 1 << 30]),
    compress=st.booleans(),
)
def test_packed_equals_unpacked(tmp_path_factory, lengths, max_bytes, compress):
    root = make_cache(tmp_path_factory.mktemp("p") / "cache")
    fill(root, lengths)
    before = content(root)
    list(pack_cache(root, max_bytes=max_bytes, compress=compress))
    assert content(root) == before
    assert all(finding.problem is None for finding in verify_cache(root))


def test_many_shards_become_few_and_packing_again_does_nothing(tmp_path):
    root = make_cache(tmp_path / "cache")
    fill(root, [10] * 6)
    packed = list(pack_cache(root))
    assert [pack.items for pack in packed] == [6, 6, 6]
    assert [pack.replaced for pack in packed] == [6, 6, 6]
    assert len(shards(root)) == 3
    assert list(pack_cache(root)) == []


def test_a_shard_written_after_packing_counts_and_the_next_pack_drops_the_old_rows(tmp_path):
    root = make_cache(tmp_path / "cache")
    fill(root, [10] * 3)
    list(pack_cache(root))
    add_features(root, "v01", "onet", np.full((10, 2), 77.0))
    before = content(root)
    assert FeatureStore.open(root).read("v01", "onet")[0, 0] == 77
    list(pack_cache(root))
    assert content(root) == before
    assert len(shards(root)) == 3


def test_a_superseded_row_alone_is_dropped_too(tmp_path):
    root = make_cache(tmp_path / "cache")
    fill(root, [10] * 2)
    list(pack_cache(root))
    (pack,) = (root / "features").glob("onet-*/@pack-*")
    fill(root, [10] * 2)
    list(pack_cache(root))
    assert not pack.exists()
    assert len(shards(root)) == 3


def test_full_packs_are_left_alone(tmp_path):
    root = make_cache(tmp_path / "cache")
    fill(root, [200] * 4)
    list(pack_cache(root, max_bytes=1200))
    before = {name for name in shards(root) if "onet" in name}
    fill(root, [200] * 5)
    for number in range(4):
        (shard,) = (root / "features").glob(f"onet-*/v{number:02d}-*")
        shard.unlink()
    list(pack_cache(root, max_bytes=1200))
    assert before <= set(shards(root))


def test_shards_of_other_library_versions_are_packed_apart(tmp_path):
    root = make_cache(tmp_path / "cache")
    fill(root, [10] * 2)
    from vapipe.cache.layout import write_features

    for item, version in (("v00", "1"), ("v01", "2")):
        with write_features(
            root, item, stream="other", key="k" * 16, modality="visual", rows=10, dim=1,
            source=source_of(item), config={}, versions={"torch": version},
        ) as shard:  # fmt: skip
            shard.append(features=np.zeros((10, 1)), valid=np.ones(10))
    list(pack_cache(root))
    assert len(list((root / "features").glob("other-*/@pack-*"))) == 2


def test_a_damaged_shard_stops_packing_before_anything_is_removed(tmp_path):
    root = make_cache(tmp_path / "cache")
    fill(root, [10] * 3)
    (victim,) = (root / "features").glob("onet-*/v01-*")
    data = bytearray(victim.read_bytes())
    data[-1] ^= 1
    victim.write_bytes(data)
    names = [name for name in shards(root) if "onet" in name]
    with pytest.raises(CacheError, match=r"damaged shard .*v01-"):
        list(pack_cache(root))
    assert [name for name in shards(root) if "onet" in name] == names


def test_a_shard_replaced_while_packing_is_kept(tmp_path, monkeypatch):
    from vapipe.cache import pack as module

    root = make_cache(tmp_path / "cache")
    fill(root, [10] * 3)
    write = module._write_pack

    def write_while_another_extracts(target, batch, compress):
        write(target, batch, compress)
        if "onet" in str(target):
            add_features(root, "v02", "onet", np.full((10, 2), 55.0))

    monkeypatch.setattr(module, "_write_pack", write_while_another_extracts)
    list(pack_cache(root))
    assert FeatureStore.open(root).read("v02", "onet")[0, 0] == 55


def test_stale_rows_stay_stale_when_packed(tmp_path):
    root = make_cache(tmp_path / "cache")
    fill(root, [10] * 2)
    timeline = FeatureStore.open(root).timeline("v00")
    write_timeline(root, "v00", timeline, subjects=["v00"], source=source_of("v00", version=1))
    list(pack_cache(root))
    store = FeatureStore.open(root)
    assert not store.has("v00", "onet")
    assert store.has("v01", "onet")
