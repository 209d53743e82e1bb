"""However videos are extracted, by which processes and on which of them, the same bytes result."""

from __future__ import annotations

from pathlib import Path

import pytest
from children import Child

from cluster import check_same, dask_cluster, run, write_videos

pytest.importorskip("distributed")


def extract(videos: Path, cache: Path, *words: object) -> tuple[object, ...]:
    return ("extract", "--videos", videos, "--cache", cache, *words)


def answer(child):
    result = child.result()
    return result["code"], result["said"]


def serial(videos, cache, words, folder):
    return [answer(Child(extract(videos, cache, "--jobs", 1, *words), folder))]


def processes(videos, cache, words, folder):
    return [run(*extract(videos, cache, "--jobs", 4, *words))]


def dask(videos, cache, words, folder):
    with dask_cluster(folder, workers=3) as cluster:
        engine = ("--scheduler", cluster.address)
        return [run(*extract(videos, cache, *engine, *words))]


def parts(videos, cache, words, folder):
    """Three programs at the same time, as three nodes would run them."""
    started = [
        Child(extract(videos, cache, "--partition", f"{n}/3", "--jobs", 1, *words), folder)
        for n in (1, 2, 3)
    ]
    return [answer(child) for child in started]


WAYS = [processes, dask, parts]
slow = pytest.mark.slow  # test_run.py and test_dask.py have these, within one program


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_videos(tmp_path_factory.mktemp("clips"), (30, 12, 25, 18, 21))


@pytest.fixture(scope="module")
def reference(clips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    ((code, text),) = serial(clips, folder / "cache", ("--faces", "frame"), folder)
    assert code == 0, text
    return folder / "cache"


@pytest.mark.parametrize(
    "way", [parts, pytest.param(processes, marks=slow), pytest.param(dask, marks=slow)]
)
def test_every_way_writes_the_same_shards(way, clips, reference, tmp_path):
    for code, text in way(clips, tmp_path / "cache", ("--faces", "frame"), tmp_path):
        assert code == 0, text
    check_same(tmp_path / "cache", reference)
    code, text = answer(Child(["cache", "verify", "--cache", tmp_path / "cache"], tmp_path))
    assert code == 0, text


@slow
def test_every_way_writes_the_same_shards_of_real_clips(real_clips, tmp_path):
    """Faces are searched: detection and following must not depend on the process either."""
    clips = tmp_path / "clips"  # without those below that cannot be extracted
    clips.mkdir()
    for clip in filter(Path.is_file, real_clips.iterdir()):
        (clips / clip.name).symlink_to(clip)
    ((code, text),) = serial(clips, tmp_path / "reference", (), tmp_path)
    assert code == 0, text
    for way in WAYS:
        folder = tmp_path / way.__name__
        folder.mkdir()
        for code, text in way(clips, folder / "cache", (), folder):
            assert code == 0, text
        check_same(folder / "cache", tmp_path / "reference")
        code, text = run("cache", "verify", "--cache", folder / "cache")
        assert code == 0, text
