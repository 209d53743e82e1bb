"""Annotations as people have them are taken right, or refused with what to type next."""

import numpy as np
import pytest
from annotation_files import OPTIONS, RIGHT, ROWS, TIMELINE, WRONG, arousal, rows_only, valence
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import LabelError
from vapipe.cache.labels import interpolate
from vapipe.extract.annotations.item import read_labels
from vapipe.extract.annotations.reading import Reading
from vapipe.extract.dataset import find_dataset


def read(tmp_path, files, options, timeline=TIMELINE):
    (tmp_path / "clip.mp4").touch()
    for name, content in files.items():
        path = tmp_path / "labels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = find_dataset(tmp_path, reading=Reading.parse(**options))
    return read_labels(found.annotations["clip"], found.reader, timeline, 0.0)


@pytest.mark.parametrize("name", RIGHT)
def test_an_annotation_is_taken_right(tmp_path, name):
    labels = read(tmp_path, RIGHT[name], OPTIONS.get(name, {}))
    assert labels.targets == ("valence", "arousal")
    wanted = np.stack([valence(TIMELINE.pts), arousal(TIMELINE.pts)], axis=1)
    known = np.isfinite(labels.values)
    assert known[: ROWS - 12].all()  # of slow clocks and delays the very end may be held or open
    held = slice(0, ROWS - 12)
    assert np.abs(labels.values - wanted)[held].max() < 0.02
    assert np.nanmax(np.abs(labels.values - wanted)) < 0.25


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_right_is_refused_with_what_to_type(tmp_path, name):
    files, options, message = WRONG[name]
    with pytest.raises(LabelError, match=f"(?s){message}"):
        read(tmp_path, files, options)


def test_the_table_is_long_enough():
    assert len(RIGHT) + len(WRONG) >= 40


@pytest.mark.parametrize("blank", ["", "NA", "nan", "?", "-"])
def test_cells_without_a_number_are_not_annotated(tmp_path, blank):
    rows = rows_only().splitlines()
    rows[11] = f"{blank},0.5"
    labels = read(tmp_path, {"clip.csv": "\n".join(rows)}, {})
    assert np.isnan(labels.values[10, 0])
    assert labels.values[10, 1] == 0.5
    assert np.isfinite(labels.values).sum() == 2 * ROWS - 1


def test_minus_five_masks_both_columns_and_no_row_moves(tmp_path):
    rows = rows_only().splitlines()
    rows[2], rows[3] = "-5,0.3", "0.4,-5.0"
    labels = read(tmp_path, {"clip.csv": "\n".join(rows)}, {})
    assert np.flatnonzero(np.isnan(labels.values).all(axis=1)).tolist() == [1, 2]
    assert np.isfinite(labels.values).sum() == 2 * (ROWS - 2)


def test_other_marks_of_missing_values_are_named(tmp_path):
    text = rows_only().replace("0.000000,0.600000", "-99,0.6")
    labels = read(tmp_path, {"clip.csv": text}, {"missing": -99})
    assert np.isnan(labels.values[0, 0])
    assert labels.values[0, 1] == np.float32(0.6)


def test_minus_five_is_a_value_of_other_scales(tmp_path):
    labels = read(
        tmp_path, {"clip.csv": "valence,arousal\n" + "-5,5\n" * ROWS}, {"scale": "-10..10"}
    )
    assert (labels.values == [-0.5, 0.5]).all()


def test_a_missing_numbered_frame_is_not_annotated(tmp_path):
    rows = [f"{n},0.1,0.2\n" for n in range(ROWS) if n not in (7, 30, 31, 32)]
    labels = read(tmp_path, {"clip.csv": "frame,valence,arousal\n" + "".join(rows)}, {})
    assert np.flatnonzero(np.isnan(labels.values[:, 0])).tolist() == [7, 30, 31, 32]


def test_values_hold_over_intervals_and_whole_clips(tmp_path):
    text = "start,end,valence,arousal\n0,1,0.1,0.2\n2,3,-0.3,0.4\n"
    labels = read(tmp_path, {"clip.csv": text}, {})
    assert (labels.values[:25] == np.float32([0.1, 0.2])).all()
    assert np.isnan(labels.values[25:50]).all()
    assert (labels.values[50:75] == np.float32([-0.3, 0.4])).all()
    assert np.isnan(labels.values[75:]).all()


def test_nearest_takes_values_that_stand_in_the_file(tmp_path):
    text = "time,valence,arousal\n" + "".join(f"{n / 5},{n % 2},0\n" for n in range(21))
    for how, between in (("linear", True), ("nearest", False)):
        labels = read(tmp_path, {"clip.csv": text}, {"interpolation": how})
        assert bool(set(labels.values[:, 0]) - {0, 1}) is between


def test_several_annotators_agree_and_weigh(tmp_path):
    rng = np.random.default_rng(0)
    noise = rng.uniform(-1, 1, ROWS)
    signals = {"a1": valence(TIMELINE.pts), "a2": valence(TIMELINE.pts) * 0.9, "a3": noise}
    files = {
        f"clip_{name}.csv": "valence\n" + "".join(f"{v:.6f}\n" for v in own)
        for name, own in signals.items()
    }
    mean = read(tmp_path, files, {"annotators": "mean"})
    assert np.allclose(mean.values[:, 0], np.mean(list(signals.values()), axis=0), atol=1e-5)
    ewe = read(tmp_path, files, {"annotators": "ewe"})
    weights = ewe.facts["weights"]["valence"]
    assert weights["a1"] > 2 * weights["a3"]
    truth = valence(TIMELINE.pts)
    assert np.abs(ewe.values[:, 0] - truth).mean() < np.abs(mean.values[:, 0] - truth).mean()
    agreement = ewe.facts["agreement"]["valence"]
    assert agreement["a1/a2"] > 0.98
    assert abs(agreement["a1/a3"]) < 0.4


@given(
    hertz=st.floats(3, 60),
    fps=st.sampled_from([12.5, 23.976, 25.0, 29.97, 50.0]),
    jitter=st.floats(0, 0.4),
    offset=st.floats(0, 0.05),
    seed=st.integers(0, 2**32 - 1),
    holes=st.integers(0, 3),
)
def test_a_smooth_signal_comes_back_at_the_frames(hertz, fps, jitter, offset, seed, holes):
    """Within the error of a line, h^2 / 8 times the curvature, or of a held value at the ends."""
    rng = np.random.default_rng(seed)
    times = offset + (np.arange(round(20 * hertz)) + rng.uniform(-jitter, jitter)) / hertz
    times = np.sort(times[times >= 0])
    for start in rng.uniform(0, 18, holes):
        times = times[(times < start) | (times > start + 1.5)]
    at = np.arange(round(20 * fps)) / fps
    rate, amplitude = 1.7, 0.8
    signal = amplitude * np.sin(rate * times)
    step = np.median(np.diff(times))
    found = interpolate(times, signal, at, gap=3 * step, reach=step)
    error = np.abs(found - amplitude * np.sin(rate * at))
    above = np.clip(np.searchsorted(times, at), 1, len(times) - 1)
    apart = times[above] - times[above - 1]
    inside = (times[above - 1] <= at) & (at <= times[above]) & (apart <= 3 * step)
    assert np.isfinite(found[inside]).all()
    assert (error[inside] <= apart[inside] ** 2 / 8 * amplitude * rate**2 + 1e-9).all()
    held = ~inside & np.isfinite(found)
    assert (error[held] <= step * amplitude * rate + 1e-9).all()
    nearest = np.abs(at[:, None] - times).min(axis=1)
    assert np.isnan(found[~inside & (nearest > step + 1e-6)]).all()


@given(rows=st.integers(20, 60), known=st.lists(st.booleans(), min_size=60, max_size=60))
def test_frames_are_where_they_were(rows, known):
    """A row per frame stays exactly itself, whatever is not annotated around it."""
    values = np.where(known[:rows], np.arange(rows) / 100, np.nan)
    x = np.arange(rows, dtype=float)
    assert np.array_equal(interpolate(x, values, x, gap=1.5, reach=0.5), values, equal_nan=True)
