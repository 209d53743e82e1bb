"""Split and subject files are read however they are written, or refused with the line."""

import pytest

from vapipe.cache import LabelError
from vapipe.cache.labels import partition_of, read_split_file, read_subject_file
from vapipe.cache.tables import read_table


def write(tmp_path, text, name="split.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "video,partition\na,train\nb_left,validation\nc,test\n",
        "video,partition\na.mp4,train\nb_left.mp4,validation\nc.avi,test\n",
        "a,train\nb_left,val\nc,test\n",
        "a.mp4,train\nb_left.mp4,devel\nc.mkv,test\n",
        "Video;Partition\na;Train\nb_left;Dev\nc;TEST\n",
        "Id,Proposal\na,train\nb_left,devel\nc,test\n",
        "split\tname\nTrain_Set\ta\nValidation_Set\tb_left\nTest_Set\tc\n",
        "\ufeffvideo,partition,subject\na,training,x\nb_left,validation,y\nc,testing,z\n",
    ],
)
def test_a_split_file_is_read(tmp_path, text):
    expected = {"a": "train", "b_left": "validation", "c": "test"}
    assert read_split_file(write(tmp_path, text)) == expected


def test_a_list_of_names_is_of_the_partition_that_it_is_called_after(tmp_path):
    path = write(tmp_path, "a\nb_left\n", "VA_test_set.txt")
    assert read_split_file(path) == {"a": "test", "b_left": "test"}
    with pytest.raises(LabelError, match="items without a partition"):
        read_split_file(write(tmp_path, "a\nb_left\n", "names.txt"))


def test_the_items_of_a_sample_file_are_the_test_set(tmp_path):
    rows = "".join(f"{v}/{n:05d}.jpg,\n" for v in ("a_left", "a_right", "b") for n in (1, 2))
    path = write(tmp_path, f"image_location,valence,arousal\n{rows}")
    assert read_split_file(path) == {"a_left": "test", "a_right": "test", "b": "test"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y,z\n1,2,3\n", "begins with the line `video,partition`"),
        ("video,partition\na,trian\n", "line 2 is `a,trian`.*did you mean `train`"),
        ("video,partition\na\n", "line 2 is `a`"),
        ("video,partition\na,train\na,test\n", "puts `a` into test, an earlier line into train"),
    ],
)
def test_a_wrong_split_file_is_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(LabelError, match=message):
        read_split_file(write(tmp_path, text))


def test_an_absent_split_file_is_named(tmp_path):
    with pytest.raises(LabelError, match="cannot read the split"):
        read_split_file(tmp_path / "split.csv")


@pytest.mark.parametrize("word", ["train", "Train_Set", "TRAINING", "training set", "TrainVideos"])
def test_words_for_training(word):
    assert partition_of(word) == "train"


@pytest.mark.parametrize("word", ["", "set", "trains", "data", "video", "VA_Set", "batch1"])
def test_words_that_name_no_partition(word):
    assert partition_of(word) is None


def test_a_subject_file_may_call_its_columns_otherwise(tmp_path):
    text = "file;session;speaker\na.mp4;1;anna\nb;2;ben\n"
    assert read_subject_file(write(tmp_path, text)) == {"a": "anna", "b": "ben"}
    text = "file;session\na.mp4;1\nb;2\n"
    assert read_subject_file(write(tmp_path, text)) == {"a": "1", "b": "2"}


def test_cells_keep_what_they_say(tmp_path):
    table = read_table(write(tmp_path, 'x;"a;b";c\n1,5;-2;\n;NA;3\n'))
    assert table.names == ("x", "a;b", "c")
    assert table.numbers(0)[0] == 1.5
    assert table.numbers(1)[0] == -2
    assert table.lines == [2, 3]


@pytest.mark.parametrize(
    ("name", "partition"),
    [
        ("set_train", "train"),
        ("training_set_videos", "train"),
        ("Val-Set", "validation"),
        ("DEV", "validation"),
        ("omg_ValidationVideos", None),
        ("test_1", None),
        ("test set", "test"),
    ],
)
def test_names_tell_a_partition_where_nothing_else_is_said(name, partition):
    assert partition_of(name) == partition
