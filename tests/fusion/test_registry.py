"""Promises that every registered head keeps; a new head is tested by existing."""

import copy
import functools
import io
import math

import pytest
import torch
from head_options import DIMS, options_of
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.cache import ConfigError
from vapipe.commands.heads import _LENGTH, _WIDTHS
from vapipe.fusion import count_parameters, create_head, describe_head, list_heads

LENGTH = 8


def cases(*, fewest_streams_only=False):
    """Every head and variant with the fewest streams, one more (slow), and the most it takes."""
    for name in list_heads():
        info = describe_head(name)
        low, high = info.min_streams, info.max_streams
        for variant in info.variants:
            for number, options in enumerate(options_of(name, variant)):
                few = fewest_streams_only or number > 0
                for count in [low] if few else sorted({low, min(low + 1, high), high}):
                    label = f"{name}-{variant}-{count}" + f"-options{number}" * (number > 0)
                    case = (name, variant, count, tuple(options.items()))
                    slow = [pytest.mark.slow] * (low < count < high)
                    yield pytest.param(case, id=label, marks=slow)


every_head = pytest.mark.parametrize("case", list(cases()))
# For tests that take long and cannot depend on the number of streams.
every_variant = pytest.mark.parametrize("case", list(cases(fewest_streams_only=True)))
few = settings(max_examples=3, deadline=None, database=None)


@functools.cache
def make(case, seed=0):
    """A head in float64 and evaluation; shared, so copy it before you change it."""
    name, variant, count, options = case
    torch.manual_seed(seed)
    dims = dict(list(DIMS.items())[:count])
    head = create_head(name, dims, length=LENGTH, variant=variant, **dict(options))
    head = head.double().eval()
    for parameter in head.parameters():  # biases away from zero, so that they are tested
        parameter.data += 0.1 * torch.randn_like(parameter)
    return head


def streams_for(head, batch=3, frames=LENGTH, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return {
        role: torch.randn(batch, frames, dim, generator=generator, dtype=torch.float64)
        for role, dim in head.dims.items()
    }


def some_loss(out):
    """A loss that no normalisation inside the head makes constant."""
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    return (out * weights.to(out)).sum()


@every_head
@few
@given(batch=st.integers(1, 4), frames=st.integers(1, LENGTH))
def test_any_batch_and_length_give_the_stated_shape(case, batch, frames):
    head = make(case)
    out = head(streams_for(head, batch, frames))
    assert out.shape == (batch, frames, head.out_dim)
    assert torch.isfinite(out).all()


@every_head
@few
@given(
    filler=st.sampled_from([math.nan, math.inf, -math.inf, 1e30]),
    rows=st.lists(st.integers(0, 2**LENGTH - 1), min_size=1, max_size=3),
    training=st.booleans(),
)
def test_rows_that_do_not_exist_never_matter(case, filler, rows, training):
    head = copy.deepcopy(make(case)).train(training)
    streams = streams_for(head, len(rows))
    mask = torch.tensor([[row >> frame & 1 for frame in range(LENGTH)] for row in rows]).bool()
    dirty = {
        role: x.masked_fill(~mask[..., None], filler).requires_grad_()
        for role, x in streams.items()
    }
    torch.manual_seed(5)
    clean = head(streams, mask)
    torch.manual_seed(5)
    out = head(dirty, mask)
    assert torch.equal(out, clean)
    assert torch.isfinite(out).all()
    assert not out[~mask].any()
    some_loss(out).backward()
    for x in dirty.values():
        assert torch.isfinite(x.grad).all()
        assert not x.grad[~mask].any()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters())


@every_head
def test_windows_without_any_row_give_zeros_and_train_nothing(case):
    head = copy.deepcopy(make(case)).train()
    streams = {role: x.requires_grad_() for role, x in streams_for(head).items()}
    mask = torch.zeros(3, LENGTH, dtype=torch.bool)
    out = head(streams, mask)
    assert not out.any()
    some_loss(out).backward()
    assert not any(x.grad.any() for x in streams.values())
    assert not any(p.grad.any() for p in head.parameters())


@every_head
@few
@given(kept=st.integers(1, LENGTH))
def test_padding_equals_a_shorter_window(case, kept):
    head = make(case)
    streams = streams_for(head)
    mask = torch.arange(LENGTH).expand(3, LENGTH) < kept
    short = head({role: x[:, :kept] for role, x in streams.items()})
    assert torch.allclose(head(streams, mask)[:, :kept], short, atol=1e-11)


@every_head
def test_a_full_mask_changes_nothing(case):
    head = make(case)
    streams = streams_for(head)
    mask = torch.ones(3, LENGTH, dtype=torch.bool)
    assert torch.allclose(head(streams, mask), head(streams), atol=1e-12)


@every_head
@few
@given(order=st.permutations(range(3)))
def test_windows_of_a_batch_do_not_see_each_other(case, order):
    head = make(case)
    streams = streams_for(head)
    mask = torch.tensor([[1] * 8, [0, 1] * 4, [1] * 5 + [0] * 3]).bool()
    out = head(streams, mask)
    permuted = head({role: x[order] for role, x in streams.items()}, mask[order])
    assert torch.allclose(permuted, out[order], atol=1e-12)
    single = head({role: x[:1] for role, x in streams.items()}, mask[:1])
    assert torch.allclose(single, out[:1], atol=1e-12)


@every_variant
def test_the_order_of_the_dictionaries_does_not_matter(case):
    head = make(case)
    name, variant, _, options = case
    streams = streams_for(head)
    turned = create_head(
        name, dict(reversed(head.dims.items())), length=LENGTH, variant=variant, **dict(options)
    )
    turned = turned.double().eval()
    turned.load_state_dict(head.state_dict())
    assert torch.equal(turned(dict(reversed(streams.items()))), head(streams))


@every_head
def test_evaluation_is_deterministic_and_survives_its_state_dict(case):
    head, other = make(case), copy.deepcopy(make(case, seed=9))
    streams = streams_for(head)
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    torch.manual_seed(1)
    out = head(streams)
    torch.manual_seed(2)
    assert torch.equal(head(streams), out)
    assert torch.equal(other(streams), out)


@every_variant
def test_dropout_is_reproduced_by_its_seed(case):
    head = copy.deepcopy(make(case)).train()
    streams = streams_for(head)
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(head(streams))
    assert torch.equal(outs[0], outs[1])
    drops = any(isinstance(m, torch.nn.Dropout) and m.p > 0 for m in head.modules())
    assert torch.equal(outs[0], outs[2]) != drops


@every_head
def test_every_parameter_learns_in_training(case):
    head = copy.deepcopy(make(case)).train()
    for seed in range(3):  # dropout may silence a parameter once
        torch.manual_seed(seed)
        streams = streams_for(head, seed=seed)
        some_loss(head({role: x.requires_grad_() for role, x in streams.items()})).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 1e-9, name  # less is rounding, not a gradient


@every_variant
def test_gradients_are_right(case):
    head = make(case)
    streams = streams_for(head, batch=2, frames=4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0]]).bool()
    roles = list(streams)

    def run(*values):
        return head(dict(zip(roles, values, strict=True)), mask)

    assert torch.autograd.gradcheck(
        run, [x.requires_grad_() for x in streams.values()], fast_mode=True
    )


@every_variant
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "autocast"])
def test_lower_precision_stays_close(case, precision):
    head = copy.deepcopy(make(case))
    streams = streams_for(head)
    mask = torch.tensor([[1] * 8, [0, 1] * 4, [1] * 5 + [0] * 3]).bool()
    exact = head(streams, mask)
    dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "autocast"):
        out = head.to(dtype)({role: x.to(dtype) for role, x in streams.items()}, mask)
    if precision != "autocast":
        assert out.dtype == dtype
    tolerance = 1e-4 if precision == "float32" else 0.05
    assert (out.double() - exact).abs().max() < tolerance * (1 + exact.abs().max())


@every_variant
def test_gates_are_given_per_frame_and_by_name(case):
    head = make(case)
    streams = streams_for(head)
    mask = torch.tensor([[1] * 8, [0, 1] * 4, [0] * 8]).bool()
    for gate in head.gates(streams, mask).values():
        assert gate.shape[:2] == (3, LENGTH)
        assert torch.isfinite(gate).all()


@every_head
def test_gates_that_are_weights_sum_to_one(case):
    head = make(case)
    mask = torch.tensor([[1] * 8, [0, 1] * 4, [1] * 5 + [0] * 3]).bool()
    for name, gate in head.gates(streams_for(head), mask).items():
        if (gate < 0).any():  # correlations, not weights
            continue
        if gate.ndim == 2:  # a weight of each frame: over time
            assert not gate[~mask].any(), name
            sums = gate.sum(dim=1)
        else:
            sums = gate[mask].sum(dim=-1)
        assert torch.allclose(sums, torch.ones_like(sums)), name


@every_head
def test_asking_for_gates_does_not_change_the_output(case):
    head = make(case)
    streams = streams_for(head)
    assert torch.allclose(head.fuse(streams, None, {}), head(streams), atol=1e-12)
    mask = torch.tensor([[0] * 8, [0, 1] * 4, [1] * 5 + [0] * 3]).bool()
    zeroed = {role: x.masked_fill(~mask[..., None], 0) for role, x in streams.items()}
    out = head.fuse(zeroed, mask, {})
    assert torch.isfinite(out).all()
    assert torch.allclose(out[mask], head(streams, mask)[mask], atol=1e-12)


@pytest.mark.parametrize("name", list_heads())
def test_the_first_variant_is_the_default(name):
    info = describe_head(name)
    count = info.min_streams
    options = tuple(options_of(name, info.variants[0])[0].items())
    torch.manual_seed(0)
    default = create_head(
        name, dict(list(DIMS.items())[:count]), length=LENGTH, **dict(options)
    ).eval()
    torch.manual_seed(0)
    first = create_head(
        name, default.dims, length=LENGTH, variant=info.variants[0], **dict(options)
    ).eval()
    streams = {role: x.float() for role, x in streams_for(default).items()}
    assert torch.equal(default(streams), first(streams))
    assert "official" not in info.variants[1:]


@every_variant
def test_every_head_says_what_it_computes_and_whose_it_is(case):
    name, variant, *_ = case
    info = describe_head(name)
    assert info.summary.endswith(".") or "=" in info.summary
    assert info.source
    assert variant in info.variants


@every_variant
def test_wrong_streams_shapes_and_masks_are_named(case):
    head = make(case)
    streams = streams_for(head)
    with pytest.raises(ConfigError, match=r"made for the streams .*video.* it was given speech"):
        head({"speech": streams["video"]})
    with pytest.raises(ConfigError, match=r"stream video must be \[B, L, 6\].*video \[3, 8, 7\]"):
        head({**streams, "video": torch.zeros(3, 8, 7)})
    with pytest.raises(ConfigError, match=r"mask must be bool \[3, 8\]; got torch.bool \[3, 9\]"):
        head(streams, torch.ones(3, 9, dtype=torch.bool))
    with pytest.raises(ConfigError, match=r"mask must be bool \[3, 8\]; got torch.float32"):
        head(streams, torch.ones(3, 8))


@pytest.mark.parametrize("name", list_heads())
def test_a_stated_number_of_parameters_is_that_of_the_network(name):
    info = describe_head(name)
    if info.parameter_count is not None:
        widths = dict(list(_WIDTHS.items())[: max(2, info.min_streams)])
        assert info.parameter_count == count_parameters(create_head(name, widths, length=_LENGTH))


def test_the_registry_lists_its_heads_sorted():
    assert list_heads() == sorted(list_heads())
    assert {"concat", "lfan", "mstcn", "sage", "transformer"} <= set(list_heads())


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("grcja", {}, r"no head is called `grcja`. Did you mean grjca.*\?.*concat, .*grjca"),
        ("GRJCA", {}, "Did you mean grjca"),
        ("xyz", {}, r"no head is called `xyz`. There are: concat, .*transformer"),
        ("grjca", {"length": 5, "variant": "mine"}, "no variant `mine`; there are: official"),
        ("grjca", {}, r"grjca needs length=<frames per window>.*got None"),
        ("grjca", {"length": 0}, "got 0"),
        ("grjca", {"length": 5, "recursions": 0}, "at least one recursion, got 0"),
        ("concat", {"recursions": 2}, "concat has no recursions; leave recursions=2 out"),
        ("concat", {"width": 2}, "concat has no option width; its options: none"),
        (
            "grjca",
            {"length": 5, "drop": 0.1},
            r"no option drop; its options: dropout=0.6, mixing=.frames.,",
        ),
        ("lfan", {"width": 9}, "lfan divides width=9 among heads=2"),
        ("lfan", {"heads": 0}, "divides width=32 among heads=0"),
        (
            "rjca",
            {"length": 5, "dropout": 1},
            "head_options.dropout must be a .*>= 0 and < 1, got 1",
        ),
        ("grjca", {"length": 5, "temperature": 0}, "head_options.temperature must be .*> 0, got 0"),
        ("jca", {"length": 5, "joint_width": 0}, "head_options.joint_width must be .*>= 1, got 0"),
        ("sage", {"heads": 0}, "heads must be a whole number >= 1, got 0"),
        ("sage", {"layers": -1}, "layers must be a whole number >= 0, got -1"),
        ("sage", {"variant": "mine"}, "no variant `mine`; there are: paper, scaled, per_modality"),
        ("transformer", {"preset": "fuxi"}, "preset must be one of ctyunai, hfut-mac, situ"),
        ("transformer", {"temporal": "gru"}, "temporal must be one of none, tcn, lstm, got 'gru'"),
        ("transformer", {"width": 0}, "width must be a whole number >= 1, got 0"),
        ("grjca", {"length": 5, "tanh": "product"}, "grjca has no option tanh; its options"),
    ],
)
def test_wrong_names_and_options_are_answered_with_the_right_ones(name, arguments, message):
    with pytest.raises(ConfigError, match=message):
        create_head(name, {"video": 4, "audio": 3}, **arguments)


@pytest.mark.parametrize(
    ("name", "dims", "message"),
    [
        ("grjca", {"video": 4}, r"grjca fuses at least 2 streams, got 1 \(video\)"),
        ("mstcn", {"video": 4, "audio": 3}, r"mstcn fuses at least 3 streams, got 2"),
        ("mstcn", DIMS, r"mstcn fuses at most 3 streams, got 4 \(video, audio, audio2, text\)"),
        ("concat", {}, r"at least 1 stream, got 0 \(none\)"),
        ("concat", {"speech": 4}, "no role is called speech; roles: video, audio, audio2, text"),
        ("concat", {"video": 0}, "stream video has 0 channels"),
    ],
)
def test_wrong_streams_are_refused_when_a_head_is_made(name, dims, message):
    with pytest.raises(ConfigError, match=message):
        create_head(name, dims, length=5)


def test_a_length_is_no_burden_for_heads_without_one():
    assert create_head("concat", {"video": 4}, length=300).out_dim == 4
