"""Wrong weights end `vapipe extract` with one message before any video is read."""

import re

import pytest
import torch
from clips import PAL, constant_times, write_clip
from terminal import vapipe_
from torchvision.models import resnet18, resnet50


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A ResNet-18 and half a ResNet-50, both called weights of a ResNet-50."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    torch.save(resnet18().state_dict(), folder / "other.pth")
    torch.save(resnet50().state_dict(), folder / "half.pth")
    whole = (folder / "half.pth").read_bytes()
    (folder / "half.pth").write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (
            "other.pth",
            r"do not fit resnet50: \d+ missing \(layer1\.0\.bn3\.bias, .* of another sha",
        ),
        ("half.pth", r"half\.pth: .*(cut off|incomplete|half)"),
        ("absent.pth", r"there is no file of weights .*absent\.pth; correct the option `weights`"),
    ],
)
def test_weights_that_do_not_fit_are_one_message(tmp_path, files, file, says):
    times = constant_times(PAL, 5)
    (tmp_path / "videos").mkdir()
    for name in ("a", "b"):
        write_clip(tmp_path / "videos" / f"{name}.mp4", times=times)
    config = tmp_path / "streams.toml"
    config.write_text(f'[streams.resnet50]\nweights = "{files / file}"\n')
    words = ["extract", "--videos", tmp_path / "videos", "--cache", tmp_path / "cache"]
    words += ["--config", config, "--faces", "frame"]
    result = vapipe_(*words)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert re.search(says, result.stderr), result.stderr
    assert not list((tmp_path / "cache").rglob("*.h5"))
