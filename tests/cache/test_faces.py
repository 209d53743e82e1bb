"""Boxes and tracks of faces stay with their rows wherever these go; rows without them have none."""

import shutil

import h5py
import numpy as np
import pytest
from caches import add_features, add_video, make_cache
from damage import flip
from safetensors.numpy import load_file
from sealing import read_header_json, reseal_shard

from vapipe.cache import CacheError, FeatureStore
from vapipe.cache.header import read_header
from vapipe.cache.import_export import export_stream, import_stream
from vapipe.cache.layout import features_path
from vapipe.cache.pack import pack_cache, remove_videos
from vapipe.cache.timeline import on_other_tracks
from vapipe.cache.verify import verify_cache
from vapipe.errors import DamagedShardError

ROWS, KEY = 9, "a1" * 32


def faces(seed):
    """Boxes and tracks of ROWS rows, of which the third shows nobody."""
    rng = np.random.default_rng(seed)
    box = rng.normal(100, 50, (ROWS, 4)).astype(np.float32)
    track = rng.integers(1, 4, ROWS).astype(np.uint16)
    box[2], track[2] = np.nan, 0
    return {"box": box, "track": track}


FACES = {"a": faces(0), "b": faces(1)}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two items with faces, and one without, as of crop files or an earlier vapipe."""
    root = make_cache(tmp_path_factory.mktemp("faces") / "cache")
    for item in ("a", "b", "old"):
        values = np.random.default_rng(2).normal(size=(ROWS, 3))
        add_video(root, item, {"onet": values, "logmel": values[:, :2]})
        if item in FACES:
            add_features(root, item, "onet", values, faces=FACES[item])
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "cache")


def check(root, stream="onet", items=("a", "b", "old")):
    store = FeatureStore.open(root)
    unknown = {"box": np.full((ROWS, 4), np.nan), "track": np.zeros(ROWS)}
    for item in items:
        expected = FACES.get(item, unknown)
        np.testing.assert_array_equal(store.boxes(item, stream), expected["box"])
        np.testing.assert_array_equal(store.tracks(item, stream), expected["track"])
    assert not any(finding.problem for finding in verify_cache(root))


def test_they_are_read_as_written_and_are_not_known_of_sound(root):
    check(root)
    store = FeatureStore.open(root)
    assert np.isnan(store.boxes("a", "logmel")).all()
    assert not store.tracks("a", "logmel").any()
    with pytest.raises(CacheError, match="no stream `eyes`"):
        store.boxes("a", "eyes")


def test_rows_on_other_tracks_are_those_of_a_face_that_is_not_most_often_there():
    for tracks, others in (
        ([0, 2, 2, 1, 0, 2], [0, 0, 0, 1, 0, 0]),
        ([1, 1, 2, 2], [0, 0, 1, 1]),  # of equals, the first
        ([0, 0, 0, 3], [0, 0, 0, 0]),
        ([0, 0], [0, 0]),
        ([], []),
    ):
        found = on_other_tracks(np.array(tracks, np.uint16))
        assert found.tolist() == [bool(each) for each in others]


@pytest.mark.parametrize("compress", [False, True])
def test_packing_and_removing_keep_them(root, compress):
    packs = [p for p in pack_cache(root, compress=compress) if "onet" in str(p.path)]
    assert sorted(pack.items for pack in packs) == [1, 2]  # those without faces apart
    check(root)
    remove_videos(root, ["a"])
    check(root, items=("b", "old"))


@pytest.mark.parametrize("name", ["box", "track"])
def test_a_changed_box_is_damage_and_a_pack_loses_that_item_alone(root, name):
    list(pack_cache(root))
    (path,) = (p for p in (root / "features").rglob("@pack*") if b'"box"' in p.read_bytes())
    info = read_header_json(path)["arrays"][name]
    flip(path, info["offset"] + 3, 4)  # of a, which is first
    (finding,) = (f for f in verify_cache(root, repair=True) if f.problem)
    assert finding.problem == f"values of {name} changed since it was written"
    check(root, items=("b", "old"))


@pytest.mark.parametrize("form", ["npy", "hdf5", "safetensors"])
def test_they_go_out_with_the_features_where_there_are_any(root, tmp_path, form):
    out = tmp_path / "out"
    export_stream(FeatureStore.open(root), "onet", out, form=form)
    if form == "npy":
        names = {p.name.removesuffix(".npy"): np.load(p) for p in out.glob("*.*.npy")}
        found = {name.replace(".", "/"): values for name, values in names.items()}
        assert import_stream(FeatureStore.open(root), "mine", out, modality="visual")
        check(root, "mine")
    elif form == "hdf5":
        with h5py.File(out) as file:
            found = {f"{i}/{name}": file[i][name][:] for i in file for name in file[i]}
    else:
        found = load_file(out)
    named = {name: values for name, values in found.items() if name.split("/")[1] in FACES["a"]}
    expected = {f"{i}/{name}": values for i, own in FACES.items() for name, values in own.items()}
    assert named.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(named[name], values)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"a.box": FACES["a"]["box"]}, r"a\.track\.npy: no such file; boxes and tracks belong"),
        (
            {**{f"a.{n}": v[1:] for n, v in FACES["a"].items()}},
            r"\[8, 4\]; expected float32 \[9, 4\]",
        ),
        ({"a.box": FACES["a"]["box"], "a.track": np.ones(ROWS)}, "float64 .*expected uint16"),
    ],
)
def test_files_of_faces_that_do_not_fit_are_refused(root, tmp_path, arrays, says):
    (tmp_path / "in").mkdir()
    for name, values in {"a": np.ones((ROWS, 2)), **arrays}.items():
        np.save(tmp_path / "in" / f"{name}.npy", values)
    with pytest.raises(CacheError, match=says):
        import_stream(FeatureStore.open(root), "mine", tmp_path / "in", modality="visual")
    assert "mine" not in FeatureStore.open(root).streams()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.pop("track"), "the arrays are not those of a features shard"),
        (lambda a: a["box"].update(dtype="<f8"), r"`box` is '<f8'"),
        (lambda a: a["box"].update(shape=[ROWS, 3]), "a `box` is not four numbers"),
        (lambda a: a["track"].update(shape=[ROWS - 1]), r"`track` is .* for 9 rows"),
        (lambda a: [a.pop(name) for name in ("box", "track")], "not those of version 2"),
    ],
)
def test_headers_that_no_vapipe_writes_are_damage(root, change, says):
    path = features_path(root, "onet", KEY, "a")
    header = read_header_json(path)
    change(header["arrays"])
    reseal_shard(path, header)
    with pytest.raises(DamagedShardError, match=says):
        read_header(path)


def test_shards_without_faces_are_of_version_1_and_those_with_faces_of_version_2(root):
    begins = {i: features_path(root, "onet", KEY, i).read_bytes()[:17] for i in ("a", "old")}
    assert begins == {"a": b"vapipe-shard 0002", "old": b"vapipe-shard 0001"}
