"""Streams go out and come back in as they are, and nothing is overwritten or invented."""

import h5py
import numpy as np
import pytest
from caches import add_video, make_cache, two_videos
from safetensors.numpy import load_file

from vapipe.cache import CacheError, ConfigError, FeatureStore, Valid
from vapipe.cache.import_export import export_stream, import_stream

ROWS = 12


@pytest.fixture
def root(tmp_path):
    return two_videos(tmp_path / "cache", ROWS)


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


@pytest.mark.parametrize(
    ("form", "items", "name"),
    [
        ("npy", ("x", "x.valid"), "x.valid.npy"),
        ("npy", ("x", "X"), "x.npy"),
        ("npy", ("d\u00eda", "di\u0301a"), "d\u00eda.npy"),
        ("npy", ("x", "x.npy/y"), "x.npy"),
        ("hdf5", ("x", "x/features"), "x/features"),
        ("hdf5", ("x/y", "x//y"), "x/y/features"),
        ("hdf5", ("x", "/x"), "x/features"),
    ],
)
def test_items_that_would_overwrite_one_another_are_not_exported(tmp_path, form, items, name):
    root = make_cache(tmp_path / "cache")
    for number, item in enumerate(items):
        add_video(root, item, {"onet": np.full((3, 1), number)})
    store, target = FeatureStore.open(root), tmp_path / "out"
    with pytest.raises(ConfigError, match=rf"items `.*` and `.*` would both be `{name}` in"):
        export_stream(store, "onet", target, form=form)
    assert not target.exists()
    export_stream(store, "onet", target, form="safetensors")
    tensors = load_file(target)
    assert [tensors[f"{item}/features"][0, 0] for item in items] == [0, 1]


def test_an_item_named_like_codes_goes_out_and_in_again(tmp_path):
    root = make_cache(tmp_path / "cache")
    add_video(root, "x.valid", {"onet": np.full((3, 1), 7)})
    export_stream(FeatureStore.open(root), "onet", tmp_path / "out", form="npy")
    found = import_stream(FeatureStore.open(root), "mine", tmp_path / "out", modality="visual")
    assert found == ["x.valid"]
    assert FeatureStore.open(root).read("x.valid", "mine")[0, 0] == 7


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
        ({"nobody": np.ones((ROWS, 2))}, "1 file of no video .*nobody"),
        ({"a": np.ones((ROWS, 2)), "a.valid": np.ones(3)}, r"shape \[3\] beside 12 rows"),
        ({"a": np.array([{}])}, "cannot read"),
        ({"a": np.ones((ROWS, 2)), "a.valid": np.array([{}] * ROWS)}, "cannot read .*a.valid"),
        ({"a": np.ones((ROWS, 2)), "a.valid": np.ones(ROWS)}, "float64; validity codes are uint8"),
        ({"a": np.ones((ROWS, 2), complex)}, r"expected numbers \[T, D\]"),
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
