import itertools

import numpy as np
import pytest

from vapipe.extract.faces import finder
from vapipe.extract.faces.boxes import overlap
from vapipe.extract.faces.detector import FaceDetector
from vapipe.extract.faces.finder import FaceFinder
from vapipe.extract.media.frames import Frame

FPS = 25.0


@pytest.fixture(scope="module")
def detector():
    return FaceDetector(min_face=30, thresholds=(0.6, 0.7, 0.7), device="cpu")


@pytest.fixture(scope="module")
def drawn(portrait):
    """Makes an image [120, width, 3] with the portrait at a place, or without one."""

    def draw(x=None, grey=60, width=240):
        image = np.full((120, width, 3), grey, np.uint8)
        if x is not None:
            image[:, x : x + 120] = portrait
        return image

    return draw


def find(detector, images, *, every=5):
    finder = FaceFinder(detector, every=every, track_score=0.7, acquire=0.9)
    seen = []
    for row, image in enumerate(images):
        seen += finder.push(Frame(row, image, image), row / FPS)
    seen += finder.finish()
    assert [s.row for s in seen] == list(range(len(images)))
    return seen


def found(seen):
    """Whether one face was found, per row."""
    assert all(len(s.faces.boxes) <= 1 for s in seen)
    return [len(s.faces.boxes) == 1 for s in seen]


def searched(seen):
    return [s.row for s in seen if s.detected]


def test_tracked_boxes_follow_a_known_path_at_a_fifth_of_the_searches(detector, drawn):
    path = [round(60 + 50 * np.sin(row / 8)) for row in range(51)]
    seen = find(detector, [drawn(x) for x in path])
    assert all(found(seen))
    assert set(range(0, 51, 5)) <= set(searched(seen))
    assert len(searched(seen)) <= 14  # at turning points the face may be off the straight line
    still = detector.detect([drawn(60)])[0].boxes[0]
    for x, s in zip(path, seen, strict=True):
        true = still + np.tile([(x - 60) / 120, 0], 7)
        assert overlap(s.faces.boxes[0], true) > 0.8
        # Landmarks go along with the box.
        assert np.abs(s.faces.boxes[0] - true)[4:].max() < 0.05


def test_every_1_is_detection_on_every_frame(detector, drawn):
    images = [drawn(10 * row) for row in range(8)]
    seen = find(detector, images, every=1)
    assert searched(seen) == list(range(8))
    for image, s in zip(images, seen, strict=True):
        alone = detector.detect([image])[0]
        np.testing.assert_allclose(s.faces.boxes, alone.boxes, atol=1e-5)
        np.testing.assert_allclose(s.faces.scores, alone.scores, atol=1e-5)


@pytest.mark.parametrize("cut", [11, 12, 13, 14, 15, 16])
def test_a_cut_is_respected_to_the_frame(detector, drawn, cut):
    images = [drawn(0)] * cut + [drawn(120, grey=200)] * (26 - cut)
    seen = find(detector, images)
    assert all(found(seen))
    for s in seen:
        left, right = s.faces.boxes[0][[0, 2]]
        assert (left + right) / 2 < 1 if s.row < cut else (left + right) / 2 > 1
    assert [s.shot for s in seen] == [0] * cut + [1] * (26 - cut)
    assert {cut - 1, cut} <= set(searched(seen))


def test_a_shot_between_two_searches_is_seen(detector, drawn):
    images = [drawn(60)] * 6 + [drawn(None, grey=250)] * 2 + [drawn(60)] * 8
    seen = find(detector, images)
    assert found(seen) == [True] * 6 + [False] * 2 + [True] * 8
    assert seen[-1].shot == 2


@pytest.mark.parametrize("gone", [11, 12, 13, 14, 15])
def test_a_face_that_vanishes_or_appears_between_searches_does_so_at_its_row(detector, drawn, gone):
    dim = [drawn(60, width=360) // 2] * gone  # too little changes for a cut
    empty = [drawn(None, width=360) // 2] * (26 - gone)
    seen = find(detector, dim + empty)
    assert found(seen) == [True] * gone + [False] * (26 - gone)
    assert seen[-1].shot == 0
    back = find(detector, empty + dim)
    assert found(back) == [False] * (26 - gone) + [True] * gone


def test_a_face_covered_between_two_searches_is_not_made_up(detector, drawn):
    face, empty = drawn(60, width=360) // 2, drawn(None, width=360) // 2
    seen = find(detector, [face] * 12 + [empty] + [face] * 8)
    assert found(seen) == [True] * 12 + [False] + [True] * 8
    assert 12 in searched(seen)


def test_rows_do_not_depend_on_what_comes_after_the_next_search(detector, drawn):
    images = [drawn(3 * row) for row in range(24)]
    whole = find(detector, images)
    for length in (11, 14):
        for a, b in zip(find(detector, images[:length])[:11], whole, strict=False):
            np.testing.assert_allclose(a.faces.boxes, b.faces.boxes, atol=1e-5)
            assert a.detected == b.detected


def test_the_same_bits_every_time(detector, drawn):
    images = [drawn(5 * row) for row in range(12)]
    for a, b in zip(find(detector, images), find(detector, images), strict=True):
        np.testing.assert_array_equal(a.faces.boxes, b.faces.boxes)
        np.testing.assert_array_equal(a.faces.scores, b.faces.scores)


def test_rows_without_a_picture_have_no_face_and_stop_nothing(detector, drawn):
    images = [drawn(60)] * 3 + [None] * 4 + [drawn(60)] * 5 + [None]
    seen = find(detector, images)
    assert found(seen) == [True] * 3 + [False] * 4 + [True] * 5 + [False]
    assert found(find(detector, [None] * 7)) == [False] * 7
    assert find(detector, []) == []
    assert found(find(detector, [drawn(60)])) == [True]


def test_a_picture_of_another_size_is_another_shot(detector, drawn):
    seen = find(detector, [drawn(60)] * 7 + [drawn(60)[:, 40:200]] * 7)
    assert [s.shot for s in seen] == [0] * 7 + [1] * 7
    assert all(found(seen))


def test_images_too_small_for_a_face_have_none(detector):
    assert len(detector.detect([np.zeros((20, 200, 3), np.uint8)])[0].boxes) == 0


def test_a_second_look_finds_the_face_near_the_place_expected(detector, drawn):
    image = drawn(60)
    true = detector.detect([image])[0]
    moved = true.boxes[0][:4] + np.array([0.04, -0.03, 0.04, -0.03])
    again = detector.refine([image, image], [moved, np.array([0.0, 0.2, 0.4, 0.6])])
    assert overlap(again.boxes[0], true.boxes[0]) > 0.85
    assert np.abs(again.boxes[0] - true.boxes[0])[4:].max() < 0.03
    assert again.scores[0] > 0.95
    assert again.scores[1] < 0.5


def test_a_second_look_outside_the_image_finds_nothing(detector, drawn):
    away = np.array([5.0, 5.0, 5.4, 5.4])
    assert detector.refine([drawn(60)], [away]).scores[0] < 0.7


def test_how_many_pictures_are_searched_together_changes_nothing(detector, drawn, monkeypatch):
    path = [round(60 + 50 * np.sin(row / 6)) for row in range(47)]
    images = [drawn(x) for x in path[:20]] + [drawn(None)] * 9 + [drawn(x, grey=90) for x in path]
    together = find(detector, images)
    assert not all(found(together))
    monkeypatch.setattr(finder, "_SEARCHED", 1)
    for a, b in zip(find(detector, images), together, strict=True):
        np.testing.assert_allclose(a.faces.boxes, b.faces.boxes, atol=1e-4)
        assert (a.detected, a.shot) == (b.detected, b.shot)


@pytest.mark.parametrize("gone", [11, 14, 18])
def test_a_face_that_vanishes_or_appears_costs_one_search(detector, drawn, gone):
    face, empty = drawn(60, width=360) // 2, drawn(None, width=360) // 2
    for images in ([face] * gone + [empty] * (31 - gone), [empty] * gone + [face] * (31 - gone)):
        seen = find(detector, images, every=10)
        assert len(searched(seen)) <= 4 + 1
        assert sum(a != b for a, b in itertools.pairwise(found(seen))) == 1


def test_a_face_that_leaves_its_line_is_followed_without_a_search(detector, drawn):
    path = [min(6 * row, 60) for row in range(17)] + [60 - 5 * row for row in range(1, 5)]
    images = [drawn(x, width=360) // 3 for x in path]  # too little changes for a cut
    seen = find(detector, images, every=20)
    assert all(found(seen))
    assert searched(seen) == [0, 20]
    still = detector.detect(images[:1])[0].boxes[0]
    for x, s in zip(path, seen, strict=True):
        assert overlap(s.faces.boxes[0], still + np.tile([x / 120, 0], 7)) > 0.75
