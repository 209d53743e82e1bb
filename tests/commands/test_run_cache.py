"""A run knows its cache: every command that uses runs takes the one recorded, and names it."""

import json
import shutil

import pytest
from terminal import vapipe_

import vapipe
from vapipe.cache.layout import write_labels
from vapipe.errors import ConfigError, RunError

ROWS = "".join(f"b/{n:05d}.jpg,\n" for n in range(1, 41))
SAMPLE = f"image_location,valence,arousal\n{ROWS}"


@pytest.fixture
def unrelated(cache, tmp_path, monkeypatch):
    """A cache in the default place, with the same streams and the annotation upside down."""
    monkeypatch.chdir(tmp_path)
    other = shutil.copytree(cache, tmp_path / "vapipe-cache")
    store = vapipe.open_cache(cache)
    for item in store.videos():
        part = store.partition(item)
        write_labels(other, item, -store.labels(item), partition=part, source={})
    return other


def scores(*words):
    result = vapipe_("evaluate", *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_beside_an_unrelated_cache_a_run_is_scored_on_its_own(cache, runs, unrelated):
    fitted = json.loads((runs / "one" / "evaluation-validation.json").read_text())["ccc"]
    own = scores(runs / "one")
    assert (own["cache"], own["ccc"]) == (str(cache), fitted)
    assert vapipe.evaluate(runs / "one").ccc == fitted
    other = scores(runs / "one", "--cache", unrelated)
    assert other["cache"] == str(unrelated)
    assert other["ccc"]["mean"] < 0 < fitted["mean"]
    assert scores(runs / "one", runs / "two")["cache"] == str(cache)
    curves = scores(runs / "one", "--corrupt", "drop-audio=0")
    assert (curves["cache"], curves["curves"][0]["ccc"]) == (str(cache), fitted)


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate",),
        ("evaluate", "--corrupt", "drop-audio=0"),
        ("predict", "--video", "b"),
        ("submit", "--sample", "sample.txt", "--out", "out.txt"),
        ("report", "--out", "page.html"),
        ("figure", "--out", "figure.png", "--draw", "plane"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_every_command_names_the_cache_that_it_used(cache, runs, unrelated, tmp_path, words):
    (tmp_path / "sample.txt").write_text(SAMPLE)
    run = shutil.copytree(runs / "one", tmp_path / "one")
    result = vapipe_(words[0], run, *words[1:])
    assert result.exit_code == 0, result.output
    assert f"cache: {cache}" in result.stdout.splitlines()


def test_what_a_stopped_fit_says_goes_on_with_its_cache(cache, runs, unrelated, tmp_path):
    run = shutil.copytree(runs / "one", tmp_path / "one")
    (run / "model.safetensors").unlink()
    refused = vapipe_("fit", "--resume", run, "--cache", unrelated)
    assert refused.exit_code == 1
    assert f"{unrelated} is not what the run {run} was begun on, which is {cache}" in refused.stderr
    assert "leave --cache out to resume" in refused.stderr
    result = vapipe_("fit", "--resume", run)
    assert result.exit_code == 0, result.output
    assert f"resuming {run}; cache: {cache}" in result.stdout
    before = json.loads((runs / "one" / "evaluation-validation.json").read_text())["ccc"]
    assert json.loads((run / "evaluation-validation.json").read_text())["ccc"] == before
    (run / "model.safetensors").unlink()
    assert vapipe.fit(resume=run).evaluation.ccc == before


def test_a_cache_that_has_moved_is_asked_for_by_name(cache, runs, unrelated, tmp_path):
    run = shutil.copytree(runs / "one", tmp_path / "one")
    record = json.loads((run / "cache.json").read_text())
    (run / "cache.json").write_text(json.dumps({**record, "path": str(tmp_path / "gone")}))
    for words in (("evaluate",), ("predict",), ("report",)):
        result = vapipe_(words[0], run)
        assert result.exit_code == 1
        assert f"the cache that the run {run} recorded cannot be opened" in result.stderr
        assert str(tmp_path / "gone") in result.stderr
        assert "name its folder with --cache" in result.stderr
        assert vapipe_(words[0], run, "--cache", cache).exit_code == 0
    result = vapipe_("evaluate", run, runs / "two")
    assert result.exit_code == 1


def test_runs_of_different_caches_are_used_on_one_that_is_named(runs, unrelated, tmp_path):
    run = shutil.copytree(runs / "one", tmp_path / "other")
    record = json.loads((run / "cache.json").read_text())
    (run / "cache.json").write_text(json.dumps({**record, "path": str(unrelated)}))
    with pytest.raises(RunError, match=r"were fitted on different caches \(.*--cache"):
        vapipe.evaluate([runs / "one", run])
    assert scores(runs / "one", run, "--cache", unrelated)["cache"] == str(unrelated)


@pytest.mark.parametrize("command", ["evaluate", "predict", "report", "figure", "submit"])
def test_a_mistyped_run_is_named(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sample.txt").write_text("")
    more = {"figure": ("--out", "f.png"), "submit": ("--sample", "sample.txt", "--out", "o.txt")}
    result = vapipe_(command, "runs/grjac-1", *more.get(command, ()))
    assert result.exit_code == 1
    assert "runs/grjac-1 is not a run (no such folder)" in result.stderr


@pytest.mark.parametrize(
    ("word", "part"),
    [("val", "validation"), ("dev", "validation"), ("Valid", "validation"), ("training", "train")],
)
def test_parts_of_a_split_are_understood_by_their_usual_words(runs, word, part):
    result = vapipe_("evaluate", runs / "one", "--partition", word)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{part}: ")
    assert vapipe_("evaluate", runs / "one", "--partition", "vidalation").exit_code == 2


def test_a_part_without_videos_tells_which_there_are(cache, runs):
    with pytest.raises(ConfigError, match="there are: 1 in train, 1 in validation; did you mean"):
        vapipe.evaluate(runs / "one", partition="val")
    with pytest.raises(ConfigError, match=r"there are: 1 in train, 1 in validation$"):
        vapipe.evaluate(runs / "one", partition="test")


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("kfold", "k-fold"),
        ("k_fold", "k-fold"),
        ("affwild2", "aff-wild2"),
        ("Aff-Wild", "aff-wild2"),
        ("loso", "leave-one-subject-out"),
    ],
)
def test_a_mistyped_split_is_not_taken_for_a_file(cache, word, meant):
    result = vapipe_("fit", "--cache", cache, "--split", word)
    assert result.exit_code == 1
    assert f"split {word}: neither one of stored, aff-wild2, k-fold" in result.stderr
    assert f"did you mean `{meant}`?" in result.stderr


def test_the_state_of_a_cache_names_videos_that_failed(videos, runs, tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(videos / "a.mp4", tmp_path / "in" / "a.mp4")
    (tmp_path / "in" / "b.mp4").write_text("no video")
    words = ("--videos", tmp_path / "in", "--cache", tmp_path / "c", "--faces", "frame")
    assert vapipe_("extract", *words, "--streams", "logmel", "--jobs", 1).exit_code == 3
    shown = vapipe_("cache", "status", "--cache", tmp_path / "c")
    assert "failed: b: " in shown.stdout
    listed = json.loads(vapipe_("cache", "status", "--cache", tmp_path / "c", "--json").stdout)
    assert list(listed["failed"]) == ["b"]
