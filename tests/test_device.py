"""One judge decides where both stages compute: what was asked for, or an error."""

import pytest
import torch

from vapipe.cache import ConfigError
from vapipe.device import check_device_name, choose_device, describe_device, describe_versions


@pytest.fixture
def machine(monkeypatch):
    """A machine with so many CUDA devices, as torch tells."""

    def with_(count):
        monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)

    return with_


@pytest.mark.parametrize(
    ("count", "name", "chosen"),
    [
        (0, "auto", "cpu"),
        (0, "cpu", "cpu"),
        (1, "auto", "cuda"),
        (1, "cpu", "cpu"),
        (1, "cuda", "cuda"),
        (2, "cuda:1", "cuda:1"),
        (2, torch.device("cuda", 0), "cuda:0"),
    ],
)
def test_the_device_is_what_was_asked_for(machine, count, name, chosen):
    machine(count)
    assert choose_device(name) == torch.device(chosen)


@pytest.mark.parametrize(
    ("count", "name", "seen"),
    [
        (0, "cuda", "no CUDA device"),
        (1, "cuda:1", "one CUDA device"),
        (2, "cuda:7", "2 CUDA devices"),
    ],
)
def test_what_is_not_there_is_never_replaced(machine, count, name, seen):
    machine(count)
    with pytest.raises(ConfigError, match=rf"device {name} was .* sees {seen}; take device cpu"):
        choose_device(name)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "mps", "", "CUDA"])
def test_other_names_are_refused_before_torch_is_asked(name):
    for judge in (check_device_name, choose_device):
        with pytest.raises(ConfigError, match=f"device is `{name}`; it may be auto, cpu, cuda or"):
            judge(name)


def test_the_cpu_is_described_with_its_threads():
    assert describe_device(torch.device("cpu")) == f"cpu ({torch.get_num_threads()} threads)"


@pytest.mark.parametrize(
    ("module", "driver"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27", "470.82.01"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Rel", "580.95.05"),
        (None, "unknown"),
    ],
)
def test_a_shard_tells_which_device_and_software_computed(monkeypatch, tmp_path, module, driver):
    if module:
        (tmp_path / "version").write_text(f"{module}\nGCC version: gcc version 12.2.0\n")
    monkeypatch.setattr("vapipe.device._DRIVER", tmp_path / "version")
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"Tesla T4 ({device})")
    describe_versions.cache_clear()
    found = describe_versions("cuda:1")
    describe_versions.cache_clear()
    assert found == {
        "device": "Tesla T4 (cuda:1)",
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
        "driver": driver,
    }
    assert describe_versions("cpu") == {}
