"""Networks as ONNX files compute what torch does, for every head, or are refused."""

import json

import numpy as np
import pytest
import torch
from head_options import DIMS, options_of

from vapipe.cache import ConfigError
from vapipe.fusion import FitConfig, describe_head, list_heads
from vapipe.fusion.models.heads import Head
from vapipe.fusion.models.network import Model
from vapipe.fusion.runs import onnx_file
from vapipe.fusion.runs.folder import Run

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

WINDOW = 12
CASES = [
    pytest.param(
        name,
        variant,
        options,
        id=f"{name}-{variant}-{number}",
        marks=[pytest.mark.slow] * bool(number),
    )
    for name in list_heads()
    for variant in describe_head(name).variants
    for number, options in enumerate(options_of(name, variant))
]


@pytest.fixture
def make_run(tmp_path):
    """A run with random weights, statistics and BatchNorm; its cache is not there any more."""

    def make(head="concat", variant="official", options=None, **changes):
        roles = list(DIMS)[: max(2, describe_head(head).min_streams)]
        config = FitConfig(
            head=head,
            variant=variant,
            head_options=options or {},
            streams={role: role for role in roles},
            window=WINDOW,
            stride=WINDOW,
            hidden=8,
            tcn_channels=dict.fromkeys(roles, (6, 6)),
            **{"targets": "joint", **changes},
        ).resolved()
        torch.manual_seed(0)
        model = Model(config=config, dims={role: DIMS[role] for role in roles})
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor += 0.1 * torch.rand_like(tensor)
        streams = {role: {"stream": role, "key": "0" * 64, "dim": DIMS[role]} for role in roles}
        videos = {"train": ["a"], "validation": ["b"]}
        record = {"path": str(tmp_path / "gone"), "streams": streams, "videos": videos}
        (tmp_path / "cache.json").write_text(json.dumps(record))
        return Run(tmp_path, config, streams, model.eval(), torch.device("cpu"))

    return make


def windows(run, frames, length):
    """Windows of so many frames, the rest is padding; NaN wherever nothing may be looked at."""
    generator = torch.Generator().manual_seed(9)
    mask = torch.arange(length) < torch.tensor(frames)[:, None]
    streams, valid = {}, {}
    for role, facts in run.streams.items():
        x = torch.randn(len(frames), length, facts["dim"], generator=generator)
        valid[role] = torch.rand(len(frames), length, generator=generator) < 0.7
        streams[role] = x.masked_fill(~(mask & valid[role])[..., None], torch.nan)
    return streams, valid, mask


def infer(path, streams, valid, mask):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = {"mask": mask, **streams, **{f"{role}_valid": v for role, v in valid.items()}}
    return session.run(["predictions"], {name: x.numpy() for name, x in feed.items()})[0]


@pytest.mark.parametrize(("head", "variant", "options"), CASES)
def test_every_head_as_torch_at_other_sizes_and_with_padding(
    make_run, tmp_path, head, variant, options
):
    run = make_run(head, variant, options)
    written = onnx_file.write_onnx(run, tmp_path / "model.onnx")
    assert written.difference < 1e-4
    for frames, length in (([7, 3, 7, 1, 5], 7), ([WINDOW], WINDOW), ([0, 2], 2)):
        streams, valid, mask = windows(run, frames, length)
        with torch.no_grad():
            expected = run.model(streams, valid, mask).numpy()
        found = infer(written.path, streams, valid, mask)
        assert found.shape == expected.shape
        assert np.abs(found - expected)[mask.numpy()].max() < 1e-5


def test_one_network_per_target_and_bfloat16_are_written_in_float32(make_run, tmp_path):
    run = make_run(targets="per_target", precision="bfloat16")
    written = onnx_file.write_onnx(run, tmp_path / "model.onnx")
    streams, valid, mask = windows(run, [7, 3], 7)
    found = infer(written.path, streams, valid, mask)
    for network in run.model.networks.values():
        network.autocast = False
    with torch.no_grad():
        expected = run.model(streams, valid, mask).numpy()
    assert found.shape == (2, 7, 2)
    assert np.abs(found - expected)[mask.numpy()].max() < 1e-5


def test_a_cache_that_is_gone_leaves_the_rate_unknown(make_run, tmp_path):
    written = onnx_file.write_onnx(make_run(), tmp_path / "model.onnx")
    facts = {entry.key: entry.value for entry in onnx.load(written.path).metadata_props}
    assert facts["fps"].startswith("not known: the cache")


# -- what is refused -------------------------------------------------------------------------------


class Odd(Head):
    """Fuses by a function of the first stream."""

    def __init__(self, model, function):
        network = model.networks["joint"]
        super().__init__(dims=network.head.dims)
        self.function, self.out_dim = function, network.head.out_dim

    def fuse(self, x, mask, gates):
        return self.function(torch.cat(list(x.values()), dim=-1))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x + torch.linalg.eigvalsh(x @ x.mT)[..., None], "cannot be written as ONNX"),
        (lambda x: x + torch.ones(len(x), x.shape[1], 1), "the file does not take"),
        (lambda x: x * float(x.abs().max()), r"differs from torch by [\d.e+-]+ on 3 windows of 12"),
        (lambda x: x * torch.nan, "differs from torch by nan"),
    ],
    ids=["operation", "fixed-size", "fixed-value", "nan"],
)
def test_what_does_not_compute_the_same_is_refused(make_run, tmp_path, function, message):
    run = make_run()
    run.model.networks["joint"].head = Odd(run.model, function)
    with pytest.raises(ConfigError, match=message):
        onnx_file.write_onnx(run, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
