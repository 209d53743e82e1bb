"""Cross-modal attention of the multi-scale TCN system against its equations, by loops."""

import pytest
import torch
from loops_attention import MASKS, attention_over_time, generic, largest_difference

from vapipe.fusion import create_head, describe_head

MUTATIONS = [
    "no scale",
    "padding is seen",
    "the future is hidden",
    "audio asks",
    "swapped streams",
    "no video",
]


def mstcn(**options):
    torch.manual_seed(3)
    dims = {"video": 4, "audio": 4, "audio2": 4}
    return generic(create_head("mstcn", dims, **{"heads": 2, **options}))


def mstcn_by_loops(head, x, exists, mutation):
    first, second = ("audio2", "audio") if mutation == "swapped streams" else ("audio", "audio2")
    asks = "audio" if mutation == "audio asks" else "video"
    parts = []
    for place, role in (("audio", first), ("audio2", second)):
        rows, _ = attention_over_time(head.attention[place], x[asks], x[role], exists, mutation)
        parts.append(rows)
    out = {}
    for i in parts[0]:
        video = [0.0] * 4 if mutation == "no video" else x["video"][i]
        out[i] = video + parts[0][i] + parts[1][i]
    return out


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_mstcn_computes_its_equations(masks, heads):
    head = mstcn(heads=heads)
    assert largest_difference(head, mstcn_by_loops, masks=masks) < 1e-9
    assert largest_difference(head, mstcn_by_loops, masks=masks, dtype=torch.float32) < 1e-4


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_changed_equation_is_noticed(mutation):
    head = mstcn()
    assert largest_difference(head, mstcn_by_loops, masks="holes", mutation=mutation) > 1e-4


def test_gates_are_the_weights_of_the_equations():
    head = mstcn()
    torch.manual_seed(5)
    x = {role: torch.randn(1, 5, 4, dtype=torch.float64) for role in head.dims}
    exists = [True, False, True, True, False]
    gates = head.gates(x, torch.tensor([exists]))
    assert sorted(gates) == ["audio", "audio2"]
    frames = [0, 2, 3]
    for role, gate in gates.items():
        assert gate.shape == (1, 5, 2, 5)
        assert not gate[..., [1, 4]].any()
        window = {
            name: v[0].masked_fill(~torch.tensor(exists)[:, None], 0).tolist()
            for name, v in x.items()
        }
        _, weights = attention_over_time(
            head.attention[role], window["video"], window[role], exists
        )
        for i in frames:
            expected = torch.tensor(weights[i], dtype=torch.float64)
            assert torch.allclose(gate[0, i][:, frames], expected, atol=1e-12)


def test_streams_may_differ_in_width_and_the_video_sets_the_output():
    head = create_head("mstcn", {"video": 10, "audio": 3, "audio2": 7})
    x = {role: torch.randn(2, 6, dim) for role, dim in head.dims.items()}
    out = head(x)
    assert out.shape == (2, 6, 30)
    assert torch.equal(out[..., :10], x["video"])


def test_the_recipe_has_three_scales_and_the_gelu_regressor():
    recipe = {n: each.value for n, each in describe_head("mstcn").published.items()}
    assert recipe["tcn_kernels"] == (3, 5, 7)
    assert recipe["regressor"] == "gelu"
    assert recipe["tcn_channels"]["audio"] == recipe["tcn_channels"]["audio2"] == (64,) * 4
