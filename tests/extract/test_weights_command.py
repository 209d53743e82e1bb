"""`vapipe weights` lists, fetches, checks and adds, and says how it went."""

import json

import pytest
import torch
from click.testing import CliRunner
from weight_server import entry_of, serving

from vapipe.commands.weights import weights
from vapipe.errors import WeightsError
from vapipe.extract.weights.table import WEIGHT_TABLE

CONTENT = bytes(range(256)) * 8000


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VAPIPE_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "weights"


@pytest.fixture
def server(monkeypatch):
    with serving(CONTENT) as running:
        for name in ("sample", "other"):
            entry = entry_of(running, name=name, file=f"{name}.bin")
            monkeypatch.setitem(WEIGHT_TABLE, name, entry)
        yield running


def run(*arguments):
    return CliRunner().invoke(weights, [str(argument) for argument in arguments])


def checkpoint(path, scale=1.0):
    torch.save({"pca_eigen_vectors": scale * torch.eye(128), "pca_means": torch.zeros(128)}, path)
    return path


def test_list_shows_every_name_with_its_state_and_licence(folder, tmp_path):
    run("add", "mine", checkpoint(tmp_path / "x.pth"), "--architecture", "vggish-pca")
    result = run("list")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert lines["folder:"] == f"folder: {folder}"
    assert set(WEIGHT_TABLE) < set(lines)
    assert " to fetch " in lines["resnet50-imagenet-v2"]
    assert "97.8 MiB" in lines["resnet50-imagenet-v2"]
    assert " to add " in lines["ir50"]
    assert " here " in lines["mine"]
    assert result.output.count("licence:") == len(WEIGHT_TABLE) + 1


def test_list_as_json_has_all_facts(folder):
    found = json.loads(run("list", "--json").output)
    assert found["folder"] == str(folder)
    rows = {row["name"]: row for row in found["weights"]}
    assert rows["vggish"]["sha256"].startswith("10086976")
    assert rows["vggish"]["present"] is False


def test_fetch_names_place_licence_and_result(folder, server):
    result = run("fetch", "sample")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == f"sample: {server.url}"
    assert lines[1] == "sample: licence: none"
    assert "sample: 100 % of 2.0 MiB" in lines
    assert lines[-1].startswith(f"sample: {folder}/sample.bin (2.0 MiB, SHA-256 ")
    assert len(lines) < 15


def test_fetch_wants_names_or_all(folder):
    for arguments in (["fetch"], ["fetch", "--all", "vggish"]):
        result = run(*arguments)
        assert result.exit_code == 2
        assert "name the weights to fetch, or give --all" in result.output


def test_a_single_failure_is_the_error_and_one_of_several_is_listed(folder, server):
    server.statuses = [404, 404]
    assert isinstance(run("fetch", "sample").exception, WeightsError)
    result = run("fetch", "sample", "other")
    assert result.exit_code == 3
    assert "the server answered 404 Not Found" in result.output
    assert "1 of 2 here; failed: sample" in result.output
    assert (folder / "other.bin").read_bytes() == CONTENT


def test_verify_reads_everything_and_exits_with_3_when_a_file_is_wrong(folder, server):
    run("fetch", "sample", "other")
    result = run("verify")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "2 files checked, 0 with problems"
    (folder / "sample.bin").write_bytes(CONTENT[:-1])
    result = run("verify")
    assert result.exit_code == 3
    assert "sample: " in result.output
    assert "not the published file of sample" in result.output
    assert result.output.splitlines()[-1] == "2 files checked, 1 with problems"
    assert run("verify", "other").exit_code == 0
    assert run("verify", "facenet-vggface2").exit_code == 3


def test_add_takes_a_file_and_replaces_only_when_told(folder, tmp_path):
    one, two = checkpoint(tmp_path / "1.pth"), checkpoint(tmp_path / "2.pth", 2.0)
    result = run("add", "mine", one, "--architecture", "vggish-pca")
    assert result.exit_code == 0
    assert result.output.startswith(f"mine: {folder}/mine.weights (")
    assert isinstance(run("add", "mine", two).exception, WeightsError)
    assert run("add", "mine", two, "--replace").exit_code == 0
