"""Series survive the way into a page and back, and are named as the heads define them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from report_runs import undo, unpack

from vapipe.fusion.evaluation.gates import GateGroup, Gates
from vapipe.reports.series import describe_gates, pack_gates, pack_times, pack_values
from vapipe.reports.truth import spans_of

floats = st.floats(-3, 3, width=32) | st.just(np.nan)
tables = st.tuples(st.integers(1, 40), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float32, shape, elements=floats)
)


@settings(max_examples=40, deadline=None)
@given(tables)
def test_packed_values_come_back_within_half_a_step_and_gaps_stay_gaps(values):
    block, step = pack_values(values)
    whole = undo(block, "i2", values.shape[1])
    back = np.where(whole == -32768, np.nan, whole * step)
    assert step <= max(1.0, np.nanmax(np.abs(values), initial=0)) / 32767 * (1 + 1e-6)
    assert np.allclose(back, values, rtol=0, atol=0.5001 * step, equal_nan=True)


@settings(deadline=None)
@given(arrays(np.float16, (7, 3), elements=st.floats(0, 1, width=16)))
def test_packed_gates_come_back_within_half_a_hundredth_of_their_range(values):
    block, low, high = pack_gates(values)
    whole = undo(block, "u1", 3)
    back = np.array(low) + whole * (np.array(high) - np.array(low)) / 100
    assert np.allclose(back, values, atol=0.51 / 100)


def test_times_of_a_constant_rate_need_no_block_and_others_are_exact():
    pts = 1.5 + np.arange(500) * 1001 / 30000
    block, facts = pack_times(np.round(pts, 5))
    assert block is None
    assert np.allclose(facts["start"] + facts["step"] * np.arange(500), pts, atol=1e-4)
    pts[7] += 0.01
    assert np.array_equal(unpack(pack_times(pts)[0], "f8"), pts)
    assert pack_times(np.array([2.0])) == (None, {"start": 2.0, "step": 0.0})


@given(arrays(bool, st.integers(1, 60)))
def test_spans_are_the_marked_rows(marked):
    spans = spans_of(marked)
    again = np.zeros(len(marked), bool)
    for start, stop in spans:
        assert start < stop
        again[start:stop] = True
    assert np.array_equal(again, marked)
    assert (spans[1:, 0] > spans[:-1, 1]).all()  # none touch


@pytest.mark.parametrize(
    ("head", "variant", "gate", "shape", "columns"),
    [
        ("grjca", "official", "video", (3,), ["unattended", "recursion 1", "recursion 2"]),
        ("dca", "official", "audio", (2,), ["unattended", "attended"]),
        ("hgrjca", "official", "video_stage2", (3,), ["unattended", "recursion 1", "recursion 2"]),
        ("hgrjca", "paper", "video_stage2", (2,), ["recursion 1", "recursion 2"]),
        ("hgrjca", "paper", "video_stage1", (2,), ["unattended", "recursion 1"]),
        ("hgrjca", "official", "audio", (2,), ["stage 1", "stage 2"]),
        (
            "lfan",
            "",
            "video",
            (2, 2),
            [f"{r}, head {h}" for h in (1, 2) for r in ("video", "audio")],
        ),
        ("sage", "paper", "reliability", (), ["reliability"]),
        ("sage", "paper", "layer1 attention", (), ["layer1 attention"]),
        ("mine", "", "x", (2,), ["0", "1"]),
    ],
)
def test_columns_of_gates_are_named_as_the_heads_define_them(head, variant, gate, shape, columns):
    group = GateGroup("joint", gate, shape)
    (described,) = describe_gates(Gates([group], {}), head, variant, ["video", "audio"])
    assert described == {
        "network": "joint",
        "gate": gate,
        "attention": "attention" in gate,
        "columns": columns,
    }
    assert len(columns) == group.size
