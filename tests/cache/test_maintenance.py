"""Status, verify, collect, export and import tell the truth and lose nothing."""

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
from caches import KEYS, add_features, add_video, source_of, two_videos
from damage import flip

from vapipe.cache import CacheError, FeatureStore
from vapipe.cache.gc import find_garbage, remove
from vapipe.cache.header import read_header
from vapipe.cache.import_export import import_stream
from vapipe.cache.layout import CURRENT, read_current, write_current, write_timeline
from vapipe.cache.locks import writing
from vapipe.cache.pack import pack_cache
from vapipe.cache.status import cache_status
from vapipe.cache.verify import verify_cache
from vapipe.errors import CacheBusyError

ROWS = 12


@pytest.fixture
def root(tmp_path):
    return two_videos(tmp_path / "cache", ROWS)


def shard(root, pattern):
    (path,) = root.glob(pattern)
    return path


# -- status ----------------------------------------------------------------------------------------


def test_status_counts_what_is_there_missing_and_stale(root):
    shard(root, "features/onet-*/b-*").unlink()
    timeline = FeatureStore.open(root).timeline("a")
    write_timeline(root, "a", timeline, subjects=["a"], source=source_of("a", version=1))
    status = cache_status(root)
    assert (status.videos, status.items, status.frames) == (2, 2, 2 * ROWS)
    assert status.seconds == pytest.approx(2 * ROWS / 25)
    assert status.partitions == {"train": 2}
    counts = {s.stream: (s.present, s.missing, s.stale, s.shards) for s in status.streams}
    assert counts == {"logmel": (1, 0, 1, 2), "onet": (0, 1, 1, 1)}
    assert [s.dtype for s in status.streams] == ["float16", "float16"]
    assert status.nbytes == sum(p.stat().st_size for p in root.rglob("*") if p.is_file())
    json.dumps(asdict(status))


def test_status_lists_damaged_and_quarantined_shards(root):
    victim = shard(root, "features/onet-*/b-*")
    flip(victim, 200)
    assert list(cache_status(root).damaged) == [victim.relative_to(root).as_posix()]
    list(verify_cache(root, repair=True))
    status = cache_status(root)
    assert not status.damaged
    assert status.quarantine == [f"quarantine/{victim.relative_to(root).as_posix()}"]


# -- verify ----------------------------------------------------------------------------------------


def problems(root):
    return {
        finding.path.name.rpartition("-")[0]: finding.problem
        for finding in verify_cache(root)
        if finding.problem
    }


def test_a_sound_cache_has_no_findings(root):
    assert problems(root) == {}


def test_a_changed_value_is_named(root):
    flip(shard(root, "features/onet-*/b-*"))
    assert list(problems(root)) == ["b"]


def test_rows_that_fit_no_timeline_are_named_with_both_numbers(root):
    add_features(root, "a", "onet", np.zeros((ROWS + 1, 3)))
    assert problems(root) == {"a": f"{ROWS + 1} rows of `a` for a timeline of {ROWS} frames"}
    add_features(root, "stranger", "onet", np.zeros((4, 3)))
    assert problems(root)["stranger"] == "no timeline for `stranger`"


def test_a_shard_in_the_wrong_folder_is_named(root):
    source = shard(root, "features/onet-*/b-*")
    (shard(root, "features/logmel-*/b-*")).write_bytes(source.read_bytes())
    assert "does not belong into this folder" in problems(root)["b"]


def test_repair_moves_exactly_the_damaged_shards_aside_and_keeps_them(root):
    victim = shard(root, "features/onet-*/b-*")
    flip(victim)
    damaged = victim.read_bytes()
    others = {p: p.read_bytes() for p in root.rglob("*.h5") if p != victim}
    for _ in range(2):
        (finding,) = [f for f in verify_cache(root, repair=True) if f.problem]
        assert finding.moved_to.read_bytes() == damaged
        assert not victim.exists()
        assert {p: p.read_bytes() for p in others} == others
        victim.write_bytes(damaged)
    assert len(list(root.glob("quarantine/**/*.h5"))) == 2


def test_rows_without_a_timeline_are_named_but_never_moved(root):
    """A lost or damaged timeline is made again from the video; the features are as good as ever."""
    features = {p: p.read_bytes() for p in root.glob("features/*/*.h5")}
    flip(shard(root, "timeline/a-*"), 200)
    flip(shard(root, "timeline/b-*"))
    found = [finding for finding in verify_cache(root, repair=True) if finding.moved_to]
    assert sorted(finding.path.parent.name for finding in found) == ["timeline"] * 2
    assert "no timeline for `a`" in problems(root)["a"]
    assert {p: p.read_bytes() for p in root.glob("features/*/*.h5")} == features
    assert find_garbage(root, keep=()) == []


def fill_packs(root):
    rng = np.random.default_rng(4)
    for number in range(8):
        values = {"onet": rng.normal(size=(ROWS, 3)), "logmel": rng.normal(size=(ROWS, 2))}
        labels = rng.uniform(-1, 1, (ROWS, 2))
        add_video(root, f"v{number}", values, labels=labels, partition="train")
    list(pack_cache(root))


def served(root):
    """Every item in every stream, and its labels and times, as far as they can be read."""
    store = FeatureStore.open(root)
    reads = {
        **{stream: partial(store.read, stream=stream) for stream in store.streams()},
        "labels": store.labels,
        "times": lambda video: store.timeline(video).pts,
    }
    found = {}
    for video in store.videos():
        for name, read in reads.items():
            with suppress(CacheError):
                values = read(video)
                if not np.isnan(values).all():
                    found[video, name] = values.tobytes()
    return found


@pytest.mark.parametrize("kind", ["features/onet-*", "timeline", "labels"])
@pytest.mark.parametrize("where", [0.25, 0.8, -1, "metadata"])
def test_one_flipped_bit_in_a_pack_costs_one_item_at_most(root, kind, where):
    """The pack goes to quarantine; what is undamaged in it is served as before."""
    fill_packs(root)
    before = served(root)
    pack = shard(root, f"{kind}/@pack-*")
    header = read_header(pack)
    info = next(iter(header.arrays.values()))
    if where == "metadata":
        place = pack.stat().st_size - header.hdf5_bytes + 60
    else:
        place = info.offset + (info.nbytes - 1 if where == -1 else int(where * info.nbytes))
    flip(pack, place)
    damaged = pack.read_bytes()
    (finding,) = [f for f in verify_cache(root, repair=True) if f.moved_to]
    assert finding.moved_to.read_bytes() == damaged
    after = served(root)
    lost = {item for item, _ in before.keys() - after.keys()}
    assert len(lost) == (where != "metadata")
    assert all(before[each] == values for each, values in after.items())
    assert not [f for f in verify_cache(root) if f.problem and "no timeline" not in f.problem]


def test_packed_again_and_again_items_still_know_their_digests(root):
    fill_packs(root)
    for size in (1, 500, 1 << 30):
        list(pack_cache(root, max_bytes=size))
    before = served(root)
    pack = shard(root, "features/onet-*/@pack-*")
    flip(pack, read_header(pack).arrays["features"].offset)
    list(verify_cache(root, repair=True))
    after = served(root)
    assert len(before) - len(after) == 1
    assert after.items() <= before.items()


def test_verify_reads_as_much_for_each_shard_however_many_there_are(root, monkeypatch):
    """The list of subjects is made once, not once per shard."""
    from vapipe.cache.catalog import Catalog

    made = []
    subjects = Catalog.subjects
    monkeypatch.setattr(Catalog, "subjects", lambda self: made.append(1) or subjects(self))
    assert len(list(verify_cache(root))) == 8
    assert made == [1]


# -- gc --------------------------------------------------------------------------------------------


def test_what_was_imported_and_what_is_quarantined_stays(root, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((ROWS, 7)))
    import_stream(FeatureStore.open(root), "mine", tmp_path, modality="visual")
    timeline = FeatureStore.open(root).timeline("a")
    flip(shard(root, "features/onet-*/b-*"))
    list(verify_cache(root, repair=True))
    assert find_garbage(root, keep=()) == []
    (set_aside,) = find_garbage(root, keep=(), quarantine=True)
    assert set_aside.path.name == "quarantine"
    write_timeline(root, "a", timeline, subjects=["a"], source=source_of("a", version=1))
    remove(root, find_garbage(root, keep=()))
    assert (
        len(list(root.glob("features/mine-*/*.h5"))) == 1
    )  # stale, yet nobody could make it again
    remove(root, [set_aside])
    assert not set_aside.path.exists()


def test_what_came_into_use_since_it_was_listed_is_not_removed(root):
    add_features(root, "a", "onet", np.zeros((ROWS, 3)), key="c3" * 32)
    garbage = find_garbage(root, keep=())
    assert remove(root, garbage, keep=[("onet", "c3" * 32)]) == 0
    write_current(root, {"onet": "c3" * 32})
    assert remove(root, garbage) == 0
    assert "c3" * 32 in FeatureStore.open(root).keys("onet")


def test_nothing_is_removed_while_somebody_writes_and_the_other_way_round(root):
    add_features(root, "a", "onet", np.zeros((ROWS, 3)), key="c3" * 32)
    garbage = find_garbage(root, keep=())
    refused = pytest.raises(CacheBusyError, match="in use by an extraction or import; run")
    with writing(root), writing(root), refused:
        remove(root, garbage)
    assert remove(root, garbage) > 0


def test_runs_that_start_together_keep_one_anothers_entries(root):
    code = (
        "import sys, pathlib; from vapipe.cache.layout import write_current\n"
        "sys.stdin.readline()\n"
        "for n in range(10): write_current(pathlib.Path(sys.argv[1]), {f'{sys.argv[2]}{n}': 'k'})"
    )
    runs = [
        subprocess.Popen([sys.executable, "-c", code, str(root), name], stdin=subprocess.PIPE)
        for name in "abcd"
    ]
    for run in runs:
        run.communicate(b"\n")
        assert run.returncode == 0
    assert set(read_current(root)) == {
        "onet", "logmel", *(f"{name}{number}" for name in "abcd" for number in range(10))
    }  # fmt: skip


def test_many_processes_that_create_a_cache_at_once_all_succeed(tmp_path):
    code = (
        "import sys, pathlib; from vapipe.cache.layout import create_cache, write_current\n"
        "sys.stdin.readline()\n"
        "for n in range(20):\n"
        "    root = pathlib.Path(sys.argv[1]) / str(n)\n"
        "    create_cache(root); write_current(root, {'s': 'k'})"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path)]
    tasks = [subprocess.Popen(arguments, stdin=subprocess.PIPE) for _ in range(8)]
    for task in tasks:
        task.stdin.write(b"\n")
        task.stdin.flush()
    for task in tasks:
        task.communicate()
        assert task.returncode == 0


def test_only_what_is_in_no_use_is_garbage(root):
    assert find_garbage(root, keep=()) == []
    add_features(root, "a", "onet", np.zeros((ROWS, 3)), key="c3" * 32)
    (old,) = find_garbage(root, keep=())
    assert old.reason == "onet@c3c3c3c3 is in no run and was not extracted last"
    assert find_garbage(root, keep=[("onet", "c3" * 32)]) == []
    freed = remove(root, [old])
    assert freed == old.nbytes > 0
    assert FeatureStore.open(root).keys("onet") == [KEYS["visual"]]


def test_stale_shards_are_garbage_and_fresh_ones_are_not(root):
    timeline = FeatureStore.open(root).timeline("a")
    write_timeline(root, "a", timeline, subjects=["a"], source=source_of("a", version=1))
    garbage = find_garbage(root, keep=())
    assert sorted(entry.path.name.rpartition("-")[0] for entry in garbage) == ["a", "a"]
    remove(root, garbage)
    assert FeatureStore.open(root).has("b", "onet")


def test_a_damaged_note_of_the_current_keys_is_reported(root):
    (root / CURRENT).write_text("{")
    with pytest.raises(CacheError, match=r"cannot read .*current.json.*delete it"):
        read_current(root)
