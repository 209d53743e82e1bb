"""What a run says at its end is the whole truth of the annotations in the cache."""

import shutil

import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from terminal import vapipe_

from vapipe.cache import FeatureStore
from vapipe.extract.dataset import find_dataset
from vapipe.extract.labels_import import import_labels

ROWS = 100
NAMES = ("clip0", "clip1", "clip2")


def rows(value, count=ROWS):
    return "valence,arousal\n" + f"{value},-0.2\n" * count


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """Three clips without annotations, and their cache; copied by `made`."""
    folder = tmp_path_factory.mktemp("clips")
    (folder / "videos").mkdir()
    for name in NAMES:
        write_clip(folder / f"videos/{name}.mp4", times=constant_times(PAL, ROWS), sound=Sound())
    words = ("--videos", folder / "videos", "--cache", folder / "cache", "--streams", "logmel")
    assert vapipe_("extract", *words).exit_code == 0
    return folder


@pytest.fixture
def made(extracted, tmp_path):
    """(folder of videos, cache, write(path, text))."""
    shutil.copytree(extracted, tmp_path / "data")
    folder = tmp_path / "data"

    def write(name, text):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return folder, write


def run(folder, *words, code=0, command="extract"):
    where = ("--videos", folder / "videos", "--cache", folder / "cache")
    more = ("--streams", "logmel") if command != "labels" else ()
    name = ("labels", "import") if command == "labels" else (command,)
    result = vapipe_(*name, *words, *where, *more)
    assert result.exit_code == code, result.output
    return result


def values(folder):
    """Item -> the first value of valence, and how many frames are annotated."""
    store = FeatureStore.open(folder / "cache")
    labels = {item: store.labels(item)[:, 0] for item in store.videos()}
    return {i: (round(float(v[0]), 3), int(np.isfinite(v).sum())) for i, v in labels.items()}


NONE = (pytest.approx(np.nan, nan_ok=True), 0)


def test_labels_of_another_rate_are_refused_in_every_run_and_the_old_ones_go(made):
    folder, write = made
    for name in NAMES:
        write(f"videos/labels/{name}.csv", rows(0.1))
    run(folder)
    write("videos/labels/clip1.csv", rows(0.1, 40))
    for _ in range(2):
        result = run(folder, code=3)
        assert "clip1.csv: 40 annotated rows for a video of 100 frames" in result.stderr
        assert "--rate 10" in result.stderr
        assert "annotations: 2 of 3 videos" in result.stdout
        assert values(folder)["clip1"] == NONE
    result = vapipe_("fit", "--head", "concat", "--cache", folder / "cache")
    assert result.exit_code == 1
    run(folder, "--rate", 10, code=3)  # the others have a row per frame
    write("videos/labels/clip0.csv", rows(0.3, 40))
    write("videos/labels/clip2.csv", rows(0.3, 40))
    assert "annotations: 3 of 3 videos" in run(folder, "--rate", 10).stdout
    said = run(folder).stdout  # remembers how they are read
    assert "annotations: 3 of 3 videos" in said
    assert "read with --rate 10" in said


def test_one_folder_of_annotations_is_in_force_at_a_time(made):
    folder, write = made
    for name in NAMES:
        write(f"annotA/Train_Set/{name}.txt", rows(0.1))
    write("annotB/clip0.csv", rows(0.5))
    run(folder, "--labels", folder / "annotA")
    assert values(folder)["clip2"] == (0.1, ROWS)
    said = run(folder, "--labels", folder / "annotB").stdout
    assert values(folder) == {"clip0": (0.5, ROWS), "clip1": NONE, "clip2": NONE}
    assert "annotations: 1 of 3 videos" in said
    assert "labels removed: clip1, clip2" in said
    assert "not annotated: clip1, clip2" in said


def test_two_sources_of_a_video_leave_it_without_labels_and_are_named(made):
    folder, write = made
    write("videos/labels/clip0.csv", rows(0.1))
    run(folder)
    write("videos/labels/more/clip0.csv", rows(0.2))
    result = run(folder, code=3)
    assert "labels/clip0.csv and" in result.stderr
    assert "labels/more/clip0.csv" in result.stderr
    assert values(folder)["clip0"] == NONE
    assert "labels import FOLDER --videos" in result.stdout


def test_a_video_in_two_partitions_is_an_error(made):
    folder, write = made
    write("videos/VA_Set/Train_Set/clip0.txt", rows(0.1))
    write("videos/split.csv", "clip0.mp4,validation\nclip1.mp4,train\n")
    result = run(folder, code=3)
    assert "two partitions, train (" in result.stderr
    assert "split.csv); remove one" in result.stderr
    run(folder, "--split", folder / "videos/split.csv")  # what is named counts
    store = FeatureStore.open(folder / "cache")
    assert [store.partition(item) for item in NAMES] == ["validation", "train", None]


def test_partitions_and_labels_are_told_apart_when_one_of_them_goes(made):
    folder, write = made
    for name in NAMES:
        write(f"mine/{name}.csv", rows(0.1))
    write("parts.csv", "clip0,train\nclip1,validation\n")
    run(folder, "--labels", folder / "mine", "--split", folder / "parts.csv")
    said = run(folder).stdout  # looks at neither
    assert f"kept from {folder / 'mine'}, which this run did not read" in said
    assert values(folder)["clip2"] == (0.1, ROWS)
    write("other/clip0.csv", rows(0.7))
    run(folder, "--labels", folder / "other")
    store = FeatureStore.open(folder / "cache")
    assert [store.partition(item) for item in NAMES] == ["train", "validation", None]
    assert values(folder) == {"clip0": (0.7, ROWS), "clip1": NONE, "clip2": NONE}
    write("parts2.csv", "clip2,train\n")
    run(folder, "--labels", folder / "other", "--split", folder / "parts2.csv")
    store = FeatureStore.open(folder / "cache")
    assert [store.partition(item) for item in NAMES] == [None, None, "train"]


def test_files_that_are_no_annotations_are_named_and_harm_nothing(made):
    folder, write = made
    write("videos/labels/clip0.csv", rows(0.1) + " \n")
    write("videos/labels/clip0.txt", "It was nice.\nWell, quite nice.\n")
    write("videos/labels/README.txt", "How we did it.\n")
    write("videos/labels/._clip0.csv", "\0\0")
    said = run(folder).stdout
    assert values(folder)["clip0"] == (0.1, ROWS)
    assert "annotations: 1 of 3 videos" in said
    assert "not used:" in said
    assert "README.txt" in said
    assert "clip0.txt" in said


def test_plan_reads_the_annotations_before_anything_is_extracted(made):
    folder, write = made
    for name in NAMES:
        write(f"videos/labels/{name}.csv", rows(0.1, 40))
    result = run(folder, command="plan")
    assert "--rate 10" in result.output
    assert "annotations: 0 of 3 videos" in result.output
    shutil.rmtree(folder / "cache")
    assert "--rate 10" in run(folder, command="plan").output
    assert not (folder / "cache").exists()
    assert "annotations: 3 of 3 videos" in run(folder, "--rate", 10, command="plan").output


def test_the_next_step_is_one_that_can_be_done(made):
    folder, write = made
    assert "next: vapipe labels import FOLDER --videos" in run(folder).stdout
    write("videos/labels/clip0.csv", rows(0.1))
    assert "next: vapipe fit --head grjca --split k-fold" in run(folder).stdout
    write("videos/split.csv", "clip0,train\nclip1,val\n")
    assert "next: vapipe fit --head grjca --cache" in run(folder).stdout


def test_where_most_files_are_on_another_scale_none_is_believed(made):
    folder, write = made
    for name, value in zip(NAMES, (5, 7, 1), strict=True):
        write(f"videos/labels/{name}.csv", rows(value))
    result = run(folder, code=3)
    assert "annotations: 0 of 3 videos" in result.stdout
    assert "clip2.csv: 2 of 3 annotations are on another scale" in result.stderr
    run(folder, "--scale", "-9..9")
    assert values(folder)["clip2"] == (round(1 / 9, 3), ROWS)


def test_a_fit_repeats_why_annotations_were_refused(made):
    folder, write = made
    write("videos/labels/clip0.csv", rows(0.1, 40))
    run(folder, code=3)
    result = vapipe_("fit", "--head", "concat", "--cache", folder / "cache")
    assert "1 annotation refused, such as" in result.stderr
    assert "--rate 10" in result.stderr


def test_a_scale_from_0_to_1_is_suspected(made):
    folder, write = made
    write("videos/labels/clip0.csv", "valence,arousal\n" + "0.9,0.1\n" * ROWS)
    assert "no value of valence and arousal is below 0" in run(folder).stdout
    assert "below 0" not in run(folder, "--scale", "0..1").stdout
    assert values(folder)["clip0"] == (0.8, ROWS)


@pytest.mark.parametrize(
    "place",
    [
        "labels",
        "videos/labels",
        "videos/Annotations",
        "videos/a/b/labels",
        "videos/set/VA_Set/Training_Set",
        "VA_Estimation_Challenge/Train_Set",
        "videos",
    ],
)
def test_annotations_are_found_where_they_are_put(made, place):
    folder, write = made
    write(f"{place}/clip0.csv", rows(0.4))
    run(folder)
    assert values(folder) == {"clip0": (0.4, ROWS), "clip1": NONE, "clip2": NONE}
    expected = "train" if "Train" in place else None
    assert FeatureStore.open(folder / "cache").partition("clip0") == expected


@pytest.mark.parametrize("given", ["VA_Set", "VA_Set/Train_Set", ".", "VA_Set/Train_Set/clip0.txt"])
def test_labels_may_point_above_or_below(made, given):
    folder, write = made
    write("sets/VA_Set/Train_Set/clip0.txt", rows(0.4))
    write("sets/EXPR_Set/Train_Set/clip0.txt", "Neutral,Anger\n3\n")
    result = run(folder, folder / "sets" / given, command="labels")
    assert "annotations: 1 of 3 videos" in result.stdout
    assert FeatureStore.open(folder / "cache").partition("clip0") == "train"


def test_tables_beside_the_videos_that_could_be_meant_are_named_with_what_takes_them(made):
    folder, write = made
    write("videos/splits.csv", "clip0.mp4,train\nclip1.mp4,val\n")
    write("videos/all.csv", "video,time,valence\nclip0.mp4,0,0.1\nclip0.mp4,2,0.1\nclip1,0,0.2\n")
    said = run(folder).stdout
    assert f"partitions? --split {folder}/videos/splits.csv takes them" in said
    assert f"annotations? --labels {folder}/videos/all.csv takes them" in said
    options = ("--split", folder / "videos/splits.csv", "--labels", folder / "videos/all.csv")
    said = run(folder, *options).stdout
    assert "annotations: 2 of 3 videos" in said
    assert "train 1, validation 1" in said


def test_lists_of_names_are_taken_as_one_split(made):
    folder, write = made
    for name, items in (("train", "clip0\nclip1\n"), ("val", "clip2.mp4\n")):
        write(f"videos/{name}.txt", items)
    assert f"partitions? --split {folder}/videos takes them" in run(folder).stdout
    run(folder, "--split", folder / "videos")
    store = FeatureStore.open(folder / "cache")
    assert [store.partition(item) for item in NAMES] == ["train", "train", "validation"]
    result = run(folder, "--split", folder / "cache", code=1)
    assert "no file in it is called after a partition" in result.stderr


def test_sets_in_several_folders_are_taken_together_where_that_is_said(made):
    folder, write = made
    write("videos/s1/labels/clip0.csv", rows(0.1))
    write("videos/s2/labels/clip1.csv", rows(0.2))
    result = run(folder, code=1)
    assert f"or take all with --labels {folder}/videos" in result.stderr
    run(folder, "--labels", folder / "videos")
    assert values(folder) == {"clip0": (0.1, ROWS), "clip1": (0.2, ROWS), "clip2": NONE}


def test_tables_that_are_no_text_are_named(made):
    folder, write = made
    write("videos/labels/clip0.xlsx", "PK")
    assert "clip0.xlsx: no table of text; save it as CSV" in run(folder).stdout


def test_a_folder_that_is_named_and_holds_nothing_is_a_problem(made):
    folder, _ = made
    (folder / "none").mkdir()
    result = run(folder, "--labels", folder / "none", code=3)
    assert "no annotation in it of any of the videos (clip0, clip1, clip2 ...)" in result.stdout


@pytest.mark.parametrize("content", [None, "split.csv", "notes.pdf"])
def test_a_folder_without_annotations_is_not_reported_as_found(made, content):
    folder, write = made
    (folder / "videos/labels").mkdir()
    if content:
        write(f"videos/labels/{content}", "video,partition\nclip0,train\nclip1,validation\n")
    said = run(folder).stdout.splitlines()[0]
    assert "no annotations found" in said
    assert ("partitions from" in said) == (content == "split.csv")


def test_sides_in_a_split_make_items_where_nothing_is_annotated(made):
    folder, write = made
    write("videos/split.csv", "clip0_left,test\nclip0_right,test\nclip1,test\n")
    dataset = find_dataset(folder / "videos")
    assert [s.id for s in dataset.videos[0].subjects] == ["clip0_left", "clip0_right"]


def test_people_of_a_test_list_become_items_and_the_other_partitions_stay(made):
    folder, write = made
    write("videos/labels/clip1.csv", rows(0.1))
    write("videos/split.csv", "clip1,train\nclip2,val\n")
    run(folder)
    sample = "".join(f"clip0_{side}/{n:05d}.jpg,\n" for side in ("left", "right") for n in (1, 2))
    write("sample.txt", f"image_location,valence,arousal\n{sample}")
    run(folder, "--split", folder / "sample.txt")
    store = FeatureStore.open(folder / "cache")
    found = {item: store.partition(item) for item in store.videos()}
    test = {"clip0_left": "test", "clip0_right": "test"}
    assert found == {**test, "clip1": "train", "clip2": "validation"}
    assert np.array_equal(store.read("clip0_left", "logmel"), store.read("clip0_right", "logmel"))


def test_labels_are_imported_without_extracting(made):
    folder, write = made
    write("gold/clip1.csv", "time;valence;arousal\n" + "".join(
        f"{n / 10:.1f};{str(n / 100).replace('.', ',')};0\n" for n in range(40)))  # fmt: skip
    dataset, outcomes = import_labels(folder / "gold", folder / "videos", folder / "cache")
    assert not dataset.problems
    assert not any(outcome.problems for outcome in outcomes)
    labels = FeatureStore.open(folder / "cache").labels("clip1")[:, 0]
    at = np.minimum(np.arange(ROWS) / 25, 3.9)
    assert np.allclose(labels, at / 10, atol=1e-6)
    source = FeatureStore.open(folder / "cache").label_source("clip1")
    assert source["files"][0]["name"] == "clip1.csv"
    assert source["result"]["clock"] == ["seconds"]


def test_an_import_that_finds_nothing_is_an_error(made):
    folder, write = made
    write("gold/other.csv", rows(0.1))
    result = run(folder, folder / "gold", command="labels", code=1)
    assert "no annotation could be taken in" in result.stderr
    assert "other.csv has no video" in result.stderr
