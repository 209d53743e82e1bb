import numpy as np
import pytest

from vapipe.cache import Valid
from vapipe.extract.faces.follow import FaceRow
from vapipe.extract.faces.smooth import Smoother


def smooth(boxes, times, *, width=0.04, paths=None):
    """The boxes after smoothing; None where there is none."""
    smoother = Smoother(width=width)
    done = []
    for row, (box, time) in enumerate(zip(boxes, times, strict=True)):
        path = None if box is None else (0, 0) if paths is None else paths[row]
        code = Valid.NO_FACE if box is None else Valid.DETECTED
        done += smoother.push(FaceRow(row, box, code, path), time)
    done += smoother.finish()
    assert [place.row for place in done] == list(range(len(boxes)))
    assert [place.box is None for place in done] == [box is None for box in boxes]
    return [place.box for place in done]


def moving(times):
    return [np.array([t, 0.1 - t / 3, t + 0.5, 0.6]) for t in times]


@pytest.mark.parametrize("fps", [1.0, 25.0, 240.0])
def test_a_steady_movement_stays_as_it_is(fps):
    times = np.arange(40) / fps
    boxes = [np.array([x, 0.1 - x / 3, x + 0.5, 0.6]) for x in 0.01 * np.arange(40)]
    np.testing.assert_allclose(smooth(boxes, times), boxes, atol=1e-12)


def test_at_variable_rate_too():
    times = np.cumsum(np.random.default_rng(0).uniform(0.013, 0.042, 60))
    np.testing.assert_allclose(smooth(moving(times), times), moving(times), atol=1e-12)


def test_it_is_the_least_squares_line_through_the_neighbours():
    times = np.arange(5) * 0.04
    boxes = [np.array([x, 0.0, x + 1, 1]) for x in (0.0, 0.02, -0.01, 0.05, 0.03)]
    weights = np.exp(-(((times - 0.08) / 0.04) ** 2) / 2)
    line = np.polyfit(times, [box[0] for box in boxes], 1, w=np.sqrt(weights))
    assert smooth(boxes, times)[2][0] == pytest.approx(np.polyval(line, 0.08), abs=1e-12)


def test_jitter_falls_to_about_half():
    times = np.arange(400) / 25
    noise = np.random.default_rng(1).normal(0, 0.01, (400, 4))
    boxes = np.array([0.2, 0.1, 0.7, 0.6]) + noise
    assert np.std(np.array(smooth(list(boxes), times)) - [0.2, 0.1, 0.7, 0.6]) < 0.0065


def test_nothing_is_smoothed_across_cuts_gaps_and_jumps():
    times = np.arange(20) / 25
    here, there = np.array([0.1, 0.1, 0.6, 0.6]), np.array([0.2, 0.2, 0.7, 0.7])
    far = np.array([0.9, 0.1, 1.4, 0.6])
    cut = [here] * 10 + [there] * 10
    paths = [(0, 0)] * 10 + [(0, 1)] * 10
    np.testing.assert_allclose(smooth(cut, times, paths=paths), cut, atol=1e-12)
    jump = [here] * 10 + [far] * 10
    np.testing.assert_allclose(smooth(jump, times), jump, atol=1e-12)
    gap = smooth([here] * 9 + [None] + [there] * 10, times)
    np.testing.assert_allclose(gap[8], here, atol=1e-12)
    np.testing.assert_allclose(gap[10], there, atol=1e-12)


def test_a_width_of_zero_changes_nothing():
    boxes = list(np.random.default_rng(2).uniform((0, 0, 0.5, 0.5), (0.2, 0.2, 0.7, 0.7), (30, 4)))
    np.testing.assert_array_equal(smooth(boxes, np.arange(30) / 25, width=0), boxes)


def test_equal_times_do_no_harm():
    boxes = [np.array([x, 0, x + 1, 1.0]) for x in (0.0, 0.1, 0.2)]
    for box in smooth(boxes, [1.0, 1.0, 1.0]):
        np.testing.assert_allclose(box, boxes[1])


def test_few_rows_wait_however_many_there_are_per_second():
    smoother = Smoother(width=1.0)
    box = np.array([0.1, 0.1, 0.6, 0.6])
    out = 0
    for row in range(100):
        out += len(list(smoother.push(FaceRow(row, box, Valid.DETECTED, (0, 0)), row / 240)))
        assert row + 1 - out <= 16
