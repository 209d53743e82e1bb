"""`vapipe check` tells whether a device computes what the CPU does."""

import json
import sys

import pytest
import torch
from click.testing import CliRunner

from vapipe import device_check
from vapipe.cli import main
from vapipe.errors import ConfigError
from vapipe.extract.encoders.onet_layer import ONetEncoder
from vapipe.extract.faces.detector import FaceDetector


@pytest.fixture
def check(monkeypatch):
    """The command with two encoders and a head, and generated weights for none."""
    monkeypatch.setattr(device_check, "CROPS", 2)
    monkeypatch.setattr(device_check, "list_encoders", lambda: ["onet", "logmel"])
    monkeypatch.setattr(device_check, "list_heads", lambda: ["grjca"])
    return lambda *words: CliRunner().invoke(main, ["check", "--device", "cpu", *words])


def test_it_lists_what_it_compared(check):
    result = check()
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].endswith("against the CPU, in float32")
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["encoder", "onet"],
        ["encoder", "logmel"],
        ["detector", "0.0e+00"],
    ]
    assert "the same beside a running encoder" in lines[4]
    assert lines[5].startswith("head grjca")
    assert lines[6] == "all 4 agree"
    found = json.loads(check("--json").stdout)
    assert {each["what"]: each["agrees"] for each in found} == dict.fromkeys(
        ("encoder onet", "encoder logmel", "detector", "head grjca"), True
    )


def test_a_device_that_computes_otherwise_is_told(check, monkeypatch):
    encode, calls = ONetEncoder.encode, []

    def worse(encoder, crops, **options):
        calls.append(encoder)
        return encode(encoder, crops, **options) * (1.01 if encoder is not calls[0] else 1)

    monkeypatch.setattr(ONetEncoder, "encode", worse)
    result = check()
    assert result.exit_code == 1
    assert "DISAGREES" in next(line for line in result.stdout.splitlines() if "onet" in line)
    assert "error: device cpu gives other values for encoder onet" in result.stderr
    calls.clear()
    found = json.loads(check("--json").stdout)
    assert [each["what"] for each in found if not each["agrees"]] == ["encoder onet"]


def test_what_cannot_compute_there_does_not_agree(check, monkeypatch):
    def refuse(*_, **__):
        raise ConfigError("no such thing here")

    monkeypatch.setattr(ONetEncoder, "encode", refuse)
    result = check()
    assert result.exit_code == 1
    assert "no such thing here  DISAGREES" in result.stdout


def test_an_encoder_whose_package_is_not_installed_is_left_out(check, monkeypatch):
    monkeypatch.setattr(device_check, "list_encoders", lambda: ["onet", "egemaps"])
    monkeypatch.setitem(sys.modules, "opensmile", None)
    result = check()
    assert result.exit_code == 0, result.output
    line = next(line for line in result.stdout.splitlines() if "egemaps" in line)
    assert "not compared: encoder `egemaps` needs the package opensmile" in line
    assert result.stdout.endswith("all 3 agree; 1 not compared\n")
    found = json.loads(check("--json").stdout)
    assert {each["what"]: each["agrees"] for each in found}["encoder egemaps"] is None


def test_boxes_that_change_beside_an_encoder_are_told(check, monkeypatch):
    refine, calls = FaceDetector.refine, []

    def drift(detector, *given):
        calls.append(detector)
        found = refine(detector, *given)
        found.boxes[:] += 1e-12 * len(calls)
        return found

    monkeypatch.setattr(FaceDetector, "refine", drift)
    result = check()
    assert result.exit_code == 1
    assert "other boxes beside a running encoder than alone" in result.stdout


def test_networks_without_weights_here_get_generated_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("VAPIPE_WEIGHTS", str(tmp_path / "none"))
    options, remark = device_check._options("vggish", tmp_path)
    assert remark == "generated weights"
    assert torch.load(options["weights"], weights_only=True)
