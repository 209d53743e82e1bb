"""Videos, subjects, annotations and splits are found where users keep them."""

import os
import unicodedata
from contextlib import suppress
from pathlib import Path

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
    assert dataset.annotations["v1"].parts[0].path == tmp_path / folder / "Train_Set/v1.txt"
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
    assert subjects(find_dataset(tmp_path)) == {"a": [("a", None)], "a_left": [("a_left", None)]}


def test_own_data_with_labels_and_split(tmp_path):
    touch(tmp_path, "a.mp4", "b.mp4", "labels/a.csv")
    (tmp_path / "split.csv").write_text("video,partition\na,train\nb,test\n")
    dataset = find_dataset(tmp_path)
    assert dataset.annotations["a"].parts[0].path == tmp_path / "labels/a.csv"
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
    (tmp_path / "s2/clip.mp4").write_text("another")
    dataset = find_dataset(tmp_path)
    assert [video.id for video in dataset.videos] == ["other"]
    assert [problem[1] for problem in dataset.problems] == [
        "shares the id `clip` with 1 other file; use --ids path"
    ] * 2
    by_path = find_dataset(tmp_path, ids="path")
    assert [video.id for video in by_path.videos] == ["s1/clip", "s2/clip", "s2/other"]


def test_the_same_file_twice_is_taken_once(tmp_path):
    touch(tmp_path, "s1/clip.mp4", "s2/clip.mp4")
    for name in ("s1", "s2"):
        (tmp_path / name / "clip.mp4").write_text("the same")
    dataset = find_dataset(tmp_path)
    assert [video.path for video in dataset.videos] == [tmp_path / "s1/clip.mp4"]
    assert dataset.problems == ()
    assert dataset.unused[0][1] == f"the same file as {tmp_path / 's1/clip.mp4'}, which is taken"


def test_annotations_meet_videos_that_are_named_by_path(tmp_path):
    touch(tmp_path, "s1/clip.mp4", "s2/clip.mp4", "s2/other.mkv")
    touch(tmp_path, "labels/other.csv", "labels/s1/clip.csv", "labels/clip.csv")
    dataset = find_dataset(tmp_path, ids="path")
    assert sorted(dataset.annotations) == ["s1/clip", "s2/other"]
    (problem,) = dataset.problems
    assert "it can be of s1/clip or s2/clip; tell by a folder: " in problem[1]


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
    with pytest.raises(ConfigError, match=r"no video in it; looked for \.264, \.265, \.3g2"):
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


# -- entries that are no videos --------------------------------------------------------------------


def test_every_entry_that_cannot_be_used_is_listed_and_the_others_go_on(tmp_path):
    touch(tmp_path, "good.mp4", "sub/also.mp4")
    (tmp_path / "annexed.mp4").symlink_to("../.git/annex/objects/x")
    (tmp_path / "round.mp4").symlink_to("round.mp4")
    (tmp_path / "batch9").symlink_to("/nowhere/batch9")
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "notes.txt").symlink_to("nothing")  # no business of a data set
    found = find_dataset(tmp_path)
    assert [video.id for video in found.videos] == ["also", "good"]
    problems = {name.removeprefix(f"{tmp_path}/"): problem for name, problem in found.problems}
    assert set(problems) == {"annexed.mp4", "round.mp4", "batch9", "pipe.mp4"}
    assert "a link to ../.git/annex/objects/x, which is not there" in problems["annexed.mp4"]
    assert "`git annex get`, `dvc pull`" in problems["batch9"]
    assert "a link to round.mp4, which is not there" in problems["round.mp4"]
    assert problems["pipe.mp4"] == "no file of data but a pipe, socket or device"


def test_where_nothing_can_be_used_the_reasons_are_told(tmp_path):
    (tmp_path / "a.mp4").symlink_to("nothing")
    with pytest.raises(ConfigError, match=r"(?s)no video in it.*a.mp4: a link to nothing, which"):
        find_dataset(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match=r"pipe: neither a file nor a folder"):
        find_dataset(tmp_path / "pipe")


def test_linked_folders_are_followed_once_by_the_name_that_lies_below(tmp_path):
    touch(tmp_path, "data/real/a.mp4", "disk2/b.mp4")
    (tmp_path / "data/0-link").symlink_to("real")
    (tmp_path / "data/up").symlink_to("..")  # leads back to everything
    (tmp_path / "data/far").symlink_to(tmp_path / "disk2")
    found = find_dataset(tmp_path / "data", ids="path")
    assert [video.id for video in found.videos] == ["far/b", "real/a"]
    assert found.problems == ()


def test_what_a_user_may_not_read_is_listed(tmp_path):
    """Told by a process of a user without rights, since root may read everything."""
    touch(tmp_path, "good.mp4", "secret.mp4", "closed/inside.mp4")
    (tmp_path / "secret.mp4").chmod(0)
    (tmp_path / "closed").chmod(0)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o755)
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        with suppress(OSError):
            os.setuid(65534)
        found = find_dataset(tmp_path)
        text = "\n".join(f"{Path(name).name}: {why}" for name, why in found.problems)
        os.write(write, f"{[video.id for video in found.videos]}\n{text}".encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    text = os.read(read, 10_000).decode()
    (tmp_path / "closed").chmod(0o755)
    assert text.splitlines()[0] == "['good']"
    assert "closed: a folder that cannot be looked into (Permission denied)" in text
    assert "secret.mp4: a file that this user may not read" in text


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accented_names_meet_however_they_are_written(tmp_path, form):
    """Of the video, its annotation and the split, each is written in another way."""
    other = "NFD" if form == "NFC" else "NFC"
    name = "d\u00eda \u00f1"
    video, label = unicodedata.normalize(form, name), unicodedata.normalize(other, name)
    touch(tmp_path, f"{video}.mp4", f"labels/{label}_left.csv", f"labels/{label}.csv")
    (tmp_path / "split.csv").write_text(f"video,partition\n{label},train\n", encoding="utf-8")
    found = find_dataset(tmp_path)
    assert found.problems == ()
    assert [subject.id for subject in found.videos[0].subjects] == [name, f"{name}_left"]
    assert found.annotations[name].partition == "train"


def test_two_videos_of_the_same_accented_name_are_reported(tmp_path):
    touch(tmp_path, "d\u00eda.mp4", "di\u0301a.mp4", "b.mp4")
    (tmp_path / "d\u00eda.mp4").write_text("another")
    found = find_dataset(tmp_path)
    assert [video.id for video in found.videos] == ["b"]
    assert len(found.problems) == 2
    assert "shares the id `d\u00eda`" in found.problems[0][1]


@pytest.mark.parametrize(
    "suffix",
    [
        "m2ts",
        "mts",
        "vob",
        "mxf",
        "dv",
        "3g2",
        "qt",
        "gif",
        "h264",
        "hevc",
        "MP4",
        "MoV",
        "m4v",
        "asf",
        "y4m",
        "divx",
        "ogv",
    ],
)
def test_files_that_ffmpeg_opens_under_a_well_known_ending_are_taken(tmp_path, suffix):
    touch(tmp_path, f"v.{suffix}")
    dataset = find_dataset(tmp_path)
    assert [video.id for video in dataset.videos] == ["v"]
    assert dataset.describe_others() == ""


def test_one_line_says_what_was_not_looked_at(tmp_path):
    touch(tmp_path, "v.mp4", "w.mp4", "labels/v.csv", "split.csv", "README", ".hidden.jpg")
    (tmp_path / "split.csv").write_text("video,partition\nv,train\n")
    touch(tmp_path, *(f"crops/{n}.jpg" for n in range(7)), "a.wav", "b.WAV", "c.pdf", "d.srt")
    touch(tmp_path, "e.json", "f.xml")
    said = find_dataset(tmp_path).describe_others()
    assert said == (
        "14 other files not looked at: 7 .jpg, 2 .wav, 1 without ending, 1 .json, 1 .pdf, 2 more"
    )
