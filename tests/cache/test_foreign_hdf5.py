"""A shard of others, well sealed, whose HDF5 part would read something else than itself."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from caches import KEYS, add_video, make_cache
from sealing import read_header_json, reseal_shard

from vapipe.cache import CacheError, FeatureStore
from vapipe.cache.durable import digest_file
from vapipe.cache.layout import features_path
from vapipe.cache.pack import pack_cache
from vapipe.cache.report import scan
from vapipe.cache.verify import verify_cache
from vapipe.errors import DamagedShardError

ROWS, DIM = 6, 4
SECRET = np.arange(ROWS * DIM, dtype="<f2").tobytes()


@pytest.fixture
def root(tmp_path):
    root = make_cache(tmp_path / "cache")
    for video in ("a", "b"):
        add_video(root, video, {"onet": np.ones((ROWS, DIM))})
    return root


def forge(root, change, compressed=True):
    """Change the HDF5 part of a shard, then seal the whole again."""
    path = features_path(root, "onet", KEYS["visual"], "a")
    if compressed:
        for file in (root / "features").glob("onet-*/b-*"):
            file.rename(root / "b.h5")
        add_video(root, "a", {"onet": np.ones((ROWS, DIM))})
        add_video(root, "c", {"onet": np.ones((ROWS, DIM))})
        list(pack_cache(root, max_bytes=1, compress=True))
        (root / "b.h5").rename(features_path(root, "onet", KEYS["visual"], "b"))
        packs = (root / "features").glob("onet-*/@pack-*")
        (path,) = [pack for pack in packs if b'"id":"a"' in pack.read_bytes()]
    header = read_header_json(path)
    with h5py.File(path, "r+", locking=False) as file:
        change(file, header)
    data = path.read_bytes()
    block = int(data[18:27])
    header["hdf5_bytes"] = len(data) - block
    header["hdf5_sha256"] = digest_file(path, start=block)
    reseal_shard(path, header)
    return path


def external(file, header):
    secret = f"{file.filename}.secret"
    Path(secret).write_bytes(SECRET)
    del file["features"]
    features = file.create_dataset(
        "features", (ROWS, DIM), "<f2", external=[(secret, 0, len(SECRET))]
    )
    assert features[1, 0] == DIM


def virtual(file, header):
    del file["features"]
    layout = h5py.VirtualLayout((ROWS, DIM), "<f2")
    layout[:] = h5py.VirtualSource("/etc/other.h5", "x", (ROWS, DIM))
    file.create_virtual_dataset("features", layout)


def external_link(file, header):
    del file["features"]
    file["features"] = h5py.ExternalLink("/etc/other.h5", "/x")


def soft_link(file, header):
    file.move("features", "elsewhere")
    file["features"] = h5py.SoftLink("/elsewhere")


def unwritten(file, header):
    """As large as it says, but no chunk is there: HDF5 serves zeros."""
    del file["features"]
    file.create_dataset("features", (ROWS, DIM), "<f2", chunks=(ROWS, DIM), compression="gzip")


def huge(file, header):
    """More rows than any file holds."""
    rows = 10**12
    for name, shape in (("features", (rows, DIM)), ("valid", (rows,))):
        dtype = file[name].dtype
        del file[name]
        chunks = (1000, *shape[1:])
        file.create_dataset(name, shape, dtype, chunks=chunks, compression="gzip")
        header["arrays"][name]["shape"] = list(shape)
    header["items"][0]["rows"] = rows


def other_filter(file, header):
    values = file["features"][:]
    del file["features"]
    file.create_dataset("features", data=values, chunks=values.shape, compression="lzf")


def other_facts(file, header):
    del file["facts"]
    file["facts"] = h5py.ExternalLink("/etc/other.h5", "/x")


def more(file, header):
    file["more"] = h5py.ExternalLink("/etc/other.h5", "/x")


REASONS = {
    external: "lie in other files",
    virtual: "lie in other files",
    external_link: "link to somewhere else",
    soft_link: "adds elsewhere|link to somewhere else",
    unwritten: "another dataset in HDF5",
    huge: "larger than the file can hold",
    other_filter: "another dataset in HDF5",
}


@pytest.mark.parametrize("change", REASONS, ids=lambda change: change.__name__)
def test_reading_and_verifying_refuse_it_and_serve_the_rest(root, change):
    path = forge(root, change)
    found = {f.path: f.problem for f in verify_cache(root) if f.problem}
    assert list(found) == [path]
    store = FeatureStore.open(root)
    if "a" in store._catalog.features["onet", KEYS["visual"]]:
        with pytest.raises(DamagedShardError, match=REASONS[change]):
            store.read("a", "onet")
    else:
        assert "larger than the file can hold" in store.damaged()[path]
    scan(root)
    with pytest.raises(CacheError):
        list(pack_cache(root)) if change is not huge else store.read("a", "onet")
    assert store.read("b", "onet").sum() == ROWS * DIM
    (moved,) = [f.moved_to for f in verify_cache(root, repair=True) if f.problem]
    assert moved.exists()


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("change", [other_facts, more, external, soft_link])
def test_verify_looks_at_everything_that_plain_hdf5_would_read(root, change, compressed):
    """Also in a shard that vapipe maps without HDF5."""
    path = forge(root, change, compressed)
    assert [f.path for f in verify_cache(root) if f.problem] == [path]
