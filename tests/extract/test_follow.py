import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.cache import Valid
from vapipe.extract.faces.detector import Faces
from vapipe.extract.faces.finder import Seen
from vapipe.extract.faces.follow import FaceLinker, Tracker

FPS = 25.0
D, T, N = Valid.DETECTED, Valid.TRACKED, Valid.NO_FACE


def face(x, y=0.5, side=0.3):
    """A square box around (x, y), in image heights."""
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def follow(
    frames,
    *,
    sides=(None,),
    patience=0.5,
    scores=None,
    fps=FPS,
    aspect=1.6,
    searched=None,
    cuts=(),
):
    """Places per side, for the faces of every frame; all are searched unless told."""
    linker = FaceLinker(patience=patience, acquire=0.9)
    trackers = [Tracker(patience=patience, side=side) for side in sides]
    if len(trackers) == 2:
        trackers[0].rival, trackers[1].rival = trackers[1], trackers[0]
    places = [[] for _ in sides]
    for row, boxes in enumerate(frames):
        sure = np.ones(len(boxes)) if scores is None else np.array(scores[row])
        faces = Faces(np.array(boxes, float).reshape(-1, 4), sure)
        detected, shot = searched is None or row in searched, sum(cut <= row for cut in cuts)
        seen = linker.push(Seen(row, row / fps, faces, detected, shot, aspect))
        for mine, tracker in zip(places, trackers, strict=True):
            mine += tracker.push(seen)
    for mine, tracker in zip(places, trackers, strict=True):
        mine += tracker.finish()
        assert [place.row for place in mine] == list(range(len(frames)))
        assert all((place.box is None) == (place.code == N) for place in mine)
    return places


def centres(places):
    return [None if p.box is None else round(float(p.box[0] + p.box[2]) / 2, 3) for p in places]


def codes(places):
    return [place.code for place in places]


def test_the_largest_face_is_followed_as_it_moves():
    frames = [[face(1.2, side=0.2), face(0.3 + 0.01 * row)] for row in range(50)]
    (places,) = follow(frames)
    assert codes(places) == [D] * 50
    assert centres(places) == [round(0.3 + 0.01 * row, 3) for row in range(50)]


def test_a_bystander_who_is_larger_for_a_moment_does_not_steal_the_track():
    frames = [[face(0.4)] + ([face(1.2, side=0.5)] if 20 <= row < 30 else []) for row in range(60)]
    (places,) = follow(frames)
    assert set(centres(places)) == {0.4}


def test_one_who_stays_larger_for_seconds_takes_over_once():
    frames = [[face(0.4)] + ([face(1.2, side=0.5)] if row >= 20 else []) for row in range(200)]
    (places,) = follow(frames)
    followed = centres(places)
    assert followed[0] == 0.4
    assert followed[-1] == 1.2
    assert sum(a != b for a, b in itertools.pairwise(followed)) == 1
    assert 0.4 < followed.index(1.2) / FPS - 20 / FPS < 3


def test_a_short_absence_is_bridged_by_interpolation():
    frames = [[] if 10 <= row < 15 else [face(0.3 + 0.02 * row)] for row in range(30)]
    (places,) = follow(frames)
    assert codes(places) == [D] * 10 + [T] * 5 + [D] * 15
    np.testing.assert_allclose(
        [place.box[:4] for place in places], [face(0.3 + 0.02 * row) for row in range(30)]
    )


def test_a_long_absence_is_not_bridged():
    frames = [[] if 10 <= row < 40 else [face(0.3)] for row in range(50)]
    assert codes(follow(frames)[0]) == [D] * 10 + [N] * 30 + [D] * 10


def test_an_absence_before_the_end_is_not_bridged():
    assert codes(follow([[face(0.3)]] * 5 + [[]] * 6)[0]) == [D] * 5 + [N] * 6


def test_after_a_cut_the_other_face_is_followed_from_the_first_row_on():
    frames = [[face(0.3)]] * 20 + [[face(1.2, side=0.35)]] * 30
    (places,) = follow(frames)
    assert codes(places) == [D] * 50
    assert centres(places) == [0.3] * 20 + [1.2] * 30


def test_while_the_subject_is_covered_a_bystander_is_not_taken_for_it():
    frames = [([] if 20 <= row < 28 else [face(0.4)]) + [face(1.2, side=0.2)] for row in range(60)]
    (places,) = follow(frames)
    assert codes(places) == [D] * 20 + [T] * 8 + [D] * 32
    assert set(centres(places)) == {0.4}


def test_unsure_faces_are_not_taken_up_but_followed_on():
    unsure = [[0.75]] * 20
    assert codes(follow([[face(0.4)]] * 20, scores=unsure)[0]) == [N] * 20
    late = [[0.99]] * 5 + [[0.75]] * 15
    assert codes(follow([[face(0.4)]] * 20, scores=late)[0]) == [D] * 20


def test_left_and_right_are_kept_apart_as_seen_in_the_image():
    frames = [[face(1.1), face(0.4, side=0.25)] for _ in range(30)]
    left, right = follow(frames, sides=("left", "right"))
    assert set(centres(left)) == {0.4}
    assert set(centres(right)) == {1.1}


def test_who_is_alone_belongs_to_one_side_only():
    frames = [[face(1.1), face(0.4)] if row < 20 else [face(1.1)] for row in range(80)]
    left, right = follow(frames, sides=("left", "right"))
    assert codes(left) == [D] * 20 + [N] * 60
    assert set(centres(right)) == {1.1}
    left, right = follow([[face(0.4)]] * 40, sides=("left", "right"))
    assert codes(left) == [D] * 40
    assert codes(right) == [N] * 40


def test_each_side_is_the_same_whether_the_third_is_small_or_absent():
    pair = [[face(1.1), face(0.4)]] * 30
    crowd = [[face(0.8, side=0.15), *faces] for faces in pair]
    for two, three in zip(
        follow(pair, sides=("left", "right")), follow(crowd, sides=("left", "right")), strict=True
    ):
        assert centres(two) == centres(three)


def test_at_one_frame_per_second_the_largest_is_followed():
    frames = [[face(0.4), face(1.2, side=0.2)]] * 10
    (places,) = follow(frames, patience=3.0, fps=1.0)
    assert codes(places) == [D] * 10
    assert set(centres(places)) == {0.4}


def test_rows_tell_whether_the_face_was_detected_or_tracked():
    (places,) = follow([[face(0.4)]] * 7, searched={0, 3, 6})
    assert codes(places) == [D, T, T, D, T, T, D]


def test_no_gap_is_bridged_across_a_cut():
    frames = [[face(0.3)]] * 10 + [[]] * 5 + [[face(0.3)]] * 10
    assert codes(follow(frames, cuts=(10, 15))[0]) == [D] * 10 + [N] * 5 + [D] * 10
    assert codes(follow(frames, cuts=(12,))[0]) == [D] * 10 + [N] * 5 + [D] * 10


def test_after_a_cut_the_largest_face_is_followed_at_once():
    frames = [[face(0.4)]] * 10 + [[face(1.1, side=0.2), face(0.9, side=0.35)]] * 10
    (places,) = follow(frames, cuts=(10,))
    assert centres(places) == [0.4] * 10 + [0.9] * 10


def test_one_who_is_seen_on_at_the_same_place_after_a_flash_is_followed_on():
    frames = [[face(0.4)]] * 10 + [[face(0.4), face(1.1, side=0.35)]] * 10
    assert set(centres(follow(frames, cuts=(10,))[0])) == {0.4}


def test_what_belongs_to_one_movement_has_one_path():
    frames = [[face(0.3)]] * 5 + [[]] * 20 + [[face(1.2)]] * 10
    (places,) = follow(frames, cuts=(30,))
    first, second, third = places[0].path, places[25].path, places[30].path
    assert len({first, second, third}) == 3
    assert [p.path for p in places] == [first] * 5 + [None] * 20 + [second] * 5 + [third] * 5


boxes = st.lists(
    st.builds(face, st.floats(0, 1.6), st.floats(0, 1), st.floats(0.05, 0.6)), max_size=4
)


@settings(max_examples=100, deadline=None)
@given(frames=st.lists(boxes, max_size=60), sided=st.booleans())
def test_every_row_gets_one_place_in_order_whatever_is_seen(frames, sided):
    places = follow(frames, sides=("left", "right") if sided else (None,))
    for row, faces in enumerate(frames):
        for mine in places:
            if mine[row].code == D:
                assert any(np.array_equal(mine[row].box[:4], box) for box in faces)
