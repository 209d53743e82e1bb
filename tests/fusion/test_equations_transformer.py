"""The transformer head against its equations, by loops; the TCN has loops in test_tcn.py."""

import pytest
import torch
from loops import bilstm, linear
from loops_attention import MASKS, add, encoder, generic, largest_difference, positions

from vapipe.fusion import TCN, create_head
from vapipe.fusion.models.heads.lstm import BiLSTM

SMALL = {"width": 5, "layers": 2, "heads": 2}
MUTATIONS = [
    ("none", "no positions"),
    ("none", "no scale"),
    ("none", "no residual"),
    ("none", "no layer norm"),
    ("none", "padding is seen"),
    ("none", "the future is hidden"),
    ("lstm", "padding enters the LSTM"),
    ("lstm", "no temporal encoder"),
    ("tcn", "no temporal encoder"),
]


def transformer(streams=("video", "audio"), **options):
    dims = {"video": 3, "audio": 2, "text": 2}
    torch.manual_seed(3)
    options = {**SMALL, **options}
    return generic(create_head("transformer", {role: dims[role] for role in streams}, **options))


def transformer_by_loops(head, x, exists, mutation):
    rows = [[v for stream in x.values() for v in stream[i]] for i in range(len(exists))]
    width = head.out_dim
    if mutation == "no temporal encoder":
        inner = head.enter.in_features
        rows = [(row * inner)[:inner] for row in rows]
    elif isinstance(head.temporal, BiLSTM):
        everything = [True] * len(exists)
        counted = everything if mutation == "padding enters the LSTM" else exists
        found = bilstm(head.temporal, rows, counted)
        rows = [found.get(i, [0.0] * 2 * width) for i in range(len(exists))]
    elif isinstance(head.temporal, TCN):
        window = torch.tensor([rows], dtype=torch.float64)
        rows = head.temporal(window, torch.tensor([exists]))[0].tolist()
    places = positions(len(exists), width)
    hidden = []
    for i, here in enumerate(exists):
        row = linear(head.enter, rows[i]) if here else [0.0] * width
        if here and mutation != "no positions" and len(head.encoder.layers):
            row = add(row, places[i])
        hidden.append(row)
    return encoder(head.encoder, hidden, exists, mutation)


@pytest.mark.parametrize("masks", MASKS)
@pytest.mark.parametrize("temporal", ["none", "tcn", "lstm"])
@pytest.mark.parametrize("layers", [0, 2])
def test_the_transformer_computes_its_equations(temporal, layers, masks):
    head = transformer(temporal=temporal, layers=layers)
    assert largest_difference(head, transformer_by_loops, masks=masks) < 1e-9
    assert largest_difference(head, transformer_by_loops, masks=masks, dtype=torch.float32) < 1e-4


@pytest.mark.parametrize("streams", [("audio",), ("video", "audio", "text")])
def test_any_number_of_streams_is_concatenated(streams):
    assert largest_difference(transformer(streams), transformer_by_loops, masks="holes") < 1e-9


@pytest.mark.parametrize(("temporal", "mutation"), MUTATIONS)
def test_a_changed_equation_is_noticed(temporal, mutation):
    head = transformer(temporal=temporal)
    assert largest_difference(head, transformer_by_loops, masks="holes", mutation=mutation) > 1e-4


def test_a_missing_stretch_keeps_the_places_of_the_frames_behind_it():
    head = transformer()
    x = {role: torch.randn(1, 6, dim, dtype=torch.float64) for role, dim in head.dims.items()}
    mask = torch.tensor([[1, 0, 0, 1, 1, 1]]).bool()
    cut = head({role: v[:, mask[0]] for role, v in x.items()})
    assert not torch.allclose(head(x, mask)[:, mask[0]], cut, atol=1e-3)


@pytest.mark.parametrize("length", [1, 700])
def test_any_length_has_positions(length):
    head = transformer()
    x = {role: torch.zeros(1, length, dim, dtype=torch.float64) for role, dim in head.dims.items()}
    out = head(x)[0]
    assert torch.isfinite(out).all()
    assert len(out.round(decimals=9).unique(dim=0)) == length


@pytest.mark.parametrize(
    ("preset", "temporal", "layers"),
    [
        (None, type(None), 2),
        ("ctyunai", TCN, 2),
        ("hfut-mac", type(None), 2),
        ("situ-rucaim3", BiLSTM, 0),
        ("netease-fuxi", type(None), 2),
    ],
)
def test_presets_are_what_the_entries_are(preset, temporal, layers):
    head = create_head("transformer", {"video": 4, "audio": 3}, preset=preset, width=8)
    assert isinstance(head.temporal, temporal)
    assert len(head.encoder.layers) == layers


def test_options_that_are_given_win_over_the_preset():
    head = create_head(
        "transformer", {"video": 4}, preset="situ-rucaim3", temporal="none", layers=3, width=8
    )
    assert head.temporal is None
    assert len(head.encoder.layers) == 3
    assert head.out_dim == 8


def test_defaults_are_as_documented():
    head = create_head("transformer", {"video": 4})
    assert head.out_dim == 256
    assert [layer.attention.heads for layer in head.encoder.layers] == [4, 4]
    assert {m.p for m in head.modules() if isinstance(m, torch.nn.Dropout)} == {0.1}


def test_gates_come_per_layer():
    head = transformer(layers=3)
    x = {role: torch.randn(2, 6, dim, dtype=torch.float64) for role, dim in head.dims.items()}
    gates = head.gates(x)
    assert {name: gate.shape for name, gate in gates.items()} == {
        f"layer{number}": (2, 6, 2, 6) for number in (1, 2, 3)
    }
