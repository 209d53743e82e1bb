"""`evaluate`, `predict` and `submit` mean the same by an ensemble; labels serve to judge only."""

import csv
import json
import shutil

import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from terminal import vapipe_

ROWS = 40
KINDS = ("mean", "ccc", "best", "fitted")


def columns(path, count):
    """Valence and arousal of a CSV with one line of headings: [count, 2]."""
    with path.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert len(rows) == count
    return np.array([[row["valence"], row["arousal"]] for row in rows], float)


@pytest.fixture(scope="module")
def with_test(videos, cache, tmp_path_factory):
    """The cache with a further clip, `c`, in the test partition and without annotation."""
    folder = tmp_path_factory.mktemp("with-test")
    shutil.copytree(cache, folder / "cache")
    shutil.copytree(videos, folder / "videos")
    clip = folder / "videos" / "c.mp4"
    write_clip(clip, times=constant_times(PAL, ROWS), sound=Sound())
    (folder / "videos/split.csv").write_text("video,partition\nc,test\n")
    words = ("extract", "--videos", folder / "videos", "--cache", folder / "cache")
    assert vapipe_(*words, "--faces", "frame", "--jobs", 1).exit_code == 0
    return folder / "cache"


@pytest.fixture(scope="module")
def runs(runs, cache, tmp_path_factory):
    """The runs `one` and `two`, trained until their predictions rise with the annotation."""
    folder = tmp_path_factory.mktemp("skilled")
    for seed, name in enumerate(("one", "two")):
        words = ("fit", "--config", runs / name / "config.json", "--cache", cache, "--seed", seed)
        longer = ("--set", "epochs=60", "--set", "learning_rate=0.01", "--set", "patience=60")
        result = vapipe_(*words, *longer, "--run", folder / name)
        assert result.exit_code == 0, result.output
        scores = json.loads((folder / name / "evaluation-validation.json").read_text())["ccc"]
        assert min(scores.values()) > 0.1
    return folder


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("width", [0, 0.2])
def test_the_three_commands_give_the_same_frames(cache, runs, tmp_path, how, width):
    pair, options = (runs / "one", runs / "two"), ("--ensemble", how, "--smooth", width)
    evaluated = vapipe_("evaluate", *pair, "--cache", cache, *options, "--out", tmp_path / "e")
    assert evaluated.exit_code == 0, evaluated.output
    predicted = vapipe_(
        "predict", pair[0], "--with", pair[1], "--cache", cache, *options, "--out", tmp_path / "p"
    )
    assert predicted.exit_code == 0, predicted.output
    rows = "".join(f"b/{n:05d}.jpg,0,0\n" for n in range(1, ROWS + 1))
    (tmp_path / "sample.txt").write_text(f"image_location,valence,arousal\n{rows}")
    out = tmp_path / "s.txt"
    submitted = vapipe_(
        "submit", *pair, "--cache", cache, *options,
        "--sample", tmp_path / "sample.txt", "--out", out,
    )  # fmt: skip
    assert submitted.exit_code == 0, submitted.output
    expected = columns(tmp_path / f"e/ensemble-{how}/predictions/validation/b.csv", ROWS)
    assert np.array_equal(columns(tmp_path / "p/b.csv", ROWS), expected)
    assert np.array_equal(columns(out, ROWS), np.clip(expected, -1, 1))
    record = json.loads((tmp_path / f"e/ensemble-{how}/evaluation-validation.json").read_text())
    for result in (evaluated, predicted, submitted):
        lines = result.stdout.splitlines()
        top = next(i for i, line in enumerate(lines) if line.startswith("shares "))
        for line, (name, own) in zip(
            lines[top + 1 : top + 3], record["ensemble"]["weights"].items(), strict=True
        ):
            assert line.split() == [name, *(f"{own[t]:.3f}" for t in ("valence", "arousal"))]


def test_the_best_run_of_each_target_is_that_of_the_records(cache, runs, tmp_path):
    pair = (runs / "one", runs / "two")
    words = ("predict", pair[0], "--with", pair[1], "--ensemble", "best", "--cache", cache)
    assert vapipe_(*words, "--out", tmp_path).exit_code == 0
    for column, target in enumerate(("valence", "arousal")):
        winner = max(
            pair,
            key=lambda r: json.loads((r / "evaluation-validation.json").read_text())["ccc"][target],
        )
        recorded = columns(winner / "predictions/validation/b.csv", ROWS)
        assert np.array_equal(columns(tmp_path / "b.csv", ROWS)[:, column], recorded[:, column])


def test_a_test_split_without_labels_is_predicted_and_submitted(with_test, runs, tmp_path):
    pair, options = (runs / "one", runs / "two"), ("--cache", with_test, "--ensemble", "fitted")
    words = ("predict", pair[0], "--with", pair[1], *options, "--partition", "test")
    result = vapipe_(*words, "--out", tmp_path / "p")
    assert result.exit_code == 0, result.output
    assert [path.name for path in (tmp_path / "p").glob("*.csv")] == ["c.csv"]
    rows = "".join(f"c/{n:05d}.jpg,0,0\n" for n in range(1, ROWS + 1))
    (tmp_path / "sample.txt").write_text(f"image_location,valence,arousal\n{rows}")
    sample = ("--sample", tmp_path / "sample.txt", "--out", tmp_path / "s.txt")
    assert vapipe_("submit", *pair, *options, *sample).exit_code == 0
    predicted = columns(tmp_path / "p/c.csv", ROWS)
    assert np.array_equal(columns(tmp_path / "s.txt", ROWS), np.clip(predicted, -1, 1))
    judged = vapipe_("evaluate", *pair, "--cache", with_test, "--partition", "test")
    assert judged.exit_code == 1
    assert "of the 1 test video in" in judged.stderr
    assert "`vapipe predict` and `vapipe submit` need no annotation" in judged.stderr


def test_new_clips_are_mixed_with_the_shares_of_the_validation_videos(videos, runs, tmp_path):
    words = ("predict", runs / "one", videos / "a.mp4", "--with", runs / "two", "--out", tmp_path)
    result = vapipe_(*words, "--ensemble", "fitted")
    assert result.exit_code == 0, result.output
    assert "\nshares " in result.stdout
    assert len(columns(tmp_path / "a.csv", ROWS)) == ROWS


def test_what_cannot_be_is_said_before_anything_is_extracted(videos, runs, tmp_path):
    words = ("predict", runs / "one", videos / "a.mp4", "--out", tmp_path / "out")
    for options, code, message in (
        (("--smooth", -1), 1, "smoothing takes a width in seconds, 0 or more; got -1"),
        (("--ensemble", "median"), 2, "'median' is not one of"),
        (("--partition", "test"), 2, "--partition for items of the cache, not both"),
    ):
        result = vapipe_(*words, *options)
        assert result.exit_code == code
        assert message in result.stderr
        assert "extracted" not in result.stdout


def test_an_empty_partition_is_said(cache, runs):
    result = vapipe_("predict", runs / "one", "--cache", cache, "--partition", "test")
    assert result.exit_code == 1
    assert "is in the partition `test`; there are: 1 in train, 1 in validation" in result.stderr
