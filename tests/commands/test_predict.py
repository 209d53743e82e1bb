"""`vapipe predict` gives new videos the features of training, or none."""

import csv
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from children import Child
from clips import PAL, Sound, constant_times, variable_times, write_clip
from PIL import Image
from terminal import vapipe_

from vapipe.cache import FeatureStore
from vapipe.extract.media.probe import probe
from vapipe.extract.spec import EncoderSpec

REAL = Path(__file__).resolve().parents[3] / "shared" / "media"


def table(path):
    """Header and [T, 4] of a CSV."""
    with path.open(newline="") as handle:
        header, *rows = csv.reader(handle)
    return header, np.array([row[:4] for row in rows], float)


def same(file, record):
    """Whether a CSV begins every line as that of the fit does, which does not say what it saw."""
    lines = [each.read_text().splitlines() for each in (file, record)]
    return all(a.startswith(f"{b},") for a, b in zip(*lines, strict=True))


def copy_run(run, target, change):
    """A copy of a run whose streams in cache.json went through `change`."""
    shutil.copytree(run, target)
    record = json.loads((target / "cache.json").read_text())
    for facts in record["streams"].values():
        change(facts)
    (target / "cache.json").write_text(json.dumps(record))
    return target


def test_a_clip_gets_the_very_predictions_of_the_fit(videos, runs, tmp_path):
    result = vapipe_("predict", runs / "one", videos / "b.mp4", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "streams: onet, logmel (as in training)" in result.stdout
    recorded = runs / "one" / "predictions" / "validation" / "b.csv"
    assert same(tmp_path / "b.csv", recorded)


def test_every_frame_of_a_variable_rate_is_at_its_time_also_in_the_overlay(runs, tmp_path):
    times = variable_times(70, seed=3, start=0.5)
    clip = write_clip(tmp_path / "own.mp4", times=times, sound=Sound(start=0.1))
    words = ("predict", runs / "one", clip.path, "--out", tmp_path / "out", "--overlay")
    result = vapipe_(*words)
    assert result.exit_code == 0, result.output
    header, rows = table(tmp_path / "out" / "own.csv")
    box = ["face_x", "face_y", "face_width", "face_height"]
    assert header == ["row", "pts", "valence", "arousal", "face", "sound", *box, "track"]
    assert np.array_equal(rows[:, 0], np.arange(70))
    assert np.allclose(rows[:, 1], clip.pts, atol=1e-4)
    assert np.isfinite(rows).all()
    assert str(tmp_path / "out" / "own.mp4") in result.stdout
    assert np.allclose(probe(tmp_path / "out" / "own.mp4").timeline.pts, clip.pts, atol=1e-4)


def test_files_can_be_joined_with_what_they_were_made_of(runs, videos, tmp_path):
    clips = [tmp_path / "in" / name for name in ("my clip (1).mp4", "plain.mp4", "index.mp4")]
    clips[0].parent.mkdir()
    for clip in clips:
        shutil.copy(videos / "b.mp4", clip)
    out = tmp_path / "out"
    for inputs in (clips[:2], clips[1:]):
        assert vapipe_("predict", runs / "voice", *inputs, "--out", out).exit_code == 0
    with (out / "index.tsv").open(newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t"))
    assert {row["input"]: row["item"] for row in rows} == {str(c): c.stem for c in clips}
    assert {row["file"] for row in rows} == {p.name for p in out.iterdir()} - {"index.tsv"}
    (out / "index.tsv").write_text("mine\n")
    refused = vapipe_("predict", runs / "voice", clips[0], "--out", out)
    assert refused.exit_code == 1
    assert "index.tsv lists no predictions; move it" in refused.stderr


@pytest.mark.skipif(not REAL.is_dir(), reason="no real clips here")
def test_a_real_clip_has_one_row_per_frame_at_its_time(runs, tmp_path):
    clip = REAL / "pyfeat_single_face.mp4"
    assert vapipe_("predict", runs / "one", clip, "--out", tmp_path).exit_code == 0
    rows = table(tmp_path / "pyfeat_single_face.csv")[1]
    assert np.allclose(rows[:, 1], probe(clip).timeline.pts, atol=1e-6)


def test_cached_items_get_the_same_as_their_files(cache, runs, tmp_path):
    both = vapipe_("predict", runs / "one", "--cache", cache, "--out", tmp_path / "all")
    assert both.exit_code == 0
    assert sorted(p.name for p in (tmp_path / "all").glob("*.csv")) == ["a.csv", "b.csv"]
    words = ("predict", runs / "one", "--cache", cache, "--video", "b", "--out", tmp_path / "b")
    assert vapipe_(*words).stdout.startswith(f"{tmp_path / 'b' / 'b.csv'}: 40 frames, mean valence")
    recorded = runs / "one" / "predictions" / "validation" / "b.csv"
    assert same(tmp_path / "b" / "b.csv", recorded)
    assert same(tmp_path / "all" / "b.csv", recorded)


def test_several_runs_give_their_mean(cache, runs, tmp_path):
    def predicted(*words):
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        assert vapipe_("predict", *words, "--cache", cache, "--out", out).exit_code == 0
        return table(out / "a.csv")[1][:, 2:]

    one, two = predicted(runs / "one"), predicted(runs / "two")
    mean = predicted(runs / "one", "--with", runs / "two")
    assert np.allclose(mean, (one + two) / 2, atol=2e-6)
    assert not np.allclose(one, two, atol=1e-3)


def test_a_run_named_twice_is_refused(runs):
    result = vapipe_("predict", runs / "one", "--with", runs / "one")
    assert result.exit_code == 1
    assert "given more than once" in result.stderr


def test_an_interrupted_prediction_says_that_its_features_are_lost(videos, runs, tmp_path):
    words = ["predict", runs / "one", videos / "a.mp4", videos / "b.mp4", "--out", tmp_path]
    child = Child(words, tmp_path)
    child.wait_until_said("extracted")
    child.signal(signal.SIGINT)
    result = child.result()
    assert result["code"] == 130, result["said"]
    assert "of 2 videos were done and are lost with the temporary cache" in result["said"]
    assert "--cache DIR" in result["said"]


def test_features_stay_in_a_cache_that_is_named(videos, runs, tmp_path):
    words = (
        "predict",
        runs / "one",
        videos / "a.mp4",
        "--cache",
        tmp_path / "c",
        "--out",
        tmp_path,
    )
    assert "1 video extracted" in vapipe_(*words).stdout
    assert "1 complete before" in vapipe_(*words).stdout
    assert FeatureStore.open(tmp_path / "c").videos() == ["a"]


def test_subjects_that_annotations_name_are_items(videos, runs, tmp_path):
    folder = tmp_path / "data"
    labels = folder / "VA_Estimation_Challenge" / "Train_Set"
    labels.mkdir(parents=True)
    shutil.copy(videos / "a.mp4", folder / "pair.mp4")
    for side in ("left", "right"):
        (labels / f"pair_{side}.txt").write_text("valence,arousal\nnot,read\n")
    result = vapipe_("predict", runs / "one", folder, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert sorted(p.stem for p in (tmp_path / "out").glob("*.csv")) == ["pair_left", "pair_right"]


def test_bad_files_are_listed_and_the_others_predicted(videos, runs, tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    words = ("predict", runs / "one", videos / "a.mp4", tmp_path / "text.mp4")
    result = vapipe_(*words, "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "text.mp4: holds text, not a video" in result.stderr
    assert [p.name for p in (tmp_path / "out").glob("*.csv")] == ["a.csv"]
    result = vapipe_("predict", runs / "one", tmp_path / "text.mp4", "--out", tmp_path / "none")
    assert result.exit_code == 1
    assert "no video could be extracted, so there is nothing to predict" in result.stderr


def test_a_video_without_a_usable_row_gets_a_warning(runs, tmp_path):
    clip = write_clip(tmp_path / "mute.mp4", times=constant_times(PAL, 30))
    result = vapipe_("predict", runs / "voice", clip.path, "--out", tmp_path)
    assert result.exit_code == 0
    assert "mute: logmel: all of 30 rows without audio" in result.stdout
    assert "warning: mute: no sound in any frame; its predictions say nothing" in result.stderr
    assert len(table(tmp_path / "mute.csv")[1]) == 30


def test_items_that_lack_a_stream_are_listed_or_refused_by_name(cache, runs, tmp_path):
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    (victim,) = copy.glob("features/onet-*/a-*")
    victim.unlink()
    result = vapipe_("predict", runs / "one", "--cache", copy, "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "a lacks onet@" in result.stderr
    assert [p.name for p in (tmp_path / "out").glob("*.csv")] == ["b.csv"]
    named = vapipe_("predict", runs / "one", "--cache", copy, "--video", "a")
    assert named.exit_code == 1
    assert "1 of 1 video without all streams: a (onet@" in named.stderr
    next(copy.glob("features/logmel-*/b-*")).unlink()
    none = vapipe_("predict", runs / "one", "--cache", copy)
    assert none.exit_code == 1
    assert "none of the 2 items in" in none.stderr


# -- never on other features -----------------------------------------------------------------------


def test_other_weights_are_refused_with_what_differs(videos, runs, tmp_path):
    def change(facts):
        if facts["stream"] == "onet":
            facts["config"]["weights"]["onet.pt"]["sha256"] = "e" * 64
            facts["key"] = EncoderSpec.from_json("onet", facts["config"]).key()

    run = copy_run(runs / "one", tmp_path / "run", change)
    result = vapipe_("predict", run, videos / "a.mp4", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "than specified: weights.onet.pt is" in result.stderr
    assert f"was {'e' * 64}" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_that_does_not_say_how_its_streams_are_made_is_refused(videos, runs, tmp_path):
    run = copy_run(runs / "one", tmp_path / "run", lambda facts: facts.pop("config"))
    result = vapipe_("predict", run, videos / "a.mp4")
    assert result.exit_code == 1
    assert "does not say how its streams onet, logmel are made" in result.stderr


def test_cached_features_of_another_key_are_refused(cache, runs, tmp_path):
    run = copy_run(runs / "one", tmp_path / "run", lambda facts: facts.update(key="d" * 64))
    result = vapipe_("predict", run, "--cache", cache)
    assert result.exit_code == 1
    assert "was trained on stream onet with key dddddddd" in result.stderr


def test_a_run_on_crops_asks_for_the_folder(videos, runs, tmp_path):
    def change(facts):
        if facts["stream"] == "onet":
            crops = {"source": "crops", "size": 112, "detector": {}}
            facts["config"]["crops"] = crops
            facts["key"] = EncoderSpec.from_json("onet", facts["config"]).key()

    run = copy_run(runs / "one", tmp_path / "run", change)
    result = vapipe_("predict", run, videos / "a.mp4")
    assert result.exit_code == 1
    assert "stream onet was made of face crops" in result.stderr
    assert "--faces DIR" in result.stderr


def test_a_run_on_crops_takes_the_crops_of_new_videos(videos, runs, tmp_path):
    crops = tmp_path / "crops"
    for name in ("a", "b"):
        (crops / name).mkdir(parents=True)
        for number in range(1, 41):
            picture = Image.new("RGB", (112, 112), (5 * number, 99, 30))
            picture.save(crops / name / f"{number:05d}.jpg")
    words = ("--cache", tmp_path / "c", "--faces", crops, "--jobs", 1)
    assert vapipe_("extract", "--videos", videos, *words).exit_code == 0
    words = ("--config", runs / "fit.json", "--cache", tmp_path / "c", "--run", tmp_path / "run")
    assert vapipe_("fit", *words).exit_code == 0
    words = (videos / "b.mp4", "--faces", crops, "--out", tmp_path / "out")
    assert vapipe_("predict", tmp_path / "run", *words).exit_code == 0
    recorded = tmp_path / "run" / "predictions" / "validation" / "b.csv"
    assert same(tmp_path / "out" / "b.csv", recorded)


def test_a_run_on_videos_refuses_a_folder_of_crops(videos, runs, tmp_path):
    result = vapipe_("predict", runs / "one", videos / "a.mp4", "--faces", tmp_path)
    assert result.exit_code == 1
    assert "none of the streams onet, logmel was made of face crops" in result.stderr


def test_a_video_that_is_not_there_is_one_message(runs, tmp_path):
    result = vapipe_("predict", runs / "one", tmp_path / "absent.mp4")
    assert result.exit_code == 1
    assert "absent.mp4: no such video or folder of videos" in result.stderr


def test_a_stream_described_in_a_file_is_taken_from_there(videos, runs, tmp_path):
    config = tmp_path / "streams.toml"
    config.write_text("[streams.logmel]\nbands = 64\n")
    result = vapipe_("predict", runs / "one", videos / "a.mp4", "--config", config)
    assert result.exit_code == 1
    assert "stream logmel would get other values than in training: options.bands is 64, was " in (
        result.stderr
    )


def test_a_cache_never_loses_what_it_holds_to_a_new_video(cache, videos, runs, tmp_path):
    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    shutil.copy(videos / "b.mp4", tmp_path / "a.mp4")
    with (tmp_path / "a.mp4").open("ab") as handle:
        handle.write(b"more")
    result = vapipe_("predict", runs / "one", tmp_path / "a.mp4", "--cache", copy)
    assert result.exit_code == 1
    assert f"{copy} holds another file under the name a; rename" in result.stderr


def test_a_cache_keeps_its_subjects(videos, runs, tmp_path):
    folder = tmp_path / "data"
    labels = folder / "VA_Estimation_Challenge" / "Train_Set"
    labels.mkdir(parents=True)
    shutil.copy(videos / "a.mp4", folder / "pair.mp4")
    for side in ("left", "right"):
        (labels / f"pair_{side}.txt").write_text("valence,arousal\n0,0\n")
    words = ("predict", runs / "one", "--cache", tmp_path / "c", "--out", tmp_path / "out")
    assert vapipe_(*words, folder).exit_code == 0
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(folder / "pair.mp4", tmp_path / "elsewhere")
    result = vapipe_(*words, tmp_path / "elsewhere" / "pair.mp4")
    assert result.exit_code == 1
    assert "follows pair_left, pair_right in" in result.stderr
    assert "--video" in result.stderr


def test_two_inputs_of_one_name_are_refused(videos, runs, tmp_path):
    shutil.copy(videos / "a.mp4", tmp_path / "a.mp4")
    result = vapipe_("predict", runs / "one", videos / "a.mp4", tmp_path / "a.mp4")
    assert result.exit_code == 1
    assert "would both be called a" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.mp4", "--video", "b"], "not both"),
        (["--overlay"], "--overlay is for video files: name them as INPUTS"),
        (["--faces", "."], "--faces is for video files"),
        (["--config", __file__], "--config is for video files"),
        (["--video-stream", "0"], "--video-stream is for video files"),
    ],
)
def test_options_at_odds_are_usage_errors(runs, words, message):
    result = vapipe_("predict", runs / "one", *words)
    assert result.exit_code == 2
    assert message in result.stderr
