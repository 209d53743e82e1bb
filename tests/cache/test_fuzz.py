"""Headers, indexes and partial files of any content: only errors that the page of errors names."""

import random

import numpy as np
import pytest
from caches import SHARDS, add_video, make_cache
from sealing import ODD, encode, read_header_json, read_index_json, reseal_index, reseal_shard

from vapipe.cache import CacheError, FeatureStore
from vapipe.cache.catalog import list_folder
from vapipe.cache.durable import dead_partials
from vapipe.cache.header import PREAMBLE_BYTES
from vapipe.cache.index import INDEX, open_catalog, write_index
from vapipe.cache.reading import ShardReader


@pytest.fixture
def root(tmp_path):
    root = make_cache(tmp_path / "cache")
    for video in ("a", "b"):
        labels = np.zeros((5, 2))
        add_video(root, video, {"onet": np.ones((5, 3))}, labels=labels, partition="train")
    write_index(root)
    return root


def mutate_json(value, rng):
    """Some places of a JSON value made odd, exchanged, doubled or removed."""
    for _ in range(rng.randint(1, 3)):
        at, key = None, None
        inner = value
        while isinstance(inner, dict | list) and inner and (at is None or rng.random() < 0.75):
            at = inner
            key = rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            inner = at[key]
        if at is None:
            return rng.choice(ODD)
        kind = rng.randrange(5)
        if kind == 0:
            del at[key]
        elif kind == 1 and isinstance(inner, int | float):
            at[key] = rng.choice([inner + 1, inner - 1, -inner, inner * 2 ** rng.randrange(64)])
        elif kind == 2 and isinstance(inner, str):
            place = rng.randrange(len(inner) + 1)
            odd = chr(rng.choice([0, 47, 92, 255, 0xD800, 0x1F600]))
            at[key] = inner[:place] + odd + inner[place:]
        elif kind == 3 and isinstance(at, list):
            at.append(at[key])
        else:
            at[key] = rng.choice(ODD)
    return value


def mutate_bytes(data, rng):
    """Bits flipped, stretches cut out, moved, zeroed, or noise."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        start = rng.randrange(len(data))
        stop = min(len(data), start + rng.randint(1, 64))
        kind = rng.randrange(6)
        if kind == 0:
            data[start] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[start:stop]
        elif kind == 2:
            data[start:stop] = bytes(stop - start)
        elif kind == 3:
            data[start:stop] = rng.randbytes(stop - start)
        elif kind == 4:
            data[start:start] = data[max(0, start - 40) : start]
        else:
            del data[start:]
    return bytes(data)


def fuzz_shards(root, count, rng):
    """Of every kind; a header is seldom right by chance, so most are sealed anew."""
    for kind, path_of in SHARDS.items():
        victim = path_of(root, "a")
        sound = victim.read_bytes()
        for _ in range(count // 3):
            victim.write_bytes(sound)
            way = rng.randrange(3)
            if way == 0:
                reseal_shard(victim, mutate_json(read_header_json(victim), rng))
            elif way == 1:
                body = sound[PREAMBLE_BYTES:][: int(sound[28:37])]
                reseal_shard(victim, mutate_bytes(body, rng))
            else:
                victim.write_bytes(mutate_bytes(sound, rng))
            try:
                reader = ShardReader(victim)
                for name, info in reader.header.arrays.items():
                    reader.rows(name, 0, info.shape[0]).sum()
                    reader.digest(name)
            except CacheError:
                pass
            if rng.random() < 0.05:  # the folder as a whole: the other shard is there
                parent = victim.parent
                assert "b" in list_folder(root, parent, kind).ids
        victim.write_bytes(sound)


def fuzz_index(root, count, rng):
    sound = (root / INDEX).read_bytes()
    folders = read_index_json(root)
    for _ in range(count):
        if rng.random() < 0.7:
            (root / INDEX).write_bytes(sound)
            reseal_index(root, mutate_json(read_index_json(root), rng))
        else:
            (root / INDEX).write_bytes(mutate_bytes(sound, rng))
        catalog = open_catalog(root)
        assert len(catalog.folders) == len(folders)
        if rng.random() < 0.02:
            store = FeatureStore(root, catalog)
            for video in ("a", "b"):
                try:
                    assert (store.read(video, "onet") == 1).all()
                except CacheError:
                    continue
    (root / INDEX).write_bytes(sound)


def fuzz_partials(root, count, rng):
    """What killed writers leave is never looked into, whatever it is called and holds."""
    for number in range(count):
        name = "".join(rng.choice("ab.-%@ \\\n") for _ in range(rng.randint(0, 20)))
        path = rng.choice([root, root / "timeline", root / "labels"]) / f".{number}{name}.partial"
        path.write_bytes(rng.randbytes(rng.randrange(100)))
        assert path in list(dead_partials(path.parent))
        if number % 20 == 0:
            assert FeatureStore.open(root).damaged() == {}
        path.unlink()


def fuzz(root, count, seed):
    rng = random.Random(seed)
    fuzz_shards(root, count * 6 // 10, rng)
    fuzz_index(root, count * 3 // 10, rng)
    fuzz_partials(root, count // 10, rng)
    store = FeatureStore.open(root)
    assert (store.read("a", "onet") == 1).all()


def test_a_sample_of_odd_inputs(root):
    fuzz(root, 1000, seed=1)


@pytest.mark.slow
def test_a_hundred_thousand_odd_inputs(root):
    fuzz(root, 100_000, seed=2)


def test_the_mutator_makes_what_passes_and_what_does_not(root):
    """So that the fuzzing above is not in vain: some inputs get beyond these checks."""
    rng, passed = random.Random(3), 0
    victim = SHARDS["features"](root, "a")
    sound = victim.read_bytes()
    for _ in range(600):
        victim.write_bytes(sound)
        reseal_shard(victim, encode(mutate_json(read_header_json(victim), rng)))
        try:
            ShardReader(victim)
            passed += 1
        except CacheError:
            continue
    assert 10 < passed < 200
