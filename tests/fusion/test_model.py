"""The whole model: normalisation, missing rows, padding, targets."""

import dataclasses
import math
import os
import platform
import subprocess
import sys

import pytest
import torch

from vapipe.cache import ConfigError
from vapipe.cache.durable import write_json
from vapipe.device import bfloat16_is_fast
from vapipe.fusion import FitConfig, Model, count_parameters, describe_head, list_heads
from vapipe.fusion.config import option_types
from vapipe.fusion.data.plan import plan_fit
from vapipe.fusion.evaluation.ccc import ccc_loss
from vapipe.fusion.heads import ROLES
from vapipe.fusion.models.network import StreamEncoder, modality_dropout
from vapipe.fusion.models.regressor import REGRESSORS

DIMS = {"video": 10, "audio": 6}


def make(config, **changes):
    torch.manual_seed(0)
    return Model(config=dataclasses.replace(config, **changes), dims=DIMS).eval()


def inputs(batch=3, frames=50):
    torch.manual_seed(1)
    streams = {role: torch.randn(batch, frames, dim) for role, dim in DIMS.items()}
    valid = {role: torch.rand(batch, frames) < 0.8 for role in DIMS}
    mask = torch.ones(batch, frames, dtype=torch.bool)
    mask[1, 30:] = False
    return streams, valid, mask


@pytest.mark.parametrize(("targets", "networks"), [("joint", 1), ("per_target", 2)])
def test_both_targets_come_out_whether_trained_jointly_or_apart(small, targets, networks):
    model = make(small, targets=targets)
    out = model(*inputs())
    assert out.shape == (3, 50, 2)
    assert out.abs().max() < 1
    assert len(model.networks) == networks


EVERY_HEAD = [
    pytest.param(name, variant, id=f"{name}-{variant}")
    for name in list_heads()
    for variant in describe_head(name).variants
]


def complete(config, head, variant, **changes):
    """A complete model of any head, with as many streams as it needs, and its inputs."""
    roles = list(ROLES)[: max(2, describe_head(head).min_streams)]
    dims = {role: (10, 6, 5)[i] for i, role in enumerate(roles)}
    changes = {
        "streams": {role: role for role in roles},
        "tcn_channels": dict.fromkeys(roles, (8,)),
        "head_options": {},
    } | changes
    torch.manual_seed(0)
    model = Model(
        config=dataclasses.replace(config, head=head, variant=variant, **changes), dims=dims
    )
    torch.manual_seed(1)
    streams = {role: torch.randn(3, 50, dim) for role, dim in dims.items()}
    valid = {role: torch.rand(3, 50) < 0.8 for role in dims}
    mask = torch.ones(3, 50, dtype=torch.bool)
    mask[1, 30:] = False
    return model, (streams, valid, mask)


@pytest.mark.parametrize(("head", "variant"), EVERY_HEAD)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("filler", [math.nan, 1e4])
def test_padding_never_matters(small, head, variant, training, filler):
    model, (streams, valid, mask) = complete(small, head, variant)
    model.train(training)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(2)
    clean = model(streams, valid, mask)
    after = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(state)
    dirty = {role: x.masked_fill(~mask[..., None], filler) for role, x in streams.items()}
    unsure = {role: v | ~mask for role, v in valid.items()}
    torch.manual_seed(2)
    out = model(dirty, unsure, mask)
    assert torch.equal(out[mask], clean[mask])
    assert all(torch.equal(after[name], value) for name, value in model.state_dict().items())
    out[mask].sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_what_an_unusable_row_holds_never_matters(small):
    model = make(small)
    streams, valid, mask = inputs()
    out = model(streams, valid, mask)
    for filler in (math.nan, 0.0, 1e4):
        filled = {
            role: x.masked_fill(~valid[role][..., None], filler) for role, x in streams.items()
        }
        assert torch.equal(model(filled, valid, mask), out)


def test_an_unusable_row_is_not_a_row_of_zeros_nor_the_mean():
    torch.manual_seed(0)
    encoder = StreamEncoder(
        dim=3, channels=(4,), kernel_sizes=(3,), dropout=0.0, causal=True
    ).eval()
    x = torch.zeros(1, 5, 3)
    nothing = encoder(x, torch.zeros(1, 5, dtype=torch.bool), None)
    assert not torch.allclose(nothing, encoder(x, None, None), atol=1e-3)


def test_missing_rows_can_enter_as_the_mean_of_the_training_rows(small):
    model = make(small, missing="zero")
    streams, valid, mask = inputs()
    for encoder in model.networks["joint"].encoders.values():
        encoder.mean.normal_()
        encoder.std.uniform_(0.5, 2)
    means = {role: model.networks["joint"].encoders[role].mean for role in streams}
    mean = {
        role: torch.where(valid[role][..., None], x, means[role]) for role, x in streams.items()
    }
    assert torch.equal(model(streams, valid, mask), model(mean, None, mask))
    assert not any("missing" in name for name, _ in model.named_parameters())


def test_without_batch_norm_the_tcn_enters_the_head_as_it_is(small):
    network = make(small, tcn_norm=False).networks["joint"]
    streams, _, mask = inputs()
    encoder = network.encoders["video"]
    assert torch.equal(encoder(streams["video"], None, mask), encoder.tcn(streams["video"], mask))
    assert not any("norm" in name for name, _ in encoder.named_children())


def test_a_window_of_a_silent_stream_still_gives_predictions_and_trains_the_token(small):
    model = make(small).train()
    streams, valid, mask = inputs()
    valid["audio"][:] = False
    out = model(streams, valid, mask)
    out[mask].square().sum().backward()
    assert torch.isfinite(out[mask]).all()
    assert model.networks["joint"].encoders["audio"].missing.grad.any()


def test_every_parameter_of_the_model_gets_a_gradient(small):
    model = make(small, targets="per_target").train()
    model(*inputs()).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_statistics_normalise_the_usable_rows():
    encoder = StreamEncoder(
        dim=2, channels=(3,), kernel_sizes=(3,), dropout=0.0, causal=True
    ).eval()
    x = torch.randn(1, 6, 2)
    before = encoder(x, None, None)
    encoder.mean.copy_(torch.tensor([5.0, -1.0]))
    encoder.std.copy_(torch.tensor([2.0, 0.5]))
    assert torch.allclose(encoder(x * encoder.std + encoder.mean, None, None), before, atol=1e-5)


def test_float16_features_are_computed_in_float32(small):
    model = make(small)
    streams, valid, mask = inputs()
    half = {role: x.half() for role, x in streams.items()}
    same = {role: x.half().float() for role, x in streams.items()}
    assert torch.equal(model(half, valid, mask), model(same, valid, mask))


def test_the_published_grjca_model_has_the_published_parts():
    model = Model(config=FitConfig(), dims={"video": 512, "audio": 128})
    network = model.networks["valence"]
    assert {name for name, _ in network.named_children()} == {"encoders", "head", "regressor"}
    assert [e.tcn.receptive_field for e in network.encoders.values()] == [121, 121]
    assert count_parameters(network) == pytest.approx(8.9e6, rel=0.01)


def test_gates_of_a_network_come_by_name(small):
    gates = {}
    make(small).networks["joint"](*inputs(), gates=gates)
    assert {role: gate.shape for role, gate in gates.items()} == {
        "video": (3, 50, 3),
        "audio": (3, 50, 3),
    }


def test_a_head_that_does_not_fit_the_streams_is_refused(small):
    with pytest.raises(ConfigError, match="grjca fuses at least 2"):
        Model(config=small, dims={"video": 4})


@pytest.mark.parametrize("regressor", REGRESSORS)
@pytest.mark.parametrize("kernels", [(3,), (3, 5, 7)])
def test_padding_never_matters_for_any_regressor_and_number_of_scales(small, regressor, kernels):
    model = make(small, regressor=regressor, tcn_kernels=kernels, head="concat", head_options={})
    streams, valid, mask = inputs()
    dirty = {role: x.masked_fill(~mask[..., None], math.nan) for role, x in streams.items()}
    out = model(dirty, valid, mask)
    assert torch.equal(out[mask], model(streams, valid, mask)[mask])
    assert torch.isfinite(out[mask]).all()


def test_scales_are_tcns_side_by_side(small):
    encoder = StreamEncoder(
        dim=3, channels=(4, 5), kernel_sizes=(3, 7), dropout=0.0, causal=True
    ).eval()
    x = torch.randn(2, 9, 3)
    apart = [tcn(x) for tcn in encoder.tcn.scales]
    assert torch.equal(encoder.tcn(x), torch.cat(apart, -1))
    assert encoder.out_dim == 10
    assert encoder.tcn.receptive_field == max(t.receptive_field for t in encoder.tcn.scales) == 37


def test_without_channels_the_features_enter_the_head_as_they_are(small):
    model = make(small, head="concat", head_options={}, tcn_channels={"video": (), "audio": ()})
    streams, _, mask = inputs()
    network = model.networks["joint"]
    entered = network.encode(streams, None, mask)
    for role, x in streams.items():
        assert torch.equal(entered[role], x.masked_fill(~mask[..., None], 0))


def test_modality_dropout_withholds_whole_streams_but_never_all():
    torch.manual_seed(0)
    streams = {"video": torch.zeros(4000, 3, 1), "audio": torch.zeros(4000, 3, 1)}
    kept = modality_dropout(streams, None, 0.4)
    for valid in kept.values():
        assert (valid.all(1) | ~valid.any(1)).all()
        # Withheld are 0.4 of each, less half of the 0.16 where both would have been.
        assert valid[:, 0].float().mean() == pytest.approx(0.68, abs=0.03)
    assert (kept["video"] | kept["audio"]).all()
    valid = {role: torch.rand(4000, 3) < 0.5 for role in streams}
    further = modality_dropout(streams, valid, 0.4)
    assert all(not (further[role] & ~valid[role]).any() for role in streams)


def test_modality_dropout_acts_in_training_only(small):
    model = make(small, modality_dropout=0.9)
    streams, valid, mask = inputs()
    assert torch.equal(model(streams, valid, mask), make(small)(streams, valid, mask))
    model.train()
    tokens = [encoder.missing for encoder in model.networks["joint"].encoders.values()]
    every = {role: torch.ones_like(v) for role, v in valid.items()}
    model(streams, every, mask)[mask].square().sum().backward()
    assert any(token.grad.any() for token in tokens)


PRECISIONS = option_types()["precision"].__metadata__[0].values


@pytest.mark.parametrize(("head", "variant"), EVERY_HEAD)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_head_trains_a_step_and_predicts_under_every_precision(
    small, head, variant, precision
):
    model, (streams, valid, mask) = complete(small, head, variant, precision=precision)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    model.train()(streams, valid, mask)[mask].square().sum().backward()
    optimizer.step()
    assert all(torch.isfinite(p).all() for p in model.parameters())
    with torch.inference_mode():
        out = model.eval()(streams, valid, mask)
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="oneDNN has such a switch on x86 only")
def test_a_processor_without_bfloat16_units_computes_the_same_and_the_plan_says_so(
    small, planted, tmp_path
):
    """In a process of its own, whose oneDNN knows no more than AVX2."""
    config = dataclasses.replace(small, head="dca", head_options={}, precision="bfloat16")
    write_json(tmp_path / "config.json", config.to_json())
    code = f"""
import sys
from pathlib import Path
import torch
from vapipe.cache import FeatureStore
from vapipe.fusion import FitConfig, Model
from vapipe.fusion.data.plan import plan_fit
config = FitConfig.load(Path({str(tmp_path / "config.json")!r}))
print(*plan_fit(FeatureStore.open({str(planted.root)!r}), config).notes)
torch.manual_seed(0)
model = Model(config=config, dims={DIMS!r})
x = {{role: torch.randn(2, 20, dim) for role, dim in {DIMS!r}.items()}}
model(x).square().sum().backward()
with torch.inference_mode():
    assert torch.isfinite(model.eval()(x)).all()
print("done")
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
    )
    assert run.stdout.startswith("this device has no bfloat16 units, so steps in bfloat16"), run
    assert run.stdout.endswith("done\n"), run.stderr


def test_the_plan_warns_of_bfloat16_where_it_is_slow_only(small, planted):
    config = dataclasses.replace(small, precision="bfloat16")
    notes = plan_fit(planted, config).notes
    slow = [note for note in notes if "no bfloat16 units" in note]
    assert len(slow) == (not bfloat16_is_fast(torch.device("cpu")))
    assert plan_fit(planted, small).notes == [note for note in notes if note not in slow]


def test_bfloat16_predicts_nearly_the_same(small):
    streams, valid, mask = inputs()
    exact = make(small)(streams, valid, mask)
    quick = make(small, precision="bfloat16")(streams, valid, mask)
    assert quick.dtype == torch.float32
    assert not torch.equal(quick, exact)
    assert (quick - exact)[mask].abs().max() < 0.05


@pytest.mark.parametrize(("head", "variant"), EVERY_HEAD)
def test_every_complete_model_trains_every_parameter(small, head, variant):
    model, (streams, valid, mask) = complete(small, head, variant, targets="per_target")
    model.train()
    model(streams, valid, mask)[mask].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("head", ["concat", "lfan"])
def test_a_causal_model_does_not_see_the_future(small, head):
    """Heads that work frame by frame; attention over time sees the whole window by design."""
    model, (streams, _, _) = complete(small, head, "official", causal=True)
    model.eval()
    later = {role: x.clone() for role, x in streams.items()}
    for x in later.values():
        x[:, 30:] += 10 * torch.randn_like(x[:, 30:])
    out, changed = model(streams), model(later)
    assert torch.allclose(out[:, :30], changed[:, :30], atol=1e-6)
    assert not torch.allclose(out[:, 30:], changed[:, 30:], atol=1e-2)


def test_the_released_grjca_network_has_its_published_size_and_learns():
    """TCNs 512 -> 256 and 128 -> 128, M = 2, regressor 384 -> 256 -> 1, windows of 300."""
    config = FitConfig(recipe="published")
    network = Model(config=config, dims={"video": 512, "audio": 128}).networks["valence"]

    def level(inside, outside):  # weight norm keeps a length per output beside the weights
        convolutions = 5 * outside * (inside + outside) + 2 * outside + 2 * outside
        return convolutions + ((inside + 1) * outside if inside != outside else 0)

    video = level(512, 512) * 2 + level(512, 256) + level(256, 256)
    audio = level(128, 128) * 4
    block = 384 * 385 + 2 * 300 * 301 + 256 * 257 + 128 * 129 + 385 * (256 + 128)
    gates = 257 * 3 + 129 * 3
    regressor = 385 * 256 + 2 * 256 + 257
    released = video + audio + 2 * block + gates + regressor
    assert count_parameters(network) == released
    assert count_parameters(network.head) == 2 * block + gates
    torch.manual_seed(0)
    x = {"video": torch.randn(2, 300, 512), "audio": torch.randn(2, 300, 128)}
    target = torch.randn(2, 300).cumsum(1).div(10).tanh()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)
    losses = []
    for _ in range(2):
        torch.manual_seed(1)  # the same dropout, so that the step alone tells
        loss = ccc_loss(network(x)[..., 0], target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[1] < losses[0]
