"""Splits: the papers' folds by hand, subjects kept apart, nobody in two parts."""

import dataclasses

import numpy as np
import pytest
from caches import add_video, make_cache
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import ConfigError, FeatureStore, LabelError
from vapipe.fusion import FitConfig, plan_fit
from vapipe.fusion.data.splits import aff_wild2_fold, split


def names(count, prefix="v"):
    return [f"{prefix}{index:03d}" for index in range(count)]


def test_the_six_folds_of_aff_wild2_by_hand():
    train, validation = names(356, "t"), names(76, "z")
    assert aff_wild2_fold(train, validation, 0) == (train, validation)
    first = aff_wild2_fold(train, validation, 1)
    assert first == (train[:284] + validation, train[284:])
    assert [len(aff_wild2_fold(train, validation, k)[1]) for k in range(6)] == [
        76,
        72,
        71,
        71,
        71,
        71,
    ]
    assert aff_wild2_fold(train, validation, 2)[1] == train[213:284]
    assert aff_wild2_fold(train, validation, 5)[1] == train[:71]
    for fold in range(1, 6):
        assert set(validation) <= set(aff_wild2_fold(train, validation, fold)[0])


@given(count=st.integers(5, 60), fold=st.integers(0, 5))
def test_a_fold_divides_all_videos(count, fold):
    train, validation = names(count, "t"), names(3, "z")
    ours, held = aff_wild2_fold(train[::-1], validation, fold)
    assert sorted(ours + held) == train + validation
    assert held


def test_folds_that_do_not_exist_are_refused():
    with pytest.raises(ConfigError, match="has the folds 0 to 5, got fold 6"):
        aff_wild2_fold(names(9), names(2), 6)
    with pytest.raises(ConfigError, match=r"into 5 chunks; there are only 4: take split k-fold"):
        aff_wild2_fold(names(4), names(2), 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Nine annotated videos of different lengths, six training, three validation."""
    root = make_cache(tmp_path_factory.mktemp("splits") / "cache")
    for index, name in enumerate(names(9)):
        rows = 10 + index
        add_video(
            root,
            name,
            {"onet": np.zeros((rows, 2)), "logmel": np.zeros((rows, 2))},
            labels=np.full((rows, 2), 0.1, np.float32),
            partition="train" if index < 6 else "validation",
        )
    return FeatureStore.open(root)


def config(**changes):
    return dataclasses.replace(FitConfig(), **changes)


def test_stored_partitions_are_the_default(store):
    assert split(store, FitConfig()) == (names(9)[:6], names(9)[6:])


def test_every_video_is_held_out_by_exactly_one_fold(store):
    held = [split(store, config(split="k-fold", folds=3, fold=fold))[1] for fold in range(3)]
    assert sorted(video for part in held for video in part) == names(9)
    rows = [sum(10 + int(name[1:]) for name in part) for part in held]
    assert max(rows) - min(rows) <= 10


def test_subjects_are_kept_apart(store, tmp_path):
    path = tmp_path / "subjects.csv"
    people = dict(zip(names(9), "aabbccdda", strict=True))
    path.write_text("video,subject\n" + "".join(f"{v},{s}\n" for v, s in people.items()))
    for fold in range(4):
        chosen = config(split="k-fold", folds=4, fold=fold, subjects=str(path))
        train, held = split(store, chosen)
        assert not {people[v] for v in train} & {people[v] for v in held}
        assert plan_fit(store, chosen).notes == []
    note = plan_fit(store, config(subjects=str(path))).notes[0]
    assert (
        "2 of 3 validation videos show a subject that is also in training (v006, v008)" not in note
    )
    assert "1 of 3 validation videos show a subject that is also in training (v008)" in note


def test_every_subject_is_left_out_once(store, tmp_path):
    path = tmp_path / "subjects.csv"
    people = dict(zip(names(9), "cacbbacba", strict=True))
    path.write_text("file;session\n" + "".join(f"{v}.mp4;{s}\n" for v, s in people.items()))
    out = config(split="leave-one-subject-out", subjects=str(path))
    for fold, person in enumerate("abc"):
        train, held = split(store, dataclasses.replace(out, fold=fold))
        assert held == sorted(video for video, own in people.items() if own == person)
        assert sorted(train + held) == names(9)
    with pytest.raises(ConfigError, match=r"of 3 subjects needs at least 2 subjects.*fold 3"):
        split(store, dataclasses.replace(out, fold=3))
    assert len(split(store, config(split="leave-one-subject-out", fold=8))[1]) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v000,a\n", "begins with the line `video,subject`"),
        ("video,subject\nv000,a,b\n", "line 2 is `v000,a,b`"),
        ("video,subject\nv000,a\n", "names no subject for 8 of 9 annotated videos: v001, v002"),
    ],
)
def test_subject_files_that_do_not_fit_are_refused(store, tmp_path, text, message):
    path = tmp_path / "subjects.csv"
    path.write_text(text)
    with pytest.raises((ConfigError, LabelError), match=message):
        split(store, config(split="k-fold", subjects=str(path)))
    with pytest.raises(LabelError, match="cannot read the list of subjects"):
        split(store, config(split="k-fold", subjects=str(tmp_path / "none.csv")))


@pytest.mark.parametrize(("folds", "fold"), [(10, 0), (3, 3)])
def test_impossible_k_folds_are_refused(store, folds, fold):
    with pytest.raises(ConfigError, match=rf"2 to 9 folds .* got folds {folds}, fold {fold}"):
        split(store, config(split="k-fold", folds=folds, fold=fold))


def test_a_split_of_ones_own(store, tmp_path):
    path = tmp_path / "split.csv"
    path.write_text("video,partition\nv008,train\nv000,validation\nv001,test\n")
    assert split(store, config(split=str(path))) == (["v008"], ["v000"])
    path.write_text("video,partition\nv008,train\nghost,validation\n")
    with pytest.raises(ConfigError, match=r"names 1 video that .* does not hold: ghost"):
        split(store, config(split=str(path)))
    path.write_text("video,partition\nv008,train\nv008,validation\n")
    with pytest.raises(LabelError, match="an item belongs to one partition"):
        split(store, config(split=str(path)))
    path.write_text("video,partition\nv008,train\n")
    with pytest.raises(ConfigError, match=r"no annotated video .* is in the validation partition"):
        split(store, config(split=str(path)))


def test_videos_that_lack_a_stream_are_skipped_only_on_request(tmp_path):
    root = make_cache(tmp_path / "cache")
    for index, name in enumerate(names(4)):
        streams = ("onet", "logmel") if index else ("onet",)
        add_video(
            root,
            name,
            {stream: np.zeros((9, 2)) for stream in streams},
            labels=np.full((9, 2), 0.1, np.float32),
            partition="validation" if index == 3 else "train",
        )
    store = FeatureStore.open(root)
    with pytest.raises(
        ConfigError, match=r"v000 \(logmel\).*or fit with --set missing_streams=skip"
    ):
        plan_fit(store, FitConfig())
    plan = plan_fit(store, config(missing_streams="skip"))
    assert plan.train == ["v001", "v002"]
    assert plan.notes == [
        "skipped 1 training video and 0 validation videos without all streams (v000)"
    ]
