"""Packing changes where rows lie and nothing else."""

import os
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
from caches import add_features, add_video, source_of
from damage import flip
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.cache import CacheError, FeatureStore
from vapipe.cache.catalog import list_folder, shard_folders
from vapipe.cache.durable import digest_file
from vapipe.cache.layout import create_cache, write_features, write_timeline
from vapipe.cache.pack import _pack_folder, pack_cache, remove_videos
from vapipe.cache.status import cache_status
from vapipe.cache.verify import verify_cache
from vapipe.errors import CacheBusyError


def fill(root, lengths):
    """Videos v00, v01 ... of so many rows in a cache that need not be there yet."""
    create_cache(root)
    for number, rows in enumerate(lengths):
        labels = np.full((rows, 2), number / 100)
        features = np.arange(rows * 2).reshape(rows, 2) + number
        add_video(root, f"v{number:02d}", {"onet": features}, labels=labels, partition="train")
    return root


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
    root = fill(tmp_path_factory.mktemp("p") / "cache", lengths)
    before = content(root)
    list(pack_cache(root, max_bytes=max_bytes, compress=compress))
    assert content(root) == before
    assert all(finding.problem is None for finding in verify_cache(root))


def test_many_shards_become_few_and_packing_again_does_nothing(tmp_path):
    root = fill(tmp_path / "cache", [10] * 6)
    packed = list(pack_cache(root))
    assert [pack.items for pack in packed] == [6, 6, 6]
    assert [pack.replaced for pack in packed] == [6, 6, 6]
    assert len(shards(root)) == 3
    assert list(pack_cache(root)) == []


def test_a_shard_written_after_packing_counts_and_the_next_pack_drops_the_old_rows(tmp_path):
    root = fill(tmp_path / "cache", [10] * 3)
    list(pack_cache(root))
    add_features(root, "v01", "onet", np.full((10, 2), 77.0))
    before = content(root)
    assert FeatureStore.open(root).read("v01", "onet")[0, 0] == 77
    list(pack_cache(root))
    assert content(root) == before
    assert len(shards(root)) == 3


def test_a_superseded_row_alone_is_dropped_too(tmp_path):
    root = fill(tmp_path / "cache", [10] * 2)
    list(pack_cache(root))
    (pack,) = (root / "features").glob("onet-*/@pack-*")
    fill(root, [10] * 2)
    list(pack_cache(root))
    assert not pack.exists()
    assert len(shards(root)) == 3


def test_full_packs_are_left_alone(tmp_path):
    root = fill(tmp_path / "cache", [200] * 4)
    list(pack_cache(root, max_bytes=1200))
    before = {name for name in shards(root) if "onet" in name}
    fill(root, [200] * 5)
    for number in range(4):
        (shard,) = (root / "features").glob(f"onet-*/v{number:02d}-*")
        shard.unlink()
    list(pack_cache(root, max_bytes=1200))
    assert before <= set(shards(root))


def test_shards_of_other_library_versions_are_packed_apart(tmp_path):
    root = fill(tmp_path / "cache", [10] * 2)
    for item, version in (("v00", "1"), ("v01", "2")):
        with write_features(
            root, item, stream="other", key="c3" * 32, modality="visual", rows=10, dim=1,
            source=source_of(item), config={}, versions={"torch": version},
        ) as shard:  # fmt: skip
            shard.append(features=np.zeros((10, 1)), valid=np.ones(10))
    list(pack_cache(root))
    assert len(list((root / "features").glob("other-*/@pack-*"))) == 2


def test_a_damaged_shard_stops_packing_before_anything_is_removed(tmp_path):
    root = fill(tmp_path / "cache", [10] * 3)
    (victim,) = (root / "features").glob("onet-*/v01-*")
    flip(victim)
    names = [name for name in shards(root) if "onet" in name]
    with pytest.raises(CacheError, match=r"damaged shard .*v01-"):
        list(pack_cache(root))
    assert [name for name in shards(root) if "onet" in name] == names


def while_packing(monkeypatch, do):
    """Do something once, after the first pack of features is written."""
    from vapipe.cache import pack as module

    write = module.write_pack

    def write_and_do(path, pieces, compress=False):
        target = write(path, pieces, compress)
        if "onet" in str(path):
            monkeypatch.setattr(module, "write_pack", write)
            do(target)
        return target

    monkeypatch.setattr(module, "write_pack", write_and_do)


def test_a_shard_replaced_while_packing_is_kept(tmp_path, monkeypatch):
    root = fill(tmp_path / "cache", [10] * 3)
    while_packing(monkeypatch, lambda _: add_features(root, "v02", "onet", np.full((10, 2), 55.0)))
    list(pack_cache(root))
    assert FeatureStore.open(root).read("v02", "onet")[0, 0] == 55


def pack_unlocked(root, max_bytes=1 << 30):
    """What packing does where no lock keeps others out."""
    for path, kind in shard_folders(root):
        list(_pack_folder(root, list_folder(root, path, kind), max_bytes, False))


@pytest.mark.parametrize("theirs", [1, 700, 1 << 30])
@pytest.mark.parametrize("ours", [1, 700, 1 << 30])
def test_packing_inside_packing_loses_nothing_even_without_the_lock(
    tmp_path, monkeypatch, ours, theirs
):
    """One stops between any two steps, the other packs everything meanwhile."""
    root = fill(tmp_path / "cache", [10] * 6)
    before = content(root)
    while_packing(monkeypatch, lambda _: pack_unlocked(root, theirs))
    with suppress(CacheError):  # its pack may have been packed again
        pack_unlocked(root, ours)
    assert content(root) == before
    pack_unlocked(root)
    assert content(root) == before
    assert not [finding for finding in verify_cache(root) if finding.problem]


def test_nothing_is_removed_when_the_pack_has_gone(tmp_path, monkeypatch):
    root = fill(tmp_path / "cache", [10] * 3)
    before = content(root)
    while_packing(monkeypatch, lambda target: target.unlink())
    with pytest.raises(CacheError, match=r"@pack-.* was changed or removed .* stays"):
        list(pack_cache(root))
    assert content(root) == before


@pytest.fixture
def stopped_packer(tmp_path):
    """Another process that holds the lock and is stopped in the middle of packing."""
    root = fill(tmp_path / "cache", [10] * 3)
    code = (
        "import os, signal, sys, pathlib; from vapipe.cache.pack import pack_cache\n"
        "for _ in pack_cache(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), signal.SIGSTOP)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(root)]) as process:
        os.waitpid(process.pid, os.WUNTRACED)
        yield root, process
        process.kill()


def test_one_process_packs_at_a_time_and_a_killed_one_holds_nothing(stopped_packer):
    root, process = stopped_packer
    before = content(root)
    busy = rf"in use by `vapipe cache pack`, process {process.pid} on .* since 20"
    for work in (lambda: list(pack_cache(root)), lambda: list(verify_cache(root, repair=True))):
        with pytest.raises(CacheBusyError, match=busy):
            work()
    assert content(root) == before
    process.kill()
    process.wait()
    list(pack_cache(root))
    assert content(root) == before
    assert len(shards(root)) == 3


def test_reading_goes_on_while_others_pack(tmp_path):
    """An open store finds rows again wherever they were packed to, pack after pack."""
    root = fill(tmp_path / "cache", [10] * 8)
    before = content(root)
    store = FeatureStore.open(root)
    for max_bytes in (200, 500, 1 << 30):
        item = f"v0{max_bytes % 7}"
        list(pack_cache(root, max_bytes=max_bytes))
        assert store.read(item, "onet").tobytes() == before[item][0]
    for item, (features, codes, labels, pts, _) in before.items():
        assert store.read(item, "onet").tobytes() == features
        assert store.status(item, "onet").tobytes() == codes
        assert store.labels(item).tobytes() == labels
        assert store.timeline(item).pts.tobytes() == pts


def test_an_open_store_never_serves_rows_of_another_version(tmp_path):
    root = fill(tmp_path / "cache", [10] * 2)
    store = FeatureStore.open(root)
    timeline = store.timeline("v00")
    write_timeline(root, "v00", timeline, subjects=["v00"], source=source_of("v00", version=1))
    with write_features(
        root, "v00", stream="onet", key="a1" * 32, modality="visual", rows=10, dim=2,
        source=source_of("v00", version=1), config={},
    ) as shard:  # fmt: skip
        shard.append(features=np.full((10, 2), 7), valid=np.ones(10))
    with pytest.raises(CacheError, match=r"v00: its rows in .* changed while they were read"):
        store.read("v00", "onet")
    assert store.read("v01", "onet").shape == (10, 2)
    for path in (root / "features").glob("onet-*/v01-*"):
        path.unlink()
    with pytest.raises(CacheError, match=r"v01: its rows in .* are gone; `vapipe extract` makes"):
        FeatureStore(root, store._catalog).read("v01", "onet")


def test_listing_beside_packing_misses_nothing(tmp_path):
    """Every item is listed at every moment; status and open never fail."""
    root = fill(tmp_path / "cache", [3] * 12)
    expected = sorted(content(root))
    code = (
        "import sys, pathlib; from vapipe.cache.pack import pack_cache\n"
        "root = pathlib.Path(sys.argv[1])\n"
        "for size in [50, 200, 1, 400, 90, 1] * 3: list(pack_cache(root, max_bytes=size))"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(root)]) as process:
        while process.poll() is None:
            status = cache_status(root)
            assert (status.videos, status.damaged) == (12, {})
            assert [stream.present for stream in status.streams] == [12]
            store = FeatureStore.open(root)
            assert [item for item in store.videos() if store.has(item, "onet")] == expected
            assert not [f for f in verify_cache(root) if f.problem]
        assert process.returncode == 0


@pytest.mark.parametrize("change", ["packed", "written anew"])
def test_what_changes_while_it_is_verified_is_judged_as_it_is_then(tmp_path, monkeypatch, change):
    root = fill(tmp_path / "cache", [10] * 2)
    changed = []

    def digest(path, **options):
        if "features" in str(path) and not changed:
            changed.append(path)
            if change == "packed":
                list(pack_cache(root))
            else:
                with write_features(
                    root, "v00", stream="onet", key="a1" * 32, modality="visual", rows=10, dim=2,
                    source=source_of("v00"), config={},
                ) as shard:  # fmt: skip
                    shard.append(features=np.full((10, 2), 7), valid=np.ones(10))
        return digest_file(path, **options)

    monkeypatch.setattr("vapipe.cache.reading.digest_file", digest)
    assert not [finding for finding in verify_cache(root) if finding.problem]
    assert changed


def test_videos_are_removed_by_name_from_shards_and_packs(tmp_path):
    root = fill(tmp_path / "cache", [10] * 3)
    list(pack_cache(root))
    fill(root, [10])  # v00 also as shards of its own
    before = content(root)
    remove_videos(root, ["v00", "v02"])
    assert content(root) == {"v01": before["v01"]}
    assert not [finding for finding in verify_cache(root) if finding.problem]
    with pytest.raises(CacheError, match=r"no video v00 in .*`vapipe cache status`"):
        remove_videos(root, ["v00"])
    remove_videos(root, ["v01"])
    assert shards(root) == []


def test_stale_rows_stay_stale_when_packed(tmp_path):
    root = fill(tmp_path / "cache", [10] * 2)
    timeline = FeatureStore.open(root).timeline("v00")
    write_timeline(root, "v00", timeline, subjects=["v00"], source=source_of("v00", version=1))
    list(pack_cache(root))
    store = FeatureStore.open(root)
    assert not store.has("v00", "onet")
    assert store.has("v01", "onet")
