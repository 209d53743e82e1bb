"""WavLM gives what torchaudio's model gives for the whole sound, at the frames' times."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from clips import constant_times, variable_times
from random_weights import cosine, save, spread_cosine
from torchaudio.models import wavlm_base, wavlm_model

from vapipe.cache import Timeline, Valid
from vapipe.cache.layout import stacked_layers
from vapipe.errors import ConfigError, WeightsError
from vapipe.extract.encoders import create_encoder, encoder_options
from vapipe.extract.encoders.waveform import choose_layers
from vapipe.extract.media.audio import RATE, AudioBlock
from vapipe.extract.networks.wavlm import WavLMLayers
from vapipe.extract.weights.files import FOLDER_VARIABLE

BOUNDS = {"float32": (0.9999, 0.9999), "bfloat16": (0.999, 0.99)}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The plain network; its file lies where the default name is looked for."""
    torch.manual_seed(0)
    model = wavlm_base().eval().requires_grad_(False)
    folder = tmp_path_factory.mktemp("weights")
    save(model, folder / "wavlm_base.pth")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        yield model


def voice(seconds):
    """Tones that come and go, with noise."""
    rng = np.random.default_rng(0)
    time = np.arange(seconds * RATE) / RATE
    tones = np.sin(2 * np.pi * (150 * time + 10 * np.sin(5 * time))) * np.sin(9 * time) ** 2
    return (0.3 * tones + 0.02 * rng.normal(size=len(time))).astype(np.float32)


def timeline(times):
    return Timeline.from_pts(np.array([float(time) for time in times]))


def encode(encoder, blocks, frames):
    parts = list(encoder.encode(iter(blocks), frames))
    return np.concatenate([f for f, _ in parts]), np.concatenate([c for _, c in parts])


def at_times(features, start, pts):
    """Features [m, D] every 20 ms of sound from a sample on, at given times, by channel."""
    centres = (start + 200 + 320 * np.arange(len(features))) / RATE
    return np.stack([np.interp(pts, centres, channel) for channel in features.T], axis=1)


def test_equals_torchaudios_on_the_whole_sound(model):
    sound = voice(3)
    start, frames = 1234, timeline(variable_times(110, start=0.05))
    outputs = [o[0].numpy() for o in model.extract_features(torch.from_numpy(sound)[None])[0]]
    heard = (frames.pts * RATE > start) & (frames.pts * RATE < start + len(sound))
    for precision, (plain, spread) in BOUNDS.items():
        encoder = create_encoder("wavlm", precision=precision)
        assert encoder.dim == 768
        features, codes = encode(encoder, [AudioBlock(start, sound)], frames)
        given = at_times(outputs[11], start, frames.pts)
        assert (codes[heard] == Valid.AUDIO).all()
        assert cosine(features[heard], given[heard]) >= plain
        assert spread_cosine(features[heard], given[heard]) >= spread
    again, _ = encode(encoder, [AudioBlock(start, sound)], frames)
    np.testing.assert_array_equal(features, again)
    mean = create_encoder("wavlm", precision="float32", layer=[1, 2, 3])
    features, _ = encode(mean, [AudioBlock(start, sound)], frames)
    given = at_times(np.mean(outputs[:3], axis=0), start, frames.pts)
    assert cosine(features[heard], given[heard]) >= 0.9999


def test_long_sound_in_windows_is_close_to_the_whole_and_the_same_however_it_comes(model):
    sound, frames = voice(9), timeline(constant_times(Fraction(30), 268))
    options = {"precision": "bfloat16", "layer": 4}
    whole, _ = encode(create_encoder("wavlm", **options), [AudioBlock(0, sound)], frames)
    windows = create_encoder("wavlm", chunk=3.0, context=1.5, **options)
    blocks = [AudioBlock(0, sound[:7]), AudioBlock(7, sound[7:90001])]
    cut, _ = encode(windows, [AudioBlock(0, sound)], frames)
    pieces, _ = encode(windows, [*blocks, AudioBlock(90001, sound[90001:])], frames)
    np.testing.assert_array_equal(cut, pieces)
    bare = create_encoder("wavlm", chunk=3.0, context=0.0, **options)
    without_context, _ = encode(bare, [AudioBlock(0, sound)], frames)
    assert cosine(without_context, whole) < 0.97 < 0.98 <= cosine(cut, whole) < 0.99999


def test_stacked_layers_are_the_single_ones_side_by_side(model):
    sound, frames = [AudioBlock(99, voice(2))], timeline(constant_times(Fraction(25), 60))
    stacked = create_encoder("wavlm", layer=[-1, 3], stack=True, precision="float32")
    features, codes = encode(stacked, sound, frames)
    assert stacked.dim == 2 * 768
    assert features.shape == (60, 2 * 768)
    for number, layer in enumerate((3, 12)):
        one = create_encoder("wavlm", layer=layer, precision="float32")
        expected, expected_codes = encode(one, sound, frames)
        part = features[:, 768 * number : 768 * (number + 1)]
        np.testing.assert_allclose(part, expected, atol=1e-5)
        np.testing.assert_array_equal(codes, expected_codes)
    told = encoder_options("wavlm", {"layer": "all", "stack": True}).describe()
    assert (told["layer"], told["stack"]) == (tuple(range(1, 13)), True)
    assert stacked_layers({"options": told}) == list(range(1, 13))


def test_options_tell_layers_by_number_and_what_sound_is_cut_into(model):
    options = encoder_options("wavlm", {"layer": -1})
    assert options.describe() == {"size": "base", "layer": (12,), "chunk": 10.0, "context": 1.5}
    assert len(options.weights_files()["weights"].sha256) == 64
    plus = encoder_options("wavlm", {"size": "base-plus", "layer": 12})
    assert plus.describe() == options.describe()  # one network; their weights differ


def test_a_network_like_large_gets_its_input_normalised():
    options = {
        "extractor_mode": "layer_norm",
        "extractor_conv_layer_config": [(32, 10, 5), (32, 3, 2), (32, 2, 2)],
        "extractor_conv_bias": True,
        "encoder_embed_dim": 48,
        "encoder_projection_dropout": 0.0,
        "encoder_pos_conv_kernel": 8,
        "encoder_pos_conv_groups": 4,
        "encoder_num_layers": 3,
        "encoder_num_heads": 4,
        "encoder_num_buckets": 32,
        "encoder_max_distance": 80,
        "encoder_attention_dropout": 0.0,
        "encoder_ff_interm_features": 64,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.0,
        "encoder_layer_norm_first": True,
        "encoder_layer_drop": 0.0,
        "aux_num_out": None,
    }
    torch.manual_seed(0)
    plain, other = (wavlm_model(**options).eval().requires_grad_(False) for _ in range(2))
    other.load_state_dict(plain.state_dict())
    network = WavLMLayers(other, layers=(1, 3), stack=False, normalise=True)
    sound = 0.01 * torch.randn(2, 4000) + 0.2
    given = []
    for waveform in sound:  # as torchaudio's bundle does with one waveform
        normal = torch.nn.functional.layer_norm(waveform[None], (1, 4000))
        outputs = plain.extract_features(normal)[0]
        given.append((outputs[0] + outputs[2]) / 2)
    torch.testing.assert_close(network(sound), torch.cat(given), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("layer", "chosen"),
    [
        (3, (3,)),
        (-1, (12,)),
        ([12], (12,)),
        ([-1, 2, 2], (2, 12)),
        ("mean", tuple(range(1, 13))),
        ("all", tuple(range(1, 13))),
    ],
)
def test_layers_are_counted_from_one_or_from_the_end(layer, chosen):
    assert choose_layers("wavlm", layer, 12) == chosen


@pytest.mark.parametrize("layer", [0, 13, -13, [], [1, 40], "last", True, 1.5])
def test_layers_that_are_not_there_are_refused(layer):
    with pytest.raises(ConfigError, match=r"`wavlm`: layer must be one or several of 1\.\.12 \(or"):
        create_encoder("wavlm", layer=layer)


def test_other_options_and_absent_weights(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="size `huge` is none of base, base-plus, large"):
        create_encoder("wavlm", size="huge")
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    for size in ("base", "base-plus", "large"):
        with pytest.raises(WeightsError, match=f"the weights wavlm-{size} are not in"):
            create_encoder("wavlm", size=size)
