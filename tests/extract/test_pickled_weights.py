"""The script of docs/weights.md turns pickled models into files that fit; their code never runs."""

import sys
import types
from pathlib import Path

import pytest
import torch
from docs_commands import ROOT, blocks
from safetensors.torch import load_file
from torch import nn
from torchvision.models import resnet50

from vapipe.errors import WeightsError
from vapipe.extract.networks.ir50 import IR50
from vapipe.extract.networks.vggish import VGGish
from vapipe.extract.weights.checkpoints import check_checkpoint, read_state


class Options:
    """Pickles to a call that would leave a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return exec, (f"open({str(self.path)!r}, 'w')",)


def light(build, **options):
    """A network of full size whose large weights are one number each, so that files stay small."""
    with torch.device("meta"):
        network = build(**options)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        for name, value in [*module._parameters.items(), *module._buffers.items()]:
            if value is None:
                continue
            filled = torch.rand((1,) * value.ndim, generator=generator).to(value.dtype)
            small = filled.expand(value.shape) if value.ndim > 1 else filled.expand(value.shape) + 0
            if name in module._parameters:
                module._parameters[name] = nn.Parameter(small, requires_grad=False)
            else:
                module._buffers[name] = small
    return network


def whole(trap, **members):
    """A model of a class that is nowhere to be found any more, and how it is pickled."""
    theirs = types.ModuleType("their_models")
    theirs.Model = type("Model", (nn.Module,), {"__module__": "their_models"})
    model = theirs.Model()
    for name, member in members.items():
        model.add_module(name, member)
    model.options = trap
    return theirs, model


def pickle_to(path, theirs, content, **options):
    sys.modules["their_models"] = theirs
    try:
        torch.save(content, path, **options)
    finally:
        del sys.modules["their_models"]


FILES = {
    "backbone_ir50_ms1m_epoch120": ("ir50", lambda: {"backbone": light(IR50)}),
    "res50_ir_0.887": (
        "ir50",
        lambda: {
            "backbone": light(IR50, crop=40, first_stride=1),
            "logits": light(nn.Linear, in_features=512, out_features=8),
        },
    ),
    "vggish": ("vggish", lambda: dict(light(VGGish).named_children())),
    "fer-resnet50": ("resnet50", lambda: dict(light(resnet50, num_classes=7).named_children())),
}  # fmt: skip


@pytest.fixture
def convert(monkeypatch):
    (script,) = [b.text for b in blocks(ROOT / "docs/weights.md") if b.title == "to_safetensors.py"]

    def run(source: Path, target: Path):
        monkeypatch.setattr(sys, "argv", ["to_safetensors.py", str(source), str(target)])
        exec(compile(script, "to_safetensors.py", "exec"), {"__name__": "__main__"})
        return load_file(target)

    return run


@pytest.mark.parametrize("name", FILES)
def test_a_model_pickled_whole_fits_after_the_script(tmp_path, convert, capsys, name):
    architecture, members = FILES[name]
    trace, source, target = tmp_path / "ran", tmp_path / f"{name}.pth", tmp_path / "out.safetensors"
    theirs, model = whole(Options(trace), **members())
    pickle_to(source, theirs, model)
    with pytest.raises(WeightsError, match=r"more than tensors .*docs/weights.md has a script"):
        read_state(source)
    found = convert(source, target)
    assert not trace.exists()
    expected = model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert f"{len(expected)} tensors: " in capsys.readouterr().out
    check_checkpoint(target, architecture)


@pytest.mark.parametrize("zipped", [True, False])
def test_weights_beside_options_are_taken_out_of_either_format(tmp_path, convert, zipped):
    trace, source = tmp_path / "ran", tmp_path / "x.pth"
    theirs, model = whole(Options(trace), layer=nn.Linear(2, 3))
    content = {"state_dict": model.state_dict(), "options": [Options(trace)], "epoch": 3}
    pickle_to(source, theirs, content, _use_new_zipfile_serialization=zipped)
    found = convert(source, tmp_path / "x.safetensors")
    assert not trace.exists()
    assert list(found) == ["layer.bias", "layer.weight"]
