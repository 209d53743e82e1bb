"""Status, verify, collect, export and import tell the truth and lose nothing."""

import json
from dataclasses import asdict

import h5py
import numpy as np
import pytest
from caches import KEYS, add_features, add_video, make_cache, source_of
from safetensors.numpy import load_file

from vapipe.cache import CacheError, ConfigError, FeatureStore, Valid
from vapipe.cache.collect import find_garbage, remove
from vapipe.cache.layout import CURRENT, read_current, write_current, write_timeline
from vapipe.cache.status import cache_status
from vapipe.cache.transfer import export_stream, import_stream
from vapipe.cache.verify import verify_cache

ROWS = 12


@pytest.fixture
def root(tmp_path):
    root = make_cache(tmp_path / "cache")
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        features = {"onet": rng.normal(size=(ROWS, 3)), "logmel": rng.normal(size=(ROWS, 2))}
        add_video(root, name, features, labels=np.zeros((ROWS, 2)), partition="train")
    write_current(root, {"onet": KEYS["visual"], "logmel": KEYS["audio"]})
    return root


def shard(root, pattern):
    (path,) = root.glob(pattern)
    return path


def flip(path, offset=-1):
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)


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


def problems(root, repair=False):
    return {
        finding.path.name.rpartition("-")[0]: finding.problem
        for finding in verify_cache(root, repair=repair)
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


# -- collect ---------------------------------------------------------------------------------------


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


# -- export and import -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["npy", "hdf5", "safetensors"])
def test_exported_values_are_the_stored_ones(root, tmp_path, form):
    store = FeatureStore.open(root)
    target = tmp_path / "out"
    export_stream(store, "onet", target, form=form)
    if form == "npy":
        values, codes = np.load(target / "b.npy"), np.load(target / "b.valid.npy")
    elif form == "hdf5":
        with h5py.File(target) as file:
            values, codes = file["b/features"][:], file["b/valid"][:]
    else:
        tensors = load_file(target)
        values, codes = tensors["b/features"], tensors["b/valid"]
    assert np.array_equal(values, store.read("b", "onet"))
    assert np.array_equal(codes, store.status("b", "onet"))


def test_export_refuses_to_overwrite_and_unknown_forms(root, tmp_path):
    store = FeatureStore.open(root)
    with pytest.raises(ConfigError, match="exists; name a new"):
        export_stream(store, "onet", tmp_path, form="hdf5")
    with pytest.raises(ConfigError, match="`csv` is none of npy, hdf5, safetensors"):
        export_stream(store, "onet", tmp_path / "x", form="csv")


def test_no_item_is_exported_outside_the_folder(tmp_path):
    root = make_cache(tmp_path / "cache")
    add_video(root, "../evil", {"onet": np.zeros((3, 1))})
    store = FeatureStore.open(root)
    with pytest.raises(ConfigError, match="would be written outside"):
        export_stream(store, "onet", tmp_path / "out" / "deep", form="npy")
    export_stream(store, "onet", tmp_path / "one.h5", form="hdf5")
    with h5py.File(tmp_path / "one.h5") as file:
        assert file["../evil/features"].shape == (3, 1)


def test_exporting_nothing_is_an_error(root, tmp_path):
    for path in root.glob("timeline/*"):
        path.unlink()
    with pytest.raises(ConfigError, match="nothing to export"):
        export_stream(FeatureStore.open(root), "onet", tmp_path / "x", form="npy")


def test_import_gives_back_what_was_exported(root, tmp_path):
    store = FeatureStore.open(root)
    export_stream(store, "onet", tmp_path / "out", form="npy")
    assert import_stream(store, "mine", tmp_path / "out", modality="visual") == ["a", "b"]
    again = FeatureStore.open(root)
    assert np.array_equal(again.read("a", "mine"), store.read("a", "onet"))
    assert np.array_equal(again.status("a", "mine"), store.status("a", "onet"))


def test_rows_without_codes_are_taken_as_usable(root, tmp_path):
    np.save(tmp_path / "a.npy", np.ones((ROWS, 7)))
    import_stream(FeatureStore.open(root), "mine", tmp_path, modality="audio", dtype="float32")
    store = FeatureStore.open(root)
    assert store.dtype("mine") == np.float32
    assert set(store.valid("a", "mine")) == {Valid.IMPORTED}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "no <video>.npy file"),
        ({"a": np.ones((ROWS + 1, 2))}, f"{ROWS + 1} rows for a timeline of {ROWS} frames"),
        ({"a": np.ones(ROWS)}, r"expected numbers \[T, D\]"),
        ({"a": np.ones((ROWS, 2)), "b": np.ones((ROWS, 3))}, r"different widths D: \[2, 3\]"),
        ({"nobody": np.ones((ROWS, 2))}, "belong to no video .*nobody"),
        ({"a": np.ones((ROWS, 2)), "a.valid": np.ones(3)}, r"shape \[3\] beside 12 rows"),
        ({"a": np.array([{}])}, "cannot read"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_imported(root, tmp_path, arrays, message):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    with pytest.raises((CacheError, ConfigError), match=message):
        import_stream(FeatureStore.open(root), "mine", folder, modality="visual")
    assert "mine" not in FeatureStore.open(root).streams()
