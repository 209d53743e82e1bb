"""`vapipe submit` writes what the organisers' sample file asks for, or says which video misfits."""

import csv

import numpy as np
import pytest
from terminal import vapipe_

ROWS = 40


def sample_of(path, lengths):
    """A sample file: video -> number of rows, in order."""
    rows = [f"{video}/{n:05d}.jpg,0,0" for video, count in lengths for n in range(1, count + 1)]
    path.write_text("\n".join(["image_location,valence,arousal", *rows]) + "\n")
    return path


@pytest.fixture
def submit(cache, runs, tmp_path):
    """Submit for lengths with options; (result, rows of the file or None)."""

    def run(lengths, *words, members=("one",)):
        out = tmp_path / "out.txt"
        sample = sample_of(tmp_path / "sample.txt", lengths)
        paths = [runs / name for name in members]
        options = ("--sample", sample, "--out", out, "--cache", cache)
        result = vapipe_("submit", *paths, *options, *words)
        if not out.exists():
            return result, None
        with out.open(newline="") as handle:
            return result, list(csv.reader(handle))

    return run


def predictions(run, part, video):
    with (run / "predictions" / part / f"{video}.csv").open(newline="") as handle:
        return np.array(list(csv.reader(handle))[1:], float)[:, 2:]


def test_rows_are_those_of_the_sample_in_its_order(submit, runs):
    result, rows = submit([("b", ROWS), ("a", ROWS)])
    assert result.exit_code == 0, result.output
    assert rows[0] == ["image_location", "valence", "arousal"]
    names = [f"{video}/{n:05d}.jpg" for video in "ba" for n in range(1, ROWS + 1)]
    assert [row[0] for row in rows[1:]] == names
    values = np.array([row[1:] for row in rows[1 : ROWS + 1]], float)
    assert np.allclose(values, predictions(runs / "one", "validation", "b"), atol=1e-6)
    assert "80 rows of 2 videos, 0 values clipped to [-1, 1]" in result.stdout


def test_several_runs_give_their_mean(submit, runs):
    rows = submit([("b", ROWS)], members=("one", "two"))[1]
    each = [predictions(runs / name, "validation", "b") for name in ("one", "two")]
    assert np.allclose(np.array([row[1:] for row in rows[1:]], float), sum(each) / 2, atol=2e-6)


def test_every_run_and_their_ensemble_are_written_at_once(cache, runs, tmp_path):
    rows = "".join(f"b/{n:05d}.jpg,\n" for n in range(1, ROWS + 1))
    sample, out = tmp_path / "sample.txt", tmp_path / "day"
    sample.write_text(f"image_location,valence,arousal\n{rows}")
    words = ("submit", runs / "one", runs / "two", "--sample", sample, "--cache", cache)
    assert vapipe_(*words, "--out", out, "--each").exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "ensemble-mean.txt",
        "one.txt",
        "two.txt",
    ]
    values = {
        p.stem: np.loadtxt(p, delimiter=",", skiprows=1, usecols=(1, 2)) for p in out.iterdir()
    }
    for name in ("one", "two"):
        expected = predictions(runs / name, "validation", "b")
        assert np.allclose(values[name], np.clip(expected, -1, 1), atol=1e-6)
    assert np.allclose(values["ensemble-mean"], (values["one"] + values["two"]) / 2, atol=2e-6)
    assert vapipe_(*words, "--out", out, "--each").exit_code == 1


@pytest.mark.parametrize(
    ("count", "words"), [(ROWS + 1, []), (ROWS - 1, []), (ROWS - 1, ["--pad", "last"])]
)
def test_a_row_too_many_or_too_few_is_refused_with_the_video_named(submit, count, words):
    result, rows = submit([("a", ROWS), ("b", count)], *words)
    assert result.exit_code == 1
    assert rows is None
    assert f"b ({count} rows for 40 frames, {count - ROWS:+d})" in result.stderr
    assert "a (" not in result.stderr


def test_surplus_rows_hold_the_last_prediction_where_asked(submit):
    result, rows = submit([("a", ROWS), ("b", ROWS + 2)], "--pad", "last")
    assert result.exit_code == 0
    assert [row[0] for row in rows[-3:]] == ["b/00040.jpg", "b/00041.jpg", "b/00042.jpg"]
    assert rows[-3][1:] == rows[-2][1:] == rows[-1][1:] != rows[-4][1:]
    assert "b: 2 rows after frame 40: its prediction again" in result.stdout


def test_the_last_frames_are_left_out_where_asked(submit):
    result, rows = submit([("b", ROWS - 2)], "--cut", "last")
    assert len(rows) == ROWS - 1
    assert "b: left out: the last 2 of 40 frames" in result.stdout
    assert "not in the sample file: 1 other item of" in result.stdout


def test_nothing_is_overwritten(submit, tmp_path):
    (tmp_path / "out.txt").write_text("mine")
    result, _ = submit([("b", ROWS)])
    assert result.exit_code == 1
    assert "out.txt exists; name a new file for the submission" in result.stderr
    assert (tmp_path / "out.txt").read_text() == "mine"


def test_frames_that_the_sample_skips_are_told(cache, runs, tmp_path):
    sample = tmp_path / "sample.txt"
    numbers = [1, 3, *range(4, ROWS + 1)]
    lines = [f"b/{n:05d}.jpg,0,0" for n in numbers]
    sample.write_text("\n".join(["image_location,valence,arousal", *lines]))
    words = ("submit", runs / "one", "--cache", cache, "--sample", sample)
    result = vapipe_(*words, "--out", tmp_path / "out.txt")
    assert "b: the sample skips 1 frame" in result.stdout
    assert len((tmp_path / "out.txt").read_text().splitlines()) == ROWS
