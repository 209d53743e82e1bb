"""Promises that every registered head keeps; a new head is tested by existing."""

import math

import pytest
import torch

from vapipe.cache import ConfigError
from vapipe.fusion import create_head, describe_head, list_heads

LENGTH = 10
DIMS = {"video": 6, "audio": 4, "audio2": 5, "text": 3}


def cases():
    for name in list_heads():
        info = describe_head(name)
        for variant in info.variants:
            for count in range(info.min_streams, 4):
                yield pytest.param(name, variant, count, id=f"{name}-{variant}-{count}")


every_head = pytest.mark.parametrize(("name", "variant", "count"), list(cases()))


def make(name, variant, count, seed=0):
    torch.manual_seed(seed)
    dims = dict(list(DIMS.items())[:count])
    head = create_head(name, dims, length=LENGTH, variant=variant).double().eval()
    for parameter in head.parameters():  # biases away from zero, so that they are tested
        parameter.data += 0.1 * torch.randn_like(parameter)
    return head


def streams_for(head, batch=3, frames=LENGTH, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        role: torch.randn(batch, frames, dim, generator=generator, dtype=torch.float64)
        for role, dim in head.dims.items()
    }


@every_head
@pytest.mark.parametrize(("batch", "frames"), [(1, 1), (2, 3), (5, LENGTH)])
def test_any_batch_and_length_give_the_stated_shape(name, variant, count, batch, frames):
    head = make(name, variant, count)
    out = head(streams_for(head, batch, frames))
    assert out.shape == (batch, frames, head.out_dim)
    assert torch.isfinite(out).all()


@every_head
@pytest.mark.parametrize("filler", [math.nan, math.inf, 1e6])
def test_rows_that_do_not_exist_never_matter(name, variant, count, filler):
    head = make(name, variant, count)
    streams = streams_for(head)
    mask = torch.rand(3, LENGTH, generator=torch.Generator().manual_seed(2)) < 0.6
    dirty = {
        role: x.masked_fill(~mask[..., None], filler).requires_grad_()
        for role, x in streams.items()
    }
    out = head(dirty, mask)
    assert torch.equal(out, head(streams, mask))
    assert not out[~mask].any()
    out.square().sum().backward()
    for x in dirty.values():
        assert torch.isfinite(x.grad).all()
        assert not x.grad[~mask].any()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


@every_head
def test_padding_equals_a_shorter_window(name, variant, count):
    head = make(name, variant, count)
    streams = streams_for(head)
    mask = torch.arange(LENGTH).expand(3, LENGTH) < 7
    short = head({role: x[:, :7] for role, x in streams.items()})
    assert torch.allclose(head(streams, mask)[:, :7], short, atol=1e-12)


@every_head
def test_a_full_mask_changes_nothing(name, variant, count):
    head = make(name, variant, count)
    streams = streams_for(head)
    mask = torch.ones(3, LENGTH, dtype=torch.bool)
    assert torch.equal(head(streams, mask), head(streams))


@every_head
def test_windows_of_a_batch_do_not_see_each_other(name, variant, count):
    head = make(name, variant, count)
    streams = streams_for(head)
    out = head(streams)
    order = [2, 0, 1]
    permuted = head({role: x[order] for role, x in streams.items()})
    assert torch.allclose(permuted, out[order], atol=1e-12)
    single = head({role: x[:1] for role, x in streams.items()})
    assert torch.allclose(single, out[:1], atol=1e-12)


@every_head
def test_the_order_of_the_dictionaries_does_not_matter(name, variant, count):
    head = make(name, variant, count)
    streams = streams_for(head)
    turned = create_head(name, dict(reversed(head.dims.items())), length=LENGTH, variant=variant)
    turned = turned.double().eval()
    turned.load_state_dict(head.state_dict())
    assert torch.equal(turned(dict(reversed(streams.items()))), head(streams))


@every_head
def test_evaluation_is_deterministic_and_survives_its_state_dict(name, variant, count):
    head, other = make(name, variant, count), make(name, variant, count, seed=9)
    streams = streams_for(head)
    other.load_state_dict(head.state_dict())
    assert torch.equal(head(streams), head(streams))
    assert torch.equal(head(streams), other(streams))


@every_head
def test_every_parameter_gets_a_gradient(name, variant, count):
    head = make(name, variant, count)
    head(
        {role: x.requires_grad_() for role, x in streams_for(head).items()}
    ).square().sum().backward()
    for parameter_name, parameter in head.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert parameter.grad.any(), parameter_name


@every_head
def test_gradients_are_right(name, variant, count):
    head = make(name, variant, count)
    streams = streams_for(head, batch=2, frames=4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]).bool()
    roles = list(streams)

    def run(*values):
        return head(dict(zip(roles, values, strict=True)), mask)

    assert torch.autograd.gradcheck(run, [x.requires_grad_() for x in streams.values()])


@every_head
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.05)], ids=["f32", "bf16"]
)
def test_lower_precision_stays_close(name, variant, count, dtype, tolerance):
    head = make(name, variant, count)
    streams = streams_for(head)
    exact = head(streams)
    out = head.to(dtype)({role: x.to(dtype) for role, x in streams.items()})
    assert out.dtype == dtype
    assert (out.double() - exact).abs().max() < tolerance * (1 + exact.abs().max())


@every_head
def test_gates_are_given_per_frame_and_by_name(name, variant, count):
    head = make(name, variant, count)
    for gate in head.gates(streams_for(head)).values():
        assert gate.shape[:2] == (3, LENGTH)
        assert torch.isfinite(gate).all()


@every_head
def test_every_head_says_what_it_computes_and_whose_it_is(name, variant, count):
    info = describe_head(name)
    assert info.summary.endswith(".") or "=" in info.summary
    assert info.source
    assert variant in info.variants


@every_head
def test_wrong_streams_shapes_and_masks_are_named(name, variant, count):
    head = make(name, variant, count)
    streams = streams_for(head)
    with pytest.raises(ConfigError, match=r"made for the streams .*video.* it was given speech"):
        head({"speech": streams["video"]})
    with pytest.raises(ConfigError, match=r"stream video must be \[B, L, 6\].*video \[3, 10, 7\]"):
        head({**streams, "video": torch.zeros(3, 10, 7)})
    with pytest.raises(ConfigError, match=r"mask must be bool \[3, 10\]; got torch.bool \[3, 9\]"):
        head(streams, torch.ones(3, 9, dtype=torch.bool))
    with pytest.raises(ConfigError, match=r"mask must be bool \[3, 10\]; got torch.float32"):
        head(streams, torch.ones(3, 10))


def test_the_registry_lists_its_heads_sorted():
    assert list_heads() == sorted(list_heads())
    assert {"concat", "grjca"} <= set(list_heads())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("grcja", {}, r"no head is called `grcja`. Did you mean grjca.*\?.*concat, .*grjca"),
        ("GRJCA", {}, "Did you mean grjca"),
        ("xyz", {}, r"no head is called `xyz`. There are: concat, grjca"),
        ("grjca", {"length": 5, "variant": "mine"}, "no variant `mine`; there are: official"),
        ("grjca", {}, r"grjca needs length=<frames per window>.*got None"),
        ("grjca", {"length": 0}, "got 0"),
        ("grjca", {"length": 5, "recursions": 0}, "at least one recursion, got 0"),
        ("concat", {"recursions": 2}, "concat has no recursions; leave recursions=2 out"),
        ("concat", {"width": 2}, "concat has no option width; its options: none"),
        (
            "grjca",
            {"length": 5, "drop": 0.1},
            r"no option drop; its options: dropout=0.6, temperature=0.1",
        ),
        ("grjca", {"length": 5, "tanh": "both"}, '"value" or "product", got \'both\''),
    ],
)
def test_wrong_names_and_options_are_answered_with_the_right_ones(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        create_head(name, {"video": 4, "audio": 3}, **arguments)


@pytest.mark.parametrize(
    ("name", "dims", "message"),
    [
        ("grjca", {"video": 4}, r"grjca fuses at least 2 stream\(s\), got 1 \(video\)"),
        ("concat", {}, r"at least 1 stream\(s\), got 0 \(none\)"),
        ("concat", {"speech": 4}, "no role is called speech; roles: video, audio, audio2, text"),
        ("concat", {"video": 0}, "stream video has 0 channels"),
    ],
)
def test_wrong_streams_are_refused_when_a_head_is_made(name, dims, message):
    with pytest.raises(ConfigError, match=message):
        create_head(name, dims, length=5)


def test_a_length_is_no_burden_for_heads_without_one():
    assert create_head("concat", {"video": 4}, length=300).out_dim == 4
