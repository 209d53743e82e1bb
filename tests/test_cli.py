"""The commands as users type them: what they print, and what they say when they cannot."""

import json
import subprocess
import sys

import numpy as np
import pytest
from caches import add_features, add_video, make_cache
from damage import flip
from extracted import ROWS, SMALL
from extracted import cache as cache
from extracted import runs as runs
from extracted import videos as videos
from terminal import vapipe_

import vapipe
from vapipe.cache import FeatureStore
from vapipe.cli import main


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "fit.json"
    path.write_text(json.dumps(SMALL))
    return path


@pytest.fixture
def run(runs):
    return runs / "one"


# -- help and usage --------------------------------------------------------------------------------


def commands(group=main, words=()):
    yield words
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, (*words, name))


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_explains_itself(words):
    result = vapipe_(*words, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    body = result.stdout.split("\n\n", 1)[1].strip()
    assert body
    assert not body.startswith("Options")


def test_help_answers_without_loading_heavy_packages():
    code = (
        "import sys; from vapipe.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'librosa', 'av', 'skimage') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version():
    assert vapipe.__version__ in vapipe_("--version").stdout


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["exract"], "extract"),
        (["fit", "--hed", "grjca"], "--head"),
        (["cache", "verfy"], "verify"),
        (["extract"], "--videos"),
    ],
)
def test_a_typo_is_a_usage_error_with_a_hint(words, hint):
    result = vapipe_(*words)
    assert result.exit_code == 2
    assert hint in result.stderr


# -- extract ---------------------------------------------------------------------------------------


def test_extract_says_what_it_chose_and_what_to_do_next(videos, tmp_path):
    cache = tmp_path / "cache"
    words = ("extract", "--videos", videos, "--cache", cache, "--faces", "frame")
    first = vapipe_(*words)
    assert "2 videos" in first.stdout
    assert "Aff-Wild2 annotations in" in first.stdout
    assert "streams: onet, logmel (the embedded default" in first.stdout
    stronger = "resnet50,vggish,wavlm"
    assert (
        f"  vapipe extract --videos {videos} --cache {cache} --streams {stronger}" in first.stdout
    )
    assert first.stdout.index(stronger) < first.stdout.index(": extracted")
    fetch = "vapipe weights fetch resnet50-imagenet-v2 vggish wavlm-base"
    assert f"  {fetch}\n" in first.stdout
    missing = vapipe_(*words, "--streams", stronger)  # the very weights, all in one command
    assert missing.exit_code == 1
    assert f"`{fetch}` downloads them" in missing.stderr
    assert "faces: frame; computing on cpu" in first.stdout
    assert f"next: vapipe fit --head grjca --cache {cache}" in first.stdout
    again = vapipe_(*words)
    assert again.exit_code == 0
    assert "0 videos extracted (0 frames, 0 shards), 2 complete before" in again.stdout


def test_bad_videos_are_listed_and_end_with_3(videos, tmp_path):
    import shutil

    folder = tmp_path / "videos"
    shutil.copytree(videos, folder)
    (folder / "text.mp4").write_text("no video")
    result = vapipe_("extract", "--videos", folder, "--cache", tmp_path / "c", "--faces", "frame")
    assert result.exit_code == 3
    assert "2 videos extracted" in result.stdout
    assert "1 with problems" in result.stdout
    assert "text.mp4" in result.stderr


def test_only_bad_videos_end_with_1(tmp_path):
    (tmp_path / "text.mp4").write_text("no video")
    result = vapipe_("extract", "--videos", tmp_path, "--cache", tmp_path / "c")
    assert result.exit_code == 1
    assert "no video could be extracted" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--faces", "detct"], "not `detect`, not `frame`, and no folder"),
        (["--streams", "onet,wavlmm"], "no encoder `wavlmm`"),
        (["--device", "gpu"], "it may be auto, cpu, cuda or cuda:N"),
        (["--labels", "nowhere"], "--labels nowhere: no such folder"),
        (["--split", "nowhere.csv"], "cannot read the split"),
    ],
)
def test_options_that_cannot_work_are_one_message(videos, tmp_path, words, message):
    result = vapipe_("extract", "--videos", videos, "--cache", tmp_path / "c", *words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert message in result.stderr


def test_an_empty_folder_is_one_message(tmp_path):
    result = vapipe_("extract", "--videos", tmp_path)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "no video in it; looked for .264" in result.stderr


def test_an_absent_gpu_is_not_replaced(videos, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    result = vapipe_("extract", "--videos", videos, "--cache", tmp_path / "c", "--device", "cuda")
    assert result.exit_code == 1
    assert "sees no CUDA device; take device cpu" in result.stderr


def test_two_streams_of_the_same_values_give_a_warning(videos, tmp_path):
    config = tmp_path / "streams.toml"
    config.write_text("[streams.logmel]\n[streams.mel]\nencoder = 'logmel'\n")
    result = vapipe_("extract", "--videos", videos, "--cache", tmp_path / "c", "--config", config)
    assert result.exit_code == 0
    assert "warning: streams logmel and mel are the same network" in result.stderr


def test_streams_lists_the_encoders():
    text = vapipe_("streams").stdout
    assert "onet" in text
    assert "logmel" in text


# -- fit and evaluate ------------------------------------------------------------------------------


def test_fit_writes_a_run_that_evaluate_reproduces(cache, run):
    record = json.loads((run / "evaluation-validation.json").read_text())
    result = vapipe_("evaluate", run, "--cache", cache, "--json")
    told = json.loads(result.stdout)
    assert told.pop("cache") == str(cache)
    said_by_fit = {key: record[key] for key in ("moments", "notes")}
    assert {**told, **said_by_fit} == record
    assert "b: valence" in vapipe_("evaluate", run, "--cache", cache, "--per-video").stdout


def test_evaluate_writes_predictions_where_told(cache, run, tmp_path):
    vapipe_("evaluate", run, "--cache", cache, "--partition", "train", "--out", tmp_path / "o")
    text = (tmp_path / "o/predictions/train/a.csv").read_text()
    assert len(text.splitlines()) == ROWS + 1


def test_one_modality_alone_fits_with_concat(cache, config, tmp_path):
    result = vapipe_(
        "fit", "--head", "concat", "--stream", "audio=logmel", "--config", config,
        "--cache", cache, "--run", tmp_path / "run",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "on audio=logmel" in result.stdout


def test_options_win_over_the_file_and_can_be_shown(config):
    result = vapipe_("fit", "--config", config, "--epochs", 7, "--print-config")
    shown = json.loads(result.stdout)
    assert shown["epochs"] == 7
    assert shown["window"] == 20


@pytest.mark.parametrize(
    ("words", "message", "code"),
    [
        (["--head", "grja"], "Did you mean grjca", 1),
        (["--stream", "audio"], "expected ROLE=NAME", 2),
        (["--stream", "audio=logmell"], "no stream `logmell`", 1),
        (["--device", "tpu"], "it may be auto, cpu, cuda", 1),
    ],
)
def test_fit_refuses_what_does_not_exist(cache, words, message, code):
    result = vapipe_("fit", "--cache", cache, *words)
    assert result.exit_code == code
    assert message in result.stderr


def test_a_cache_without_labels_or_no_cache_says_what_to_do(tmp_path):
    root = make_cache(tmp_path / "cache")
    add_video(root, "v", {"onet": np.zeros((9, 4)), "logmel": np.zeros((9, 4))})
    result = vapipe_("fit", "--cache", root)
    assert result.exit_code == 1
    assert "none of the 1 video in" in result.stderr
    assert "`vapipe labels import FOLDER --videos DIR` takes annotations in" in result.stderr
    result = vapipe_("fit", "--cache", tmp_path / "nothing")
    assert "is not a vapipe cache" in result.stderr


def test_heads_are_listed_and_explained():
    listed = vapipe_("heads").stdout
    assert max(map(len, listed.splitlines())) <= 80
    line = next(line for line in listed.splitlines() if line.startswith("rjca"))
    assert line.split() == ["rjca", "2-4", "1,117,168"]
    assert "M = 2; options dropout, mixing, normalize" in listed
    explained = vapipe_("heads", "lfan").stdout
    assert "option width = 32" in explained
    assert "softmax over n of Q_m^h" in explained
    unknown = vapipe_("heads", "grjcaa")
    assert unknown.exit_code == 1
    assert "Did you mean" in unknown.stderr


# -- cache -----------------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path):
    root = make_cache(tmp_path / "cache")
    for name in ("a", "b"):
        features = {"onet": np.ones((9, 4)), "logmel": np.ones((9, 2))}
        add_video(root, name, features, labels=np.zeros((9, 2)), partition="train")
    return root


def test_status_as_words_and_as_json(small):
    text = vapipe_("cache", "status", "--cache", small).stdout
    assert "2 videos, 2 items, 18 frames" in text
    assert "onet@a1a1a1a1" in text
    status = json.loads(vapipe_("cache", "status", "--cache", small, "--json").stdout)
    assert [stream["present"] for stream in status["streams"]] == [2, 2]


def test_verify_names_damage_and_repair_moves_it_aside(small):
    assert vapipe_("cache", "verify", "--cache", small).exit_code == 0
    (victim,) = small.glob("features/onet-*/a-*")
    flip(victim)
    found = vapipe_("cache", "verify", "--cache", small)
    assert found.exit_code == 3
    assert f"{victim}: " in found.stdout
    assert "next: vapipe cache verify --repair" in found.stdout
    assert "moved to" in vapipe_("cache", "verify", "--cache", small, "--repair").stdout
    assert vapipe_("cache", "verify", "--cache", small).exit_code == 0
    assert "1 shard in quarantine" in vapipe_("cache", "status", "--cache", small).stdout


def test_pack_reports_and_has_nothing_to_do_the_second_time(small):
    assert "4 packs written" in vapipe_("cache", "pack", "--cache", small).stdout
    assert "nothing to pack" in vapipe_("cache", "pack", "--cache", small).stdout
    assert FeatureStore.open(small).read("a", "onet").shape == (9, 4)


def test_gc_keeps_what_runs_use_and_asks_before_it_removes(cache, run, tmp_path):
    import shutil

    copy = tmp_path / "cache"
    shutil.copytree(cache, copy)
    (copy / "current.json").unlink()
    runs = ("--runs", run.parent)
    words = ("cache", "gc", "--cache", copy)
    assert "nothing to remove" in vapipe_(*words, *runs, "--dry-run").stdout
    listed = vapipe_(*words, "--runs", tmp_path, "--dry-run")
    assert "is in no run and was not extracted last" in listed.stdout
    assert FeatureStore.open(copy).streams() == ["logmel", "onet"]
    assert vapipe_(*words, "--runs", tmp_path).exit_code == 1  # nobody answers the question
    assert FeatureStore.open(copy).streams() == ["logmel", "onet"]
    assert "freed" in vapipe_(*words, "--runs", tmp_path, "--yes").stdout
    assert FeatureStore.open(copy).streams() == []


def test_gc_says_where_it_found_no_runs_and_refuses_folders_that_are_not_there(
    small, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    done = vapipe_("cache", "gc", "--cache", small, "--dry-run")
    assert "no runs in vapipe-runs; --runs DIR keeps" in done.stdout
    refused = vapipe_("cache", "gc", "--cache", small, "--runs", tmp_path / "none", "--yes")
    assert refused.exit_code == 1
    assert "none: no such folder; what its runs use would be removed" in refused.stderr
    assert FeatureStore.open(small).streams() == ["logmel", "onet"]


def test_a_video_is_removed_by_name_after_a_question(small):
    words = ("cache", "remove", "a", "--cache", small)
    assert vapipe_(*words).exit_code == 1  # nobody answers the question
    assert FeatureStore.open(small).videos() == ["a", "b"]
    assert "1 video removed" in vapipe_(*words, "--yes").stdout
    assert FeatureStore.open(small).videos() == ["b"]
    assert "no video a in" in vapipe_(*words, "--yes").stderr


def test_export_and_import_go_round(small, tmp_path):
    out = tmp_path / "out"
    assert vapipe_("cache", "export", "onet", out, "--cache", small).exit_code == 0
    words = ("cache", "import", "mine", out, "--modality", "visual", "--cache", small)
    assert "2 videos imported as mine" in vapipe_(*words).stdout
    assert FeatureStore.open(small).streams() == ["logmel", "mine", "onet"]


def test_an_import_of_the_wrong_length_gives_both_numbers(small, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((8, 2)))
    result = vapipe_("cache", "import", "mine", tmp_path, "--modality", "audio", "--cache", small)
    assert result.exit_code == 1
    assert "8 rows for a timeline of 9 frames; nothing was imported" in result.stderr


def test_a_second_key_of_a_stream_must_be_chosen_for_a_fit(small):
    add_features(small, "a", "onet", np.zeros((9, 4)), key="c3" * 32)
    result = vapipe_("fit", "--cache", small)
    assert result.exit_code == 1
    assert "onet@a1a1a1a1, onet@c3c3c3c3" in result.stderr
