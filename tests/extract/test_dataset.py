"""Videos, subjects, annotations and splits are found where users keep them."""

import os

import pytest

from vapipe.cache import ConfigError
from vapipe.extract.dataset import find_dataset

HEADER = "valence,arousal\n0,0\n"


def touch(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEADER)


def subjects(dataset):
    return {
        video.id: [(subject.id, subject.side) for subject in video.subjects]
        for video in dataset.videos
    }


@pytest.mark.parametrize("folder", ["VA_Estimation_Challenge", "annotations/VA_Set"])
def test_the_aff_wild2_layout(tmp_path, folder):
    touch(tmp_path, "batch1/v1.mp4", "batch2/v2.avi", "batch2/v3.mp4")
    touch(tmp_path, f"{folder}/Train_Set/v1.txt", f"{folder}/Validation_Set/v2.txt")
    touch(tmp_path, "EXPR_Recognition_Challenge/Train_Set/v3.txt")
    dataset = find_dataset(tmp_path)
    assert [video.id for video in dataset.videos] == ["v1", "v2", "v3"]
    assert {item: a.partition for item, a in dataset.annotations.items()} == {
        "v1": "train",
        "v2": "validation",
    }
    assert dataset.annotations["v1"].file == tmp_path / folder / "Train_Set/v1.txt"
    assert "Aff-Wild2" in dataset.layout
    assert dataset.problems == ()


def test_two_subjects_of_a_video_are_told_apart_by_their_side(tmp_path):
    touch(tmp_path, "both.mp4", "main.mp4", "main2.mp4", "one.mp4", "x_left.mp4")
    labels = ["both_left", "both_right", "main", "main_right", "main2", "main2_left", "one"]
    touch(tmp_path, *(f"VA_Set/Train_Set/{name}.txt" for name in labels))
    assert subjects(find_dataset(tmp_path)) == {
        "both": [("both_left", "left"), ("both_right", "right")],
        "main": [("main", "left"), ("main_right", "right")],
        "main2": [("main2", "right"), ("main2_left", "left")],
        "one": [("one", None)],
        "x_left": [("x_left", None)],
    }


def test_a_suffixed_video_of_its_own_is_not_taken_for_a_subject(tmp_path):
    touch(tmp_path, "a.mp4", "a_left.mp4", "labels/a.csv", "labels/a_left.csv")
    assert subjects(find_dataset(tmp_path)) == {
        "a": [("a", None)],
        "a_left": [("a_left", None)],
    }


def test_own_data_with_labels_and_split(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4", "labels/a.csv")
    (tmp_path / "split.csv").write_text("video,partition\na,train\nb,test\n")
    dataset = find_dataset(tmp_path)
    assert dataset.annotations["a"].file == tmp_path / "labels/a.csv"
    assert {item: a.partition for item, a in dataset.annotations.items()} == {
        "a": "train",
        "b": "test",
    }
    assert "split.csv" in dataset.layout


def test_labels_and_split_can_lie_elsewhere(tmp_path):
    touch(tmp_path, "videos/a.mp4", "notes/a.csv")
    (tmp_path / "mine.csv").write_text("video,partition\na,validation\n")
    dataset = find_dataset(
        tmp_path / "videos", labels=tmp_path / "notes", split=tmp_path / "mine.csv"
    )
    assert dataset.annotations["a"].partition == "validation"


def test_repeated_file_names_are_reported_and_can_be_named_by_path(tmp_path):
    touch(tmp_path, "s1/clip.mp4", "s2/clip.mp4", "s2/other.mkv")
    dataset = find_dataset(tmp_path)
    assert [video.id for video in dataset.videos] == ["other"]
    assert [problem[1] for problem in dataset.problems] == [
        "shares the id `clip` with 1 other file(s); use --ids path"
    ] * 2
    by_path = find_dataset(tmp_path, ids="path")
    assert [video.id for video in by_path.videos] == ["s1/clip", "s2/clip", "s2/other"]


def test_annotations_without_a_video_are_reported(tmp_path):
    touch(tmp_path, "a.mp4", "labels/b.csv")
    assert find_dataset(tmp_path).problems[0][0] == "b"
    assert "has no video" in find_dataset(tmp_path).problems[0][1]


def test_one_file_is_a_data_set(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4")
    assert [video.id for video in find_dataset(tmp_path / "a.mp4").videos] == ["a"]


def test_caches_and_hidden_files_are_passed_over(tmp_path):
    touch(tmp_path, "a.mp4", ".trash/b.mp4", "._a.mp4", "cache/vapipe-cache.json", "cache/c.mp4")
    assert [video.id for video in find_dataset(tmp_path).videos] == ["a"]


def test_a_name_that_is_no_text_is_reported(tmp_path):
    touch(tmp_path, "a.mp4")
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.mp4", os.O_CREAT | os.O_WRONLY))
    assert "not valid UTF-8" in find_dataset(tmp_path).problems[0][1]


def test_an_empty_or_absent_folder_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"no video in it; looked for \.3gp, \.avi"):
        find_dataset(tmp_path)
    with pytest.raises(ConfigError, match="no such video or folder of videos"):
        find_dataset(tmp_path / "absent")


def test_data_sets_in_folders_beside_a_single_clip_are_not_its_own(tmp_path):
    touch(tmp_path, "a.mp4", "one/VA_Set/Train_Set/b.txt", "two/VA_Set/Train_Set/c.txt")
    assert find_dataset(tmp_path / "a.mp4").annotations == {}
    touch(tmp_path, "VA_Set/Train_Set/a.txt")
    assert list(find_dataset(tmp_path / "a.mp4").annotations) == ["a"]


def test_an_absent_label_folder_or_two_annotation_sets_are_errors(tmp_path):
    touch(tmp_path, "a.mp4", "VA_Set/Train_Set/a.txt", "VA_Estimation_Challenge/Train_Set/a.txt")
    with pytest.raises(ConfigError, match=r"several annotation sets: .*choose with --labels"):
        find_dataset(tmp_path)
    with pytest.raises(ConfigError, match=r"--labels .*absent: no such folder"):
        find_dataset(tmp_path, labels=tmp_path / "absent")
