"""Whatever a well-sealed header or index says, only that shard is lost, with a reason."""

import random
import shutil
from contextlib import suppress

import numpy as np
import pytest
from caches import SHARDS, add_features, add_video, make_cache, source_of
from sealing import (
    DEEP,
    encode,
    read_header_json,
    read_index_json,
    reseal_index,
    reseal_shard,
    variants,
)

from vapipe.cache import CacheError, FeatureStore
from vapipe.cache.index import write_index
from vapipe.cache.layout import write_timeline
from vapipe.cache.pack import pack_cache
from vapipe.cache.report import scan
from vapipe.cache.status import cache_status
from vapipe.cache.verify import verify_cache
from vapipe.errors import DamagedShardError

ROWS = 5
MEDIA = {
    "bytes": 9,
    "video": {"index": 0, "codec": "h264", "width": 4, "height": 4, "nominal_fps": 25.0},
    "audio": {"codec": "aac", "rate": 16000, "channels": 1},
    "damage": ["torn"],
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    root = make_cache(tmp_path_factory.mktemp("judge") / "cache")
    for video in ("a", "b"):
        labels = np.zeros((ROWS, 2))
        add_video(root, video, {"onet": np.ones((ROWS, 3))}, labels=labels, partition="train")
        if video == "a":
            faces = {"box": np.ones((ROWS, 4)), "track": np.ones(ROWS)}
            add_features(root, video, "onet", np.ones((ROWS, 3)), faces=faces)
        timeline = FeatureStore.open(root).timeline(video)
        facts = {"subjects": [video], "source": source_of(video), "media": MEDIA}
        write_timeline(root, video, timeline, **facts)
    write_index(root)
    return root


def use_everything(root):
    """All that reads a cache; the reasons why shards are damaged."""
    store = FeatureStore.open(root)
    for video in store.videos():
        for stream in store.streams():
            for read in (store.read, store.status, store.boxes, store.tracks):
                with suppress(CacheError):
                    assert read(video, stream).shape[0] == ROWS
        for read in (store.labels, store.timeline, store.partition):
            with suppress(CacheError):
                read(video)
    cache_status(root)
    scan(root)
    for _ in verify_cache(root):
        pass
    write_index(root)
    return store.damaged()


@pytest.mark.parametrize("kind", SHARDS)
def test_a_header_that_is_odd_anywhere_costs_its_shard_alone(sound, tmp_path, kind):
    path = SHARDS[kind](sound, "a")
    header, rng = read_header_json(path), random.Random(kind)
    changes = list(variants(header))
    for number, (what, changed) in enumerate(rng.sample(changes, 60)):
        root = tmp_path / str(number)
        shutil.copytree(sound, root)
        victim = SHARDS[kind](root, "a")
        reseal_shard(victim, changed)
        (root / "index.json").unlink()
        damaged = use_everything(root)
        assert set(damaged) <= {victim}, what
        store = FeatureStore.open(root)
        assert store.read("b", "onet").sum() == ROWS * 3, what
        assert np.isfinite(store.labels("b")).all(), what
        shutil.rmtree(root)


def test_an_index_that_is_odd_anywhere_changes_nothing(sound, tmp_path):
    """At worst it is not believed; rows are looked up in the shard itself."""
    changes = list(variants(read_index_json(sound)))
    for number, (what, changed) in enumerate(random.Random(1).sample(changes, 100)):
        root = tmp_path / str(number)
        shutil.copytree(sound, root)
        reseal_index(root, changed)
        assert use_everything(root) == {}, what
        (root / "index.json").unlink()
        assert use_everything(root) == {}, what
        shutil.rmtree(root)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda header: header["arrays"]["features"].update(offset=-64), "begins at -64"),
        (lambda header: header["arrays"]["features"].update(offset=8), "begins at 8"),
        (lambda header: header["arrays"]["features"].update(offset=2**40), "beyond the end"),
        (lambda header: header["arrays"]["features"].update(dtype="|O"), r"for \d+ rows"),
        (lambda header: header["arrays"]["features"].update(dtype="<i4"), r"for \d+ rows"),
        (lambda header: header["arrays"]["features"].update(shape=[5]), r"for \d+ rows"),
        (lambda header: header["arrays"]["features"].update(shape=[-5, -3]), r"for \d+ rows"),
        (lambda header: header["arrays"]["valid"].update(dtype="<f8"), r"for \d+ rows"),
        (lambda header: header["arrays"].pop("valid"), "arrays are not those of a features"),
        (lambda header: header["arrays"].update(more={}), "arrays are not those of a features"),
        (lambda header: header.update(unknown=1), "fields are not arrays, hdf5_bytes"),
        (lambda header: header["items"][0].update(rows=0), "has 0 rows"),
        (lambda header: header["items"].append(header["items"][0]), "no new id"),
        (lambda header: header.update(kind=[]), r"kind is \[\]"),
        (lambda header: header.update(key=2 * header["key"]), "key is no SHA-256"),
        (lambda header: header.update(key=header["key"][:16]), "key is no SHA-256"),
        (lambda header: header["provenance"].update(deep=DEEP), "no JSON that vapipe writes"),
        (lambda header: header["provenance"].update(modality="smell"), "modality is unknown"),
        (lambda header: header["items"][0].update(id="\ud800"), "JSON"),
    ],
)
def test_every_judgement_is_a_damaged_shard_with_its_reason(sound, tmp_path, change, reason):
    shutil.copytree(sound, tmp_path / "cache")
    path = SHARDS["features"](tmp_path / "cache", "a")
    header = read_header_json(path)
    change(header)
    reseal_shard(path, header)
    from vapipe.cache.header import read_header

    with pytest.raises(DamagedShardError, match=reason):
        read_header(path)


def test_nesting_that_python_still_reads_is_refused_too(sound, tmp_path):
    shutil.copytree(sound, tmp_path / "cache")
    path = SHARDS["features"](tmp_path / "cache", "a")
    body = encode(read_header_json(path)).replace(
        b'"config":{', b'"config":{"d":' + b"[" * 99 + b"]" * 99 + b","
    )
    reseal_shard(path, body)
    (tmp_path / "cache" / "index.json").unlink()
    assert "nested deeper" in use_everything(tmp_path / "cache")[path]


def test_a_folder_holds_rows_of_one_width(sound, tmp_path):
    root = tmp_path / "cache"
    shutil.copytree(sound, root)
    path = SHARDS["features"](root, "b")
    add = {"onet": np.ones((ROWS, 4))}
    add_video(root, "b", add, labels=np.zeros((ROWS, 2)), partition="train")
    assert "rows of 4 x <f2, the others of this folder 3" in FeatureStore.open(root).damaged()[path]
    assert FeatureStore.open(root).read("a", "onet").shape == (ROWS, 3)


def test_packing_and_opening_still_work_beside_an_odd_shard(sound, tmp_path):
    root = tmp_path / "cache"
    shutil.copytree(sound, root)
    path = SHARDS["features"](root, "a")
    reseal_shard(path, {**read_header_json(path), "unknown": 1})
    list(pack_cache(root))
    assert FeatureStore.open(root).read("b", "onet").shape == (ROWS, 3)
    assert list(FeatureStore.open(root).damaged()) == [path]
