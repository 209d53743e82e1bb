"""Reports: right figures, honest about what is missing, and clear when nothing can be written."""

import dataclasses
import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from caches import add_features, add_video, make_cache
from fusion_caches import write_planted
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from report_runs import SMALL, undo
from terminal import vapipe_

from vapipe.cache import CacheError, ConfigError, FeatureStore
from vapipe.cache.header_checks import TARGETS
from vapipe.fusion import ccc, fit
from vapipe.fusion.evaluation.gates import GateGroup, Gates, gates_file, write_gates
from vapipe.reports.measures import BINS, agreement, density, difference, summary
from vapipe.reports.media import media_url
from vapipe.reports.records import read_record
from vapipe.reports.run_report import write_report
from vapipe.reports.truth import open_cache, read_truth


@pytest.fixture
def run(fitted, tmp_path):
    """A copy of a finished run, to be written into."""
    return shutil.copytree(fitted.run_dir, tmp_path / "run")


@pytest.fixture(scope="session")
def other(planted, small, tmp_path_factory):
    """Another run on the same cache; only read it."""
    config = dataclasses.replace(small, epochs=2, head="lfan", head_options={})
    return fit(planted, config, tmp_path_factory.mktemp("other") / "other").run_dir


def embedded(path: Path) -> dict:
    """What a report holds as data."""
    (text,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', path.read_text()
    )
    return json.loads(text)


CSV, HEAD = "predictions/validation/video6.csv", "row,pts,valence,arousal\n"


# -- measures --------------------------------------------------------------------------------------


def test_a_run_does_not_differ_from_itself_and_differences_change_sign(fitted, other, planted):
    one, two = (read_record("r", path, "validation") for path in (fitted.run_dir, other))
    truth = read_truth(open_cache(one, None), list(one.predictions), [])
    for entry in difference(one, one, truth).values():
        assert entry == {"value": 0, "interval": [0, 0]}
    forth, back = difference(one, two, truth), difference(two, one, truth)
    for target, entry in forth.items():
        direct = two.evaluation["ccc"][target] - one.evaluation["ccc"][target]
        assert entry["value"] == pytest.approx(direct, abs=1e-5)
        assert back[target]["value"] == pytest.approx(-entry["value"])
        low, high = entry["interval"]
        assert np.allclose(back[target]["interval"], [-high, -low])
        assert low <= high


def test_one_video_has_no_interval(fitted):
    record = read_record("r", fitted.run_dir, "validation")
    truth = read_truth(open_cache(record, None), list(record.predictions)[:1], [])
    assert {e["interval"] for e in difference(record, record, truth).values()} == {None}


@settings(max_examples=30, deadline=None)
@given(st.lists(arrays(np.float32, (5, 2), elements=st.floats(-1.5, 1.5, width=32)), min_size=1))
def test_the_density_counts_every_finite_frame_where_it_lies(values):
    counts = np.array(density([*values, np.full((2, 2), np.nan)], TARGETS))
    assert counts.shape == (BINS, BINS)
    assert counts.sum() == 5 * len(values)
    corner = np.array(density([np.array([[0.99, -0.99]])], TARGETS))
    assert corner[0, -1] == 1  # valence is across, arousal upwards


def test_the_summary_is_of_the_finite_frames():
    found = summary([np.array([[0.0, 1.0], [np.nan, np.nan]]), np.array([[1.0, 1.0]])], TARGETS)
    assert found["valence"] == {"mean": 0.5, "deviation": 0.5, "least": 0.0, "greatest": 1.0}
    assert found["arousal"]["deviation"] == 0


@settings(max_examples=30, deadline=None)
@given(arrays(np.float64, (2, 7, 2), elements=st.floats(-3, 3)))
def test_every_pair_of_values_and_every_error_is_counted_where_it_lies(pairs):
    labels, values = pairs
    found = agreement([labels, [[np.nan, 0.0]]], [values, [[0.0, np.nan]]], TARGETS)
    for column, target in enumerate(TARGETS):
        own, errors = found[target], values[:, column] - labels[:, column]
        assert own["most"] == max(1, np.abs(labels[:, column]).max())
        assert np.sum(own["counts"]) == np.sum(own["errors"]) == 7
        expected = errors.mean(), errors.std(), np.abs(errors).mean()
        assert [own[name] for name in ("mean", "deviation", "absolute")] == pytest.approx(expected)
        edges = np.linspace(-2 * own["most"], 2 * own["most"], 2 * BINS + 1)
        below = (errors < edges[BINS]).sum()
        assert np.sum(own["errors"][:BINS]) == below


def test_annotated_is_across_and_predicted_upwards():
    found = agreement([np.array([[0.99, 0.0]])], [np.array([[-0.99, 0.0]])], TARGETS)
    assert found["valence"]["counts"][0][-1] == 1
    errors = np.array(found["valence"]["errors"])
    assert np.flatnonzero(errors).tolist() == [0]  # an error of -1.98 is in the first of 80 bins


# -- the page's data -------------------------------------------------------------------------------


def test_the_command_writes_beside_the_run_and_says_what(run, planted):
    result = vapipe_("report", run)
    assert result.exit_code == 0, result.output
    size = (run / "report.html").stat().st_size
    line, cache = result.stdout.splitlines()
    assert line == f"{run / 'report.html'}: 2 videos, 225 frames, {size / 1e6:.1f} MB"
    assert cache.startswith("cache: ")
    data = embedded(run / "report.html")
    assert data["runs"][0]["path"] == str(run)
    recorded = json.loads((run / "evaluation-validation.json").read_text())
    assert data["runs"][0]["evaluation"]["ccc"] == recorded["ccc"]
    means = [np.mean(list(video["ccc"][0].values())) for video in data["videos"]]
    assert means == sorted(means)  # the worst first
    for video in data["videos"]:
        assert video["ccc"] == [recorded["per_video"][video["id"]]]
        missing = sum(lane["rows"] for lane in video["lanes"] if lane["kind"] == "visual")
        assert missing == (planted.valid(video["id"], "onet") == 0).sum()


def test_stretches_of_another_track_are_marked(tmp_path):
    root = make_cache(tmp_path / "cache")
    track = np.array([1] * 4 + [0] * 2 + [2] * 3 + [1] * 6, np.uint16)
    features = np.ones((15, 2))
    add_video(root, "v", {"onet": features, "logmel": features})
    box = np.where(track[:, None] > 0, np.ones((15, 4)), np.nan)
    add_features(root, "v", "onet", features, faces={"box": box, "track": track})
    (item,) = read_truth(FeatureStore.open(root), ["v"], ["logmel", "onet"])
    lanes = {lane.label: (lane.kind, lane.spans.tolist()) for lane in item.lanes}
    assert lanes["another track"] == ("visual", [[6, 9]])


def test_several_runs_go_into_a_page_of_their_own(run, other, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = vapipe_("report", run, other)
    assert result.exit_code == 0
    data = embedded(tmp_path / "vapipe-report.html")
    assert [entry["name"] for entry in data["runs"]] == ["run", "other"]
    assert len(data["differences"]) == 1


def test_another_partition_is_shown_once_it_is_evaluated(run, planted, tmp_path):
    words = ("report", run, "--partition", "train", "--out", tmp_path / "train.html")
    result = vapipe_(*words)
    assert result.exit_code == 1
    command = re.search(r"`vapipe (evaluate .*?)`", result.stderr)[1]
    assert vapipe_(*command.split(), "--cache", planted.root, "--device", "cpu").exit_code == 0
    assert vapipe_(*words).exit_code == 0
    data = embedded(tmp_path / "train.html")
    assert data["partition"] == "train"
    assert len(data["videos"]) == 6


def test_conditions_of_the_evaluation_stay_with_it(run, tmp_path):
    file = run / "evaluation-validation.json"
    record = json.loads(file.read_text()) | {"notes": ["seen in training"]}
    file.write_text(json.dumps(record))
    write_report([run], tmp_path / "page.html")
    assert embedded(tmp_path / "page.html")["runs"][0]["evaluation"]["notes"] == record["notes"]


# -- media -----------------------------------------------------------------------------------------


def test_files_are_found_by_name_and_size_and_linked_relatively(run, planted, tmp_path):
    folder = tmp_path / "clips & more #2"
    folder.mkdir()
    (folder / "video6.mp4").write_bytes(bytes(1000))
    (folder / "video7.mp4").write_bytes(bytes(999))
    result = vapipe_("report", run, "--media", folder)
    assert result.exit_code == 0
    assert "note: video7: video7.mp4 has 999 bytes, the extracted file had 1,000" in result.stdout
    found = {video["id"]: video["media"] for video in embedded(run / "report.html")["videos"]}
    assert found == {"video6": "../clips%20%26%20more%20%232/video6.mp4", "video7": None}


def test_many_missing_files_are_counted(run, planted, tmp_path, monkeypatch):
    words = ("evaluate", run, "--partition", "train", "--out", run, "--cache", planted.root)
    assert vapipe_(*words, "--device", "cpu").exit_code == 0
    (tmp_path / "video0.mp4").write_bytes(bytes(1000))
    written = write_report([run], run / "r.html", partition="train", media=tmp_path)
    assert sorted(note[:6] for note in written.notes) == [f"video{n}" for n in range(1, 6)]
    monkeypatch.setattr("vapipe.reports.run_report._NOTES", 3)
    written = write_report([run], run / "r.html", partition="train", media=tmp_path)
    assert len(written.notes) == 4
    assert written.notes[3] == "and 2 more videos without a file"


@pytest.mark.parametrize("name", ["a:b.mp4", "100%.mp4", "é ü?.mp4", "a#b&c<d>.mp4", "\udcff.mp4"])
def test_addresses_lead_back_to_the_file(tmp_path, name):
    url = media_url(tmp_path / "media" / name, tmp_path / "page.html")
    assert re.fullmatch(r"[A-Za-z0-9_.~/%-]+", url)
    assert unquote(url, errors="surrogateescape") == f"media/{name}"


def test_a_folder_without_the_clips_is_refused(run, tmp_path):
    with pytest.raises(ConfigError, match=r"no such folder; name the one with the video files"):
        write_report([run], tmp_path / "p.html", media=tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        ConfigError, match=r"none of the 2 video files is in it \(video\d: no video"
    ):
        write_report([run], tmp_path / "p.html", media=tmp_path / "empty")
    assert not (tmp_path / "p.html").exists()


# -- runs that cannot be shown ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", None, r"is not a run \(no config.json in it\); `vapipe fit` makes runs"),
        ("evaluation-validation.json", None, r"is not finished .*`vapipe fit --resume "),
        ("evaluation-validation.json", "{}", r"without ccc, per_video, frames"),
        ("environment.json", "[]", r"cannot read .*environment.json \(ValueError: no JSON object"),
        ("cache.json", "{", r"cannot read .*cache.json .*restore it, or fit again"),
        ("metrics.jsonl", "{}\n", r"cannot read .*metrics.jsonl \(KeyError"),
        (CSV, None, r"cannot read .*video6.csv \(FileNotFoundError"),
        (CSV, "a,b\n", r"its first line is 'a,b'"),
        (CSV, HEAD + "1,0,0,0\n", r"not in order"),
        (CSV, HEAD + "0,0,nan,0\n", r"no numbers"),
        (CSV, HEAD + "0,0,0,0\n",
         r"video6: 1 row of predictions in .* for 130 frames"),
        ("gates-validation.safetensors", "x", r"--gates` makes it anew"),
        ("robustness-validation.json", "x", r"--corrupt \.\.\.` measures the curves again"),
    ],
)  # fmt: skip
def test_a_damaged_run_names_the_file_and_the_way_out(run, tmp_path, file, content, message):
    if content is None:
        (run / file).unlink()
    else:
        (run / file).write_text(content)
    with pytest.raises(ConfigError, match=message):
        write_report([run], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_gates_of_another_pass_are_refused(run, fitted, tmp_path):
    short = {video: np.zeros((3, 6)) for video in fitted.evaluation.predictions}
    write_gates(run, "validation", Gates([GateGroup("joint", "video", (6,))], short))
    with pytest.raises(
        ConfigError, match=r"do not fit its predictions of video\d; `vapipe evaluate"
    ):
        write_report([run], tmp_path / "page.html")
    gates_file(run, "validation").unlink()
    assert write_report([run], tmp_path / "page.html").notes[0].startswith("run has no gates")


def test_predictions_that_do_not_have_the_recorded_score_are_refused(run, tmp_path):
    file = run / "predictions" / "validation" / "video6.csv"
    lines = file.read_text().splitlines()
    turned = [re.sub(r",(-?)(0\.\d+)$", r",-\1\2", line).replace("--", "") for line in lines]
    file.write_text("\n".join(turned) + "\n")
    with pytest.raises(ConfigError, match=r"have a CCC of -0.* for arousal, its evaluation says"):
        write_report([run], tmp_path / "page.html")


# -- caches that are gone or have changed ----------------------------------------------------------


def test_a_cache_that_moved_is_named_by_an_option(run, planted, tmp_path):
    moved = shutil.copytree(planted.root, tmp_path / "moved")
    record = json.loads((run / "cache.json").read_text()) | {"path": str(tmp_path / "gone")}
    (run / "cache.json").write_text(json.dumps(record))
    result = vapipe_("report", run)
    assert result.exit_code == 1
    assert f"recorded cannot be opened: {tmp_path / 'gone'} is not a vapipe" in result.stderr
    assert "name its folder with --cache" in result.stderr
    assert vapipe_("report", run, "--cache", moved).exit_code == 0
    wrong = vapipe_("report", run, "--cache", tmp_path)
    assert wrong.stderr.startswith(f"error: {tmp_path} is not a vapipe cache")


def test_a_cache_without_the_videos_or_streams_of_the_run_is_refused(run, planted, tmp_path):
    few = write_planted(tmp_path / "few", train=6, validation=1).root
    with pytest.raises(ConfigError, match=r"lacks 1 of the 8 videos of the run .*\(video7\)"):
        write_report([run], tmp_path / "page.html", cache=few)
    copy = shutil.copytree(planted.root, tmp_path / "copy")
    shutil.rmtree(next((copy / "features").glob("logmel-*")))
    with pytest.raises(ConfigError, match=r"stream logmel with key b2b2b2b2; .* holds keys: none"):
        write_report([run], tmp_path / "page.html", cache=copy)


def test_a_cache_with_other_annotations_is_refused(run, planted, tmp_path):
    from vapipe.cache.layout import write_labels

    copy = shutil.copytree(planted.root, tmp_path / "copy")
    labels = -planted.labels("video7")
    write_labels(copy, "video7", labels, partition="validation", source={})
    with pytest.raises(ConfigError, match=r"has changed since the run .* began"):
        write_report([run], tmp_path / "page.html", cache=copy)


def test_runs_of_other_videos_or_annotations_are_not_compared(run, fitted, tmp_path):
    folder = tmp_path / "cache"
    rng = np.random.default_rng(0)
    make_cache(folder)
    for name, part in (("video0", "train"), ("video6", "validation"), ("video9", "validation")):
        features = {"onet": rng.normal(size=(60, 4)), "logmel": rng.normal(size=(60, 4))}
        add_video(folder, name, features, labels=rng.uniform(-1, 1, (60, 2)), partition=part)
    config = dataclasses.replace(SMALL, epochs=1)
    second = fit(FeatureStore.open(folder), config, tmp_path / "second").run_dir
    with pytest.raises(
        ConfigError, match=r"other videos \(2 are in one of them only: video7, video9"
    ):
        write_report([run, second], tmp_path / "page.html")
    with pytest.raises(ConfigError, match=r"a run is given more than once"):
        write_report([run, run], tmp_path / "page.html")


def test_runs_on_two_caches_are_compared_if_the_annotations_are_the_same(
    run, planted, small, tmp_path
):
    from vapipe.cache.layout import write_labels

    copy = shutil.copytree(planted.root, tmp_path / "copy")
    config = dataclasses.replace(small, epochs=1)
    same = fit(FeatureStore.open(copy), config, tmp_path / "same").run_dir
    assert write_report([run, same], tmp_path / "page.html").videos == 2
    labels = 0.9 * planted.labels("video6")
    write_labels(copy, "video6", labels, partition="validation", source={})
    changed = fit(FeatureStore.open(copy), config, tmp_path / "changed").run_dir
    with pytest.raises(ConfigError, match=r"video6 is annotated differently in .* name one cache"):
        write_report([run, changed], tmp_path / "page.html")


def test_a_full_disk_or_a_forbidden_place_is_one_message(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot write"):
        write_report([run], tmp_path / "file" / "page.html")


def test_scores_of_the_page_are_those_of_its_series(run):
    """Decoded as the page decodes them, the series have the CCCs that are shown."""
    write_report([run], run / "report.html")
    text = (run / "report.html").read_text()
    data = embedded(run / "report.html")
    for index, video in enumerate(data["videos"]):
        parts = []
        for name, step in (("labels", video["labelStep"]), ("run0", video["steps"][0])):
            (block,) = re.findall(f'id="block-v{index}-{name}">(.*?)</script>', text)
            whole = undo(block, "i2", 2)
            parts.append(np.where(whole == -32768, np.nan, whole * step))
        labels, values = parts
        for column, target in enumerate(("valence", "arousal")):
            found = ccc(values[:, column], labels[:, column], np.isfinite(labels[:, column]))
            assert found == pytest.approx(video["ccc"][0][target], abs=1e-4)
