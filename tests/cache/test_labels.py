"""Annotations keep the frame number of every row and are refused when they cannot be right."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import LabelError
from vapipe.cache.labels import SURPLUS_ALLOWED, fit_labels, read_label_file, read_split_file


def write(tmp_path, text):
    path = tmp_path / "video1.txt"
    path.write_text(text)
    return path


def test_minus_five_is_masked_in_both_columns_and_no_row_moves(tmp_path):
    path = write(tmp_path, "valence,arousal\n0.1,0.2\n-5,0.3\n0.4,-5.0\n-1,1\n")
    values = read_label_file(path)
    assert np.isnan(values[1:3]).all()
    assert values[0].tolist() == pytest.approx([0.1, 0.2])
    assert values[3].tolist() == [-1, 1]


def test_the_first_row_of_numbers_is_the_first_frame(tmp_path):
    assert read_label_file(write(tmp_path, "valence,arousal\n0.5,0.5\n")).shape == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1 is `empty`"),
        ("0.1,0.2\n", "line 1 is `0.1,0.2`; an annotation file begins with `valence,arousal`"),
        ("arousal,valence\n0,0\n", "line 1 is `arousal,valence`"),
        ("valence,arousal\n0,0\n0.1\n", "line 3 is `0.1`; expected two numbers"),
        ("valence,arousal\n0,0,0\n", "line 2 is `0,0,0`"),
        ("valence,arousal\n0,x\n", "line 2 is `0,x`"),
        ("valence,arousal\n0,0\n0,1.5\n", r"line 3 is 0,1.5; valence and arousal lie in \[-1, 1\]"),
    ],
)
def test_a_wrong_file_is_refused_with_the_line(tmp_path, text, message):
    with pytest.raises(LabelError, match=message):
        read_label_file(write(tmp_path, text))


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(LabelError, match="cannot read the annotation"):
        read_label_file(tmp_path / "absent.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LabelError, match=r"binary.txt: cannot read the annotation"):
        read_label_file(tmp_path / "binary.txt")


@given(st.integers(1, 50), st.integers(-20, SURPLUS_ALLOWED))
def test_labels_get_one_row_per_frame_and_keep_their_numbers(rows, surplus):
    count = max(rows + surplus, 0)
    values = np.stack([np.arange(count), np.arange(count)], axis=1) / 100
    labels, note = fit_labels(values, rows, "v")
    assert labels.shape == (rows, 2)
    kept = min(rows, count)
    assert np.allclose(labels[:kept, 0], np.arange(kept) / 100)
    assert np.isnan(labels[kept:]).all()
    assert (note is None) == (count == rows)


def test_an_annotation_of_another_video_is_refused_with_both_numbers():
    with pytest.raises(LabelError, match="106 annotated rows for a video of 100 frames"):
        fit_labels(np.zeros((106, 2)), 100, "video1.txt")


def test_a_split_file_is_read(tmp_path):
    path = write(tmp_path, "video,partition\na,train\nb_left,validation\n\nc,test\n")
    assert read_split_file(path) == {"a": "train", "b_left": "validation", "c": "test"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,train\n", "begins with the line `video,partition`"),
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
