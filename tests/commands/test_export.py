"""`vapipe export` writes a run for other programs and other people, or says why it does not."""

import json
import sys

import pytest
from terminal import vapipe_

FILES = ["README.md", "cache.json", "config.json", "environment.json", "model.safetensors"]


def test_onnx_says_what_it_is(runs, tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    result = vapipe_("export", runs / "one", "--to", "onnx", "--out", tmp_path / "one.onnx")
    assert result.exit_code == 0, result.output
    assert "opset 18, float32, frames per second 25" in result.stdout
    assert "video [batch, length, 256]" in result.stdout
    assert "audio_valid [batch, length]" in result.stdout
    assert "differs from torch by at most " in result.stdout
    model = onnx.load(tmp_path / "one.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(i.domain, i.version) for i in model.opset_import] == [("", 18)]
    facts = {entry.key: entry.value for entry in model.metadata_props}
    config = json.loads((runs / "one" / "config.json").read_text())
    assert facts["run"] == "one"
    assert (facts["head"], facts["variant"]) == (config["head"], config["variant"])
    assert json.loads(facts["targets"]) == ["valence", "arousal"]
    assert (facts["window"], facts["fps"]) == ("20", "25")
    recorded = json.loads((runs / "one" / "cache.json").read_text())["streams"]
    assert json.loads(facts["streams"]) == recorded
    assert {"key", "dim", "stream"} <= recorded["video"].keys()


def test_a_shared_folder_is_a_run_with_the_same_predictions(runs, cache, videos, tmp_path):
    shared = tmp_path / "shared"
    result = vapipe_("export", runs / "one", "--to", "huggingface", "--out", shared)
    assert result.exit_code == 0, result.output
    assert {*FILES} <= {path.name for path in shared.iterdir()}
    for name, words in (("clip", [videos / "b.mp4"]), ("cached", ["--cache", cache])):
        outs = [tmp_path / f"{name}-{run.name}" for run in (runs / "one", shared)]
        for run, out in zip((runs / "one", shared), outs, strict=True):
            assert vapipe_("predict", run, *words, "--out", out).exit_code == 0
        assert (outs[0] / "b.csv").read_bytes() == (outs[1] / "b.csv").read_bytes()


def test_the_card_of_a_shared_folder(runs, cache, tmp_path):
    shared = tmp_path / "shared"
    vapipe_("export", runs / "one", "--to", "huggingface", "--out", shared)
    card = (shared / "README.md").read_text()
    header = card.split("---\n")[1]
    assert 'library_name: "vapipe"' in header
    assert 'license: "other"' in header
    assert "CCC on validation" in card
    assert "vapipe predict shared clip.mp4" in card
    assert card.rstrip().endswith("README.md, model.safetensors.")
    listed = card.split("## Files\n\n")[1].strip().rstrip(".").split(", ")
    assert sorted(listed) == sorted(path.name for path in shared.iterdir())
    told = "".join(path.read_text() for path in shared.iterdir() if path.suffix != ".safetensors")
    assert str(tmp_path) not in told
    assert str(cache.parent) not in told


def test_a_shared_folder_names_the_cache_it_needs(runs, tmp_path):
    shared = tmp_path / "shared"
    vapipe_("export", runs / "one", "--to", "huggingface", "--out", shared)
    result = vapipe_("predict", shared, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "name its folder with --cache" in result.stderr


def test_nothing_is_written_over(runs, tmp_path):
    (tmp_path / "mine.txt").write_text("")
    result = vapipe_("export", runs / "one", "--to", "huggingface", "--out", tmp_path)
    assert result.exit_code == 1
    assert f"{tmp_path} exists and is not an empty folder; name another with --out" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_without_the_packages_the_extra_is_named(runs, tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    result = vapipe_("export", runs / "one", "--to", "onnx", "--out", tmp_path / "one.onnx")
    assert result.exit_code == 1
    assert f"an ONNX file needs the package {missing}, which" in result.stderr
    assert "pip install 'vapipe[onnx]'" in result.stderr
    assert not (tmp_path / "one.onnx").exists()


def test_what_cannot_be_exported(runs, tmp_path):
    wrong = vapipe_("export", tmp_path, "--to", "onnx")
    assert wrong.exit_code == 1
    assert "is not a run (no config.json in it)" in wrong.stderr
    unknown = vapipe_("export", runs / "one", "--to", "tflite")
    assert unknown.exit_code == 2
    assert "'tflite' is not one of 'onnx', 'huggingface'" in unknown.stderr
    assert vapipe_("export", runs / "one").exit_code == 2
