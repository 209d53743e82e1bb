"""The submission file: exactly the sample's rows, and errors that name file and line."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import ConfigError
from vapipe.fusion.evaluation.submission import (
    Sample,
    Wanted,
    check_sample,
    read_sample,
    write_submission,
)

HEADER = "image_location,valence,arousal"


def write(path, *lines):
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


@given(
    lengths=st.dictionaries(
        st.sampled_from(["video1", "video1_left", "10-60-1280x720_right", "a/b", "x y"]),
        st.integers(1, 7),
        min_size=1,
    )
)
def test_what_is_written_reads_as_the_sample_again(tmp_path_factory, lengths):
    folder = tmp_path_factory.mktemp("sample")
    lines = [f"{v}/{n:05d}.jpg,-5,-5" for v, count in lengths.items() for n in range(1, count + 1)]
    sample = read_sample(write(folder / "sample.txt", *lines))
    assert [(w.video, len(w.frames)) for w in sample.wanted] == list(lengths.items())
    values = {v: np.full((count, 2), 0.25) for v, count in lengths.items()}
    write_submission(folder / "out.txt", sample, values, ("valence", "arousal"))
    again = read_sample(folder / "out.txt")
    assert [w.locations for w in again.wanted] == [w.locations for w in sample.wanted]


def test_frame_numbers_pick_the_rows_and_values_are_clipped(tmp_path):
    values = np.array([[0.1, -0.2], [1.5, -3.0], [0.3, 0.4]], np.float32)
    wanted = [Wanted("v", np.array([2, 3, 4, 6]), [f"v/{n:05d}.jpg" for n in (2, 3, 4, 6)])]
    sample, targets = Sample(("valence", "arousal"), wanted), ("valence", "arousal")
    assert write_submission(tmp_path / "out.txt", sample, {"v": values}, targets) == 2
    assert (tmp_path / "out.txt").read_text().splitlines() == [
        HEADER,
        "v/00002.jpg,1.000000,-1.000000",
        "v/00003.jpg,0.300000,0.400000",
        "v/00004.jpg,0.300000,0.400000",  # beyond the last row: held
        "v/00006.jpg,0.300000,0.400000",
    ]


@pytest.mark.parametrize("end", ["", ",", ",,", ",,,", ",0.1,0.2", ", ,"])
def test_rows_of_a_sample_need_no_values(tmp_path, end):
    sample = read_sample(write(tmp_path / "s.txt", *(f"v_left/{n:05d}.jpg{end}" for n in (1, 2))))
    assert [(w.video, w.frames.tolist()) for w in sample.wanted] == [("v_left", [1, 2])]


def test_a_sample_may_be_a_list_of_locations(tmp_path):
    path = tmp_path / "sample.txt"
    path.write_text("image_location,\nv/00001.jpg\nv/00003.jpg,\n")
    sample = read_sample(path)
    assert (sample.targets, sample.wanted[0].frames.tolist()) == ((), [1, 3])


def test_columns_are_those_that_the_sample_names_in_its_order(tmp_path):
    path = tmp_path / "sample.txt"
    path.write_text("image_location,liking,valence\nv/00001.jpg,,\n")
    values = {"v": np.array([[0.1, 0.2, 0.3]])}
    targets = ("valence", "arousal", "liking")
    write_submission(tmp_path / "out.txt", read_sample(path), values, targets)
    assert (tmp_path / "out.txt").read_text().splitlines() == [
        "image_location,liking,valence",
        "v/00001.jpg,0.300000,0.100000",
    ]


def test_two_people_that_are_no_items_yet_are_made_by_the_sample_itself(make_store):
    store = make_store({"pair": {"features": {"onet": np.zeros((4, 1))}}})
    with pytest.raises(ConfigError, match=r"pair_left is one of two people in pair.* as --split"):
        check_sample([wanted("pair_left", 4), wanted("pair_right", 4)], store)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"line 1 is ``; the sample file of the valence-arousal challenge begins with"),
        ("image,AU1,AU2\nv/00001.jpg,0,1\n", r"line 1 is `image,AU1,AU2`; .* another challenge\?"),
        (f"{HEADER}\n", "no row after the header"),
        (f"{HEADER}\nv/00001.jpg,0\n", r"line 2 is `v/00001.jpg,0`; expected `VIDEO/00001.jpg"),
        (f"{HEADER}\nv/1.jpg,0,0\n", r"line 2 is `v/1.jpg,0,0`; expected"),
        (f"{HEADER}\nv/00000.jpg,0,0\n", "line 2 is frame 0 of video v after the beginning"),
        (
            f"{HEADER}\nv/00001.jpg,0,0\n\nv/00001.jpg,0,0\n",
            "line 4 is frame 1 of video v after frame 1; frame numbers rise",
        ),
        (
            f"{HEADER}\nv/00002.jpg,0,0\nv/00001.jpg,0,0\n",
            "line 3 is frame 1 of video v after frame 2; frame numbers rise",
        ),
        (
            f"{HEADER}\nv/00001.jpg,0,0\nw/00001.jpg,0,0\nv/00002.jpg,0,0\n",
            "line 4 comes back to video v after w",
        ),
    ],
)
def test_a_sample_that_cannot_be_is_named_with_its_line(tmp_path, text, message):
    path = tmp_path / "sample.txt"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        read_sample(path)
    assert str(path) in str(caught.value)


def test_a_sample_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the sample file .*absent.txt"):
        read_sample(tmp_path / "absent.txt")


@pytest.fixture
def store(make_store):
    """Two subjects of 20 rows, another video of 9."""
    names = {"pair_left": 20, "pair_right": 20, "solo": 9}
    return make_store({v: {"features": {"onet": np.zeros((n, 1))}} for v, n in names.items()})


def wanted(video, count):
    return Wanted(video, np.arange(1, count + 1), [""] * count)


def test_subjects_are_items_by_name(store):
    sample = [wanted("pair_right", 20), wanted("pair_left", 20)]
    assert list(check_sample(sample, store)) == ["pair_right", "pair_left"]


def test_unknown_videos_are_named_with_the_nearest(store):
    with pytest.raises(
        ConfigError,
        match=r"2 of 3 videos .* are not in .*: pair_lef \(there is pair_left\), other; extract",
    ):
        check_sample([wanted("pair_lef", 20), wanted("solo", 9), wanted("other", 3)], store)


@pytest.mark.parametrize("surplus", range(-7, 8))
@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("cut", [False, True])
def test_lengths_are_exact_unless_a_little_else_was_allowed(store, surplus, pad, cut):
    sample = [wanted("pair_left", 20), wanted("solo", 9 + surplus)]
    allowed = surplus == 0 or (pad and 0 < surplus <= 5) or (cut and -5 <= surplus < 0)
    if allowed:
        fit = check_sample(sample, store, pad=pad, cut=cut)["solo"]
        assert (fit.rows, fit.last, fit.left_out) == (9, 9 + surplus, 0)
        return
    with pytest.raises(
        ConfigError, match=rf"1 of 2 videos .*: solo \({9 + surplus} rows for 9 frames, "
    ):
        check_sample(sample, store, pad=pad, cut=cut)


def test_many_misfits_are_counted(make_store):
    names = [f"v{n:02d}" for n in range(13)]
    store = make_store({v: {"features": {"onet": np.zeros((4, 1))}} for v in names})
    with pytest.raises(ConfigError, match=r"13 of 13 videos .* and 3 more\. Up to 5 rows"):
        check_sample([wanted(v, 5) for v in names], store)
