"""Annotations and partitions in the cache follow the folder they came from; videos do not."""

import os
import shutil

import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from terminal import vapipe_

from vapipe.cache import FeatureStore
from vapipe.cache.index import open_catalog
from vapipe.cache.pack import remove_videos
from vapipe.extract.annotate import find_disappeared
from vapipe.extract.dataset import find_dataset

ROWS = 12


def run(videos, cache, *words, code=0, command="extract"):
    result = vapipe_(command, "--videos", videos, "--cache", cache, "--streams", "logmel", *words)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def labelled(tmp_path):
    """A folder of videos, annotated and extracted."""
    folder = tmp_path / "videos"
    (folder / "labels").mkdir(parents=True)
    for number in range(3):
        write_clip(folder / f"clip{number}.mp4", times=constant_times(PAL, ROWS), sound=Sound())
        text = "valence,arousal\n" + "0.1,-0.2\n" * ROWS
        (folder / "labels" / f"clip{number}.csv").write_text(text)
    (folder / "split.csv").write_text("video,partition\nclip0,train\nclip1,validation\n")
    run(folder, tmp_path / "cache")
    return folder, tmp_path / "cache"


def disappeared(folder, cache, **options):
    return find_disappeared(find_dataset(folder, **options), open_catalog(cache))


def test_labels_and_partitions_follow_the_folder_when_they_go(labelled):
    folder, cache = labelled
    (folder / "labels/clip0.csv").unlink()
    (folder / "split.csv").write_text("video,partition\nclip0,train\n")  # clip1 has no line more
    assert disappeared(folder, cache).labels == ("clip0", "clip1")
    said = run(folder, cache).stdout
    assert "3 complete before" in said
    assert "clip0: its annotation is gone, and so are its labels in the cache" in said
    store = FeatureStore.open(cache)
    assert np.isnan(store.labels("clip0")).all()
    assert (store.partition("clip0"), store.partition("clip1")) == ("train", None)
    assert np.isfinite(store.labels("clip1")).all()
    shutil.rmtree(folder / "labels")
    (folder / "split.csv").unlink()
    run(folder, cache)
    store = FeatureStore.open(cache)
    assert all(np.isnan(store.labels(video)).all() for video in store.videos())
    assert [store.partition(video) for video in store.videos()] == [None] * 3
    assert disappeared(folder, cache).lines() == []


def test_labels_from_elsewhere_stay_where_nobody_looks_there(labelled, tmp_path):
    """`--labels` once is enough; a later run that does not name it takes nothing away."""
    folder, cache = labelled
    other = tmp_path / "other"
    shutil.move(folder / "labels", other)
    shutil.move(folder / "split.csv", tmp_path / "own.csv")
    given = ("--labels", other, "--split", tmp_path / "own.csv")
    run(folder, cache, *given)
    assert disappeared(folder, cache).kept == {f"clip{n}": str(other) for n in range(3)}
    assert (
        f"clip0, clip1, clip2: labels or partition kept that came from {other}; --labels"
        in (disappeared(folder, cache).lines()[0])
    )
    run(folder, cache)
    run(folder / "clip0.mp4", cache)
    store = FeatureStore.open(cache)
    assert all(np.isfinite(store.labels(video)).all() for video in store.videos())
    assert store.partition("clip1") == "validation"
    (other / "clip1.csv").unlink()
    run(folder, cache, *given)
    assert np.isnan(FeatureStore.open(cache).labels("clip1")).all()


def test_deleted_videos_stay_until_they_are_removed_by_name(labelled):
    folder, cache = labelled
    (folder / "clip2.mp4").unlink()
    (folder / "labels/clip2.csv").unlink()
    run(folder, cache)
    assert FeatureStore.open(cache).videos() == ["clip0", "clip1", "clip2"]
    (line,) = disappeared(folder, cache).lines()
    assert "clip2: in the cache, but without a file; they stay until `vapipe cache remove`" in line
    assert line in run(folder, cache, command="plan").stdout
    remove_videos(cache, ["clip2"])
    assert disappeared(folder, cache).lines() == []


@pytest.mark.parametrize("odd", ["pipe", "link"])
def test_an_annotation_that_cannot_be_read_is_a_problem_of_its_video(labelled, odd):
    folder, cache = labelled
    path = folder / "labels/clip0.csv"
    path.unlink()
    os.mkfifo(path) if odd == "pipe" else path.symlink_to("nothing")
    result = run(folder, cache, code=3)
    assert f"clip0: {path}: " in result.stderr
