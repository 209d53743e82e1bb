"""Weights are found where they should be, are the right ones, or the message says what to do."""

import hashlib
import json
import os

import pytest
import torch
from safetensors.torch import save_file

from vapipe.errors import ConfigError, VapipeError, WeightsError
from vapipe.extract.weights.files import add_weights, find_weights, present_names, weights_folder
from vapipe.extract.weights.table import WEIGHT_TABLE, WeightEntry


def checkpoint(path, scale=1.0):
    """A real, small file of weights; its digest."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"pca_eigen_vectors": scale * torch.eye(128), "pca_means": torch.zeros(128)}, path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def sample(tmp_path, monkeypatch):
    """An entry of the table whose digest is public, and its file, which is not in the folder."""
    digest = checkpoint(tmp_path / "sample.pth")
    return list_entry(monkeypatch, digest), tmp_path / "sample.pth"


def list_entry(monkeypatch, sha256):
    entry = WeightEntry(
        name="sample",
        architecture="vggish-pca",
        file="sample.bin",
        url="https://weights.invalid/sample.bin",
        sha256=sha256,
        nbytes=1234,
        licence="none",
        source="a test",
    )
    monkeypatch.setitem(WEIGHT_TABLE, entry.name, entry)
    return entry


def refusal(action, *arguments, kind=WeightsError, **options):
    with pytest.raises(kind) as caught:
        action(*arguments, **options)
    assert isinstance(caught.value, VapipeError)
    return str(caught.value)


def test_the_folder_is_in_the_home_or_where_the_variable_says(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("VAPIPE_WEIGHTS", raising=False)
    assert weights_folder() == tmp_path / ".cache" / "vapipe" / "weights"
    monkeypatch.setenv("VAPIPE_WEIGHTS", "~/models")
    assert weights_folder() == tmp_path / "models"


def test_absent_weights_name_the_commands_that_get_them(tmp_path):
    assert refusal(find_weights, "resnet50-imagenet-v2", folder=tmp_path) == (
        f"the weights resnet50-imagenet-v2 are not in {tmp_path}; `vapipe weights fetch "
        "resnet50-imagenet-v2` downloads them. Without a connection here: download "
        "https://download.pytorch.org/models/resnet50-11ad3fa6.pth elsewhere, then "
        "`vapipe weights add resnet50-imagenet-v2 FILE`"
    )
    assert refusal(find_weights, "ir50", folder=tmp_path) == (
        f"the weights ir50 are not in {tmp_path} and cannot be fetched (your own IR-50 "
        "checkpoint (MS-Celeb-1M, FER+)); add your file: `vapipe weights add ir50 FILE`"
    )


def test_an_unknown_name_suggests_the_closest(tmp_path):
    message = refusal(find_weights, "facenet-vgface2", folder=tmp_path)
    assert message.startswith("no weights are called 'facenet-vgface2'; did you mean facenet-vgg")
    assert "`vapipe weights list` shows all" in message
    assert "did you mean" not in refusal(find_weights, "../../etc/x", folder=tmp_path)


def test_a_file_put_there_by_hand_is_checked_and_recorded(tmp_path, sample):
    entry, source = sample
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / entry.file).write_bytes(source.read_bytes())
    found = find_weights("sample", folder=folder)
    assert found.sha256 == entry.sha256
    assert found.architecture == "vggish-pca"
    assert json.loads((folder / "sample.pin.json").read_text())["sha256"] == entry.sha256


def test_half_a_file_is_named_with_both_digests_and_sizes(tmp_path, sample):
    entry, source = sample
    half = source.read_bytes()[:1000]
    (tmp_path / entry.file).write_bytes(half)
    assert refusal(find_weights, "sample", folder=tmp_path) == (
        f"{tmp_path}/sample.bin: not the published file of sample, or half of it (1000 of 1234 "
        f"bytes): its SHA-256 is {hashlib.sha256(half).hexdigest()}, expected {entry.sha256}; "
        "`vapipe weights fetch sample` gets it again"
    )


def test_the_first_use_pins_a_file_and_a_later_change_is_an_error(tmp_path, monkeypatch):
    entry = list_entry(monkeypatch, None)
    first = checkpoint(tmp_path / entry.file)
    assert find_weights("sample", folder=tmp_path).sha256 == first
    second = checkpoint(tmp_path / entry.file, scale=2.0)
    message = refusal(find_weights, "sample", folder=tmp_path)
    assert message == (
        f"{tmp_path}/sample.bin: the file has changed since sample was first used: its SHA-256 "
        f"is {second}, recorded was {first}; `vapipe weights fetch sample` gets it again. To "
        f"accept the file as it is now: `vapipe weights add sample {tmp_path}/sample.bin "
        "--replace`"
    )
    add_weights("sample", tmp_path / entry.file, replaces=True, folder=tmp_path)
    assert find_weights("sample", folder=tmp_path).sha256 == second


def test_an_untouched_file_is_not_read_again_and_a_touched_one_is(tmp_path, sample):
    entry, source = sample
    add_weights("sample", source, folder=tmp_path / "w")
    path = tmp_path / "w" / entry.file
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert find_weights("sample", folder=tmp_path / "w").sha256 == entry.sha256  # as recorded
    assert "expected" in refusal(find_weights, "sample", folder=tmp_path / "w", rehash=True)
    os.utime(path)
    assert "expected" in refusal(find_weights, "sample", folder=tmp_path / "w")


def test_a_new_date_alone_changes_nothing(tmp_path, sample):
    entry, source = sample
    add_weights("sample", source, folder=tmp_path / "w")
    os.utime(tmp_path / "w" / entry.file, ns=(0, 0))
    assert find_weights("sample", folder=tmp_path / "w").sha256 == entry.sha256
    record = json.loads((tmp_path / "w" / "sample.pin.json").read_text())
    assert record["modified_ns"] == 0


@pytest.mark.parametrize("text", ["{", '{"name": "sample"}', "[]"])
def test_a_damaged_record_is_named(tmp_path, sample, text):
    _, source = sample
    add_weights("sample", source, folder=tmp_path / "w")
    record = tmp_path / "w" / "sample.pin.json"
    record.write_text(text)
    message = refusal(find_weights, "sample", folder=tmp_path / "w")
    assert message.startswith(f"{record}: the record of sample cannot be read (")
    assert message.endswith("remove it, and the next use records the file as it is then")


def test_a_file_is_added_under_a_name_of_the_table(tmp_path, sample):
    entry, source = sample
    found = add_weights("sample", source, folder=tmp_path / "new" / "w")
    assert found.path == tmp_path / "new" / "w" / entry.file
    assert found.path.read_bytes() == source.read_bytes()
    assert add_weights("sample", found.path, folder=tmp_path / "new" / "w") == found


def test_another_file_than_the_published_one_is_not_added(tmp_path, sample):
    entry, _ = sample
    other = tmp_path / "other.pth"
    digest = checkpoint(other, scale=3.0)
    assert refusal(add_weights, "sample", other, folder=tmp_path / "w", replaces=True) == (
        f"{other} is not the published sample.bin: its SHA-256 is {digest}, expected "
        f"{entry.sha256}. To use a different file, give it its own name: "
        f"`vapipe weights add NAME {other} --architecture vggish-pca`"
    )
    assert not (tmp_path / "w" / "sample.bin").exists()


def test_a_file_of_ones_own_gets_its_own_name(tmp_path):
    source = tmp_path / "mine.safetensors"
    save_file({"pca_eigen_vectors": torch.eye(128), "pca_means": torch.zeros(128)}, source)
    folder = tmp_path / "w"
    added = add_weights("pca-mine", source, architecture="vggish-pca", folder=folder)
    assert added.path == folder / "pca-mine.weights"
    assert find_weights("pca-mine", folder=folder) == added
    assert present_names(folder) == ["pca-mine"]
    message = refusal(find_weights, "pca-other", folder=folder)
    assert "no weights are called 'pca-other'" in message


def test_a_name_keeps_its_file_unless_replacement_is_asked_for(tmp_path):
    folder = tmp_path / "w"
    first = checkpoint(tmp_path / "one.pth")
    second = checkpoint(tmp_path / "two.pth", scale=2.0)
    add_weights("mine", tmp_path / "one.pth", architecture="vggish-pca", folder=folder)
    assert refusal(add_weights, "mine", tmp_path / "two.pth", folder=folder) == (
        f"mine already holds another file, SHA-256 {first}; {tmp_path}/two.pth has {second}. "
        "Choose another name, or add --replace: features extracted with the other file keep "
        "their own key"
    )
    found = add_weights("mine", tmp_path / "two.pth", replaces=True, folder=folder)
    assert found.sha256 == second


def test_a_changed_file_of_ones_own_is_an_error(tmp_path):
    checkpoint(tmp_path / "one.pth")
    add_weights("mine", tmp_path / "one.pth", architecture="vggish-pca", folder=tmp_path / "w")
    checkpoint(tmp_path / "w" / "mine.weights", scale=2.0)
    message = refusal(find_weights, "mine", folder=tmp_path / "w")
    assert "`vapipe weights add mine FILE --replace` takes another file" in message


def test_what_cannot_be_added_is_refused_with_the_reason(tmp_path):
    good = tmp_path / "good.pth"
    checkpoint(good)
    (tmp_path / "page.pth").write_bytes(b"<html>")
    folder = tmp_path / "w"

    def refused(name, file, **options):
        return refusal(add_weights, name, file, folder=folder, **options)

    assert "there is no such file to add as ir50" in refused("ir50", tmp_path / "absent")
    assert "not a readable PyTorch checkpoint" in refused("ir50", tmp_path / "page.pth")
    assert "do not fit ir50" in refused("ir50", good)
    assert refused("mine", good) == (
        "mine is a new name, so say which network the file is for: `vapipe weights add mine "
        "FILE --architecture NETWORK`"
    )
    assert refused("ir50", good, architecture="facenet") == (
        "ir50 is the name of weights of ir50, not facenet; choose another name"
    )
    assert "'Mine!' cannot be the name of weights" in refused(
        "Mine!", good, architecture="vggish-pca"
    )
    assert "no network is called 'resnet51'; there are resnet50, " in refused(
        "mine", good, architecture="resnet51", kind=ConfigError
    )
    assert not folder.exists() or present_names(folder) == []


def test_other_files_in_the_folder_do_not_disturb(tmp_path):
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "README.txt").write_text("mine")
    assert present_names(tmp_path) == []
