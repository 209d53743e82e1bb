"""Whatever happens to a shard's bytes, verify names the shard and nothing crashes or hangs."""

import random
import subprocess
from contextlib import suppress

import numpy as np
import pytest
from caches import add_video, make_cache

from vapipe.cache import CacheError, FeatureStore
from vapipe.cache.gc import find_garbage, remove
from vapipe.cache.pack import pack_cache
from vapipe.cache.verify import verify_cache


def build(root):
    rng = np.random.default_rng(3)
    make_cache(root)
    for number in range(3):
        features = {
            "onet": rng.normal(size=(30 + number, 8)),
            "logmel": rng.normal(size=(30 + number, 4)),
        }
        labels = rng.uniform(-1, 1, (30 + number, 2))
        add_video(root, f"video{number}", features, labels=labels, partition="train")
    return root


def read_everything(root):
    """Use every part of the store; errors are fine, crashes are not."""
    store = FeatureStore.open(root)
    for video in store.videos():
        for stream in store.streams():
            try:
                store.read(video, stream).sum()
                store.valid(video, stream)
                store.labels(video)
                store.timeline(video)
            except CacheError:
                continue


def flip_and_check(root, count, seed):
    rng = random.Random(seed)
    shards = sorted(root.rglob("*.h5"))
    for _ in range(count):
        victim = rng.choice(shards)
        sound = victim.read_bytes()
        place = rng.randrange(len(sound))
        damaged = bytearray(sound)
        damaged[place] ^= 1 << rng.randrange(8)
        victim.write_bytes(damaged)
        named = {finding.path for finding in verify_cache(root) if finding.problem}
        assert victim in named, f"seed {seed}: byte {place} of {victim.name}"
        read_everything(root)
        victim.write_bytes(sound)
    assert not any(finding.problem for finding in verify_cache(root))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_flips_are_named(tmp_path, packed, count):
    root = build(tmp_path / "cache")
    if packed:
        list(pack_cache(root))
    flip_and_check(root, count, seed=5)


def content(root):
    store = FeatureStore.open(root)
    return {
        (video, stream): store.read(video, stream).tobytes()
        for video in store.videos()
        for stream in store.streams()
        if store.has(video, stream)
    }


def fill(root):
    """Write videos until the disk refuses; the error, and what was complete before it."""
    number = 0
    while True:
        before = content(root)
        try:
            add_video(root, f"video{number}", {"onet": np.full((400, 64), number)})
        except CacheError as error:
            return error, before
        number += 1


def test_a_full_disk_is_reported_and_loses_nothing_while_extracting(small_disk):
    root = make_cache(small_disk / "cache")
    error, before = fill(root)
    assert "No space left on device; what was there before is intact" in str(error)
    assert len(before) > 5
    assert content(root).items() >= before.items()
    assert not any(f.problem for f in verify_cache(root) if "no timeline" not in str(f.problem))
    assert not [path for path in root.rglob("*") if path.name.endswith(".partial")]


def test_a_full_disk_is_reported_and_loses_nothing_while_packing(small_disk):
    root = make_cache(small_disk / "cache")
    _, before = fill(root)
    with pytest.raises(CacheError, match="No space left on device"):
        list(pack_cache(root))
    assert content(root).items() >= before.items()


def test_a_full_disk_can_be_tidied_up(small_disk):
    root = make_cache(small_disk / "cache")
    fill(root)
    (small_disk / "more").write_bytes(b"")
    with suppress(OSError), (small_disk / "more").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(512))
    assert remove(root, find_garbage(root, keep=())) > 0
    assert FeatureStore.open(root).streams() == []


def test_a_folder_without_write_permission_is_reported_and_can_be_read(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    root = build(folder / "cache")
    before = content(root)
    bind = ["mount", "--bind", str(folder), str(folder)]
    remount = ["mount", "-o", "remount,ro,bind", str(folder)]
    if subprocess.run(bind, check=False, capture_output=True).returncode:
        pytest.skip("a read-only mount needs privileges")
    try:
        subprocess.run(remount, check=True)
        assert content(root) == before
        assert not any(finding.problem for finding in verify_cache(root))
        with pytest.raises(CacheError, match="Read-only file system"):
            add_video(root, "new", {"onet": np.zeros((3, 8))})
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    "identifier", ["a/b", "../../x", "..", "día/ñ 😀", "x" * 255, ".hidden", "@pack-000001", "a\nb"]
)
def test_no_video_id_leaves_the_folder(tmp_path, identifier):
    root = make_cache(tmp_path / "cache")
    add_video(root, identifier, {"onet": np.ones((4, 2))}, labels=np.zeros((4, 2)))
    list(pack_cache(root))
    assert FeatureStore.open(root).videos() == [identifier]
    assert FeatureStore.open(root).read(identifier, "onet").shape == (4, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache"]


def test_a_link_that_leads_out_is_read_but_never_written_through(tmp_path):
    root = build(tmp_path / "cache")
    (victim,) = (root / "features").glob("onet-*/video0-*")
    outside = tmp_path / "outside.h5"
    victim.rename(outside)
    victim.symlink_to(outside)
    kept = outside.read_bytes()
    assert FeatureStore.open(root).has("video0", "onet")
    add_video(root, "video0", {"onet": np.zeros((30, 8))})
    assert outside.read_bytes() == kept
    assert not victim.is_symlink()
