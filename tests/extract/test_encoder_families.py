"""Networks of optional packages: from files alone, complete or refused; names and equality."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from random_weights import cosine, save, spread_cosine
from torchvision.transforms.v2 import functional as transforms

from vapipe.cache import Timeline
from vapipe.errors import ConfigError, MissingPackageError, WeightsError
from vapipe.extract.encoders import (
    create_encoder,
    encoder_options,
    list_encoders,
    list_families,
    register_family,
    summarise_encoder,
)
from vapipe.extract.encoders.hf_speech import feature_steps
from vapipe.extract.encoders.precision import place, resolve_precision
from vapipe.extract.media.audio import RATE, AudioBlock


def test_families_stand_beside_the_encoders():
    assert list_families() == ["hf", "timm"]
    assert not set(list_families()) & set(list_encoders())
    for name in [*list_encoders(), *list_families()]:
        modality, summary = summarise_encoder(name)
        assert modality in ("visual", "audio")
        assert len(summary) > 20
    with pytest.raises(
        ConfigError, match=r"no encoder `tim:resnet18`; .*onet, .*hf:NAME, timm:NAME"
    ):
        create_encoder("tim:resnet18")
    with pytest.raises(ConfigError, match="no encoder `timm:`; "):
        create_encoder("timm:")
    with pytest.raises(ConfigError, match="`hf:x` has no option `size`; its options are: layer, "):
        create_encoder("hf:x", size=3)
    with pytest.raises(ValueError, match="family `hf` is already HFSpeechOptions"):
        register_family("hf")(object)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("timm:resnet18", "timm", "timm"), ("hf:facebook/hubert-base-ls960", "transformers", "hf")],
)
def test_an_absent_package_is_named_with_the_command_that_installs_it(
    name, package, extra, monkeypatch
):
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(
        MissingPackageError,
        match=rf"^encoder `{name}` needs the package {package}, which cannot be imported "
        rf"\(.*\); install it: pip install 'vapipe\[{extra}\]'$",
    ):
        create_encoder(name)


def test_auto_precision_is_what_the_hardware_does_fast():
    cpu = torch.device("cpu")
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    assert resolve_precision("auto", cpu, "x") == ("bfloat16" if fast else "float32")
    assert resolve_precision("float32", cpu, "x") == "float32"
    assert resolve_precision("bfloat16", cpu, "x") == "bfloat16"


class Delicate(torch.nn.Module):
    """Loses its values in less than float32."""

    def forward(self, x):
        return (x + 10000) - 10000


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_network_that_less_precision_breaks_is_refused(precision):
    options = {"sample": torch.randn(1, 9), "encoder": "mine"}
    place(Delicate(), torch.device("cpu"), "float32", **options)
    with pytest.raises(
        ConfigError,
        match=rf"`mine`: its .* in {precision} on cpu than in float32 on the CPU \(cosi",
    ):
        place(Delicate(), torch.device("cpu"), precision, **options)


def test_steps_of_wav2vec():
    assert feature_steps((5, 2, 2, 2, 2, 2, 2), (10, 3, 3, 3, 3, 2, 2)) == (320, 400)


@pytest.fixture
def timm():
    return pytest.importorskip("timm")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_timm_network_equals_timms(timm, tmp_path, precision):
    torch.manual_seed(0)
    model = timm.create_model("resnet18", num_classes=10).eval().requires_grad_(False)
    weights = save(model, tmp_path / "resnet18.pth")
    model.reset_classifier(0)
    crops = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 3)).astype(np.uint8)
    crops = crops.repeat(4, axis=1).repeat(4, axis=2)
    encoder = create_encoder("timm:resnet18", weights=str(weights), precision=precision, size=96)
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    bicubic = transforms.InterpolationMode.BICUBIC
    pixels = transforms.resize(pixels, [96, 96], interpolation=bicubic, antialias=True) / 255
    facts = model.pretrained_cfg
    given = model(transforms.normalize(pixels.clamp(0, 1), facts["mean"], facts["std"])).numpy()
    features = encoder.encode(crops)
    assert features.shape == (3, encoder.dim) == (3, 512)
    assert cosine(features, given) >= (0.9999 if precision == "float32" else 0.999)
    assert spread_cosine(features, given) >= 0.99
    assert encoder.name == "timm:resnet18"


def test_timm_refuses_what_is_not_there_or_does_not_fit(timm, tmp_path):
    with pytest.raises(ConfigError, match=r"has no network `resnet81`; did you mean resnet.* or "):
        create_encoder("timm:resnet81")
    with pytest.raises(WeightsError, match=r"nothing is downloaded here; .*timm/resnet18\.a1_in1k"):
        create_encoder("timm:resnet18")
    with pytest.raises(WeightsError, match=r"`timm:resnet18`: there is no file of weights /none"):
        create_encoder("timm:resnet18", weights="/none")
    wrong = save(timm.create_model("resnet10t"), tmp_path / "resnet10t.pth")
    with pytest.raises(WeightsError, match=r"do not fit the network: \d+ missing \(.* unexpected"):
        create_encoder("timm:resnet18", weights=str(wrong))


def test_timm_networks_of_one_size_say_so(timm, tmp_path):
    model = timm.create_model("vit_tiny_patch16_224")
    weights = str(save(model, tmp_path / "vit.pth"))
    with pytest.raises(
        ConfigError, match=r"does not take images of 96 pixels .*leave out the optio"
    ):
        create_encoder("timm:vit_tiny_patch16_224", weights=weights, size=96)
    assert create_encoder("timm:vit_tiny_patch16_224", weights=weights).dim == 192


@pytest.fixture
def speech(tmp_path):
    """A small wav2vec 2.0 as the hub has it, and its folder."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=128,
        conv_dim=(64,) * 7,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
    )
    model = transformers.Wav2Vec2ForCTC(config).eval().requires_grad_(False)
    folder = tmp_path / "small wav2vec"
    model.save_pretrained(folder)
    preprocessor = {"do_normalize": True, "sampling_rate": RATE}
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return model.wav2vec2, folder


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_transformers_network_equals_transformers(speech, precision):
    model, folder = speech
    sound = (0.1 * np.random.default_rng(0).normal(size=2 * RATE) + 0.03).astype(np.float32)
    frames = Timeline.from_pts(np.arange(10, 50) / 27)
    normal = torch.from_numpy((sound - sound.mean()) / np.sqrt(sound.var() + 1e-7))[None]
    states = model(normal, output_hidden_states=True).hidden_states
    given = ((states[1] + states[3]) / 2)[0].numpy()
    centres = (200 + 320 * np.arange(len(given))) / RATE
    given = np.stack([np.interp(frames.pts, centres, channel) for channel in given.T], axis=1)
    options = {"weights": str(folder), "layer": [1, -1], "precision": precision}
    encoder = create_encoder("hf:small", **options)
    ((features, _),) = encoder.encode([AudioBlock(0, sound)], frames)
    assert features.shape == (40, encoder.dim) == (40, 64)
    assert cosine(features, given) >= (0.9999 if precision == "float32" else 0.999)
    stacked = create_encoder("hf:small", **options, stack=True)
    ((both, _),) = stacked.encode([AudioBlock(0, sound)], frames)
    assert stacked.dim == 128
    np.testing.assert_allclose((both[:, :64] + both[:, 64:]) / 2, features, atol=1e-5)
    told = encoder_options("hf:small", {**options, "layer": "all", "stack": True}).describe()
    assert (told["layer"], told["stack"]) == ((1, 2, 3), True)
    assert "stack" not in encoder_options("hf:small", options).describe()
    assert encoder.name == "hf:small"
    assert len(encoder_options("hf:small", options).weights_files()) == 3


def test_transformers_folders_must_be_complete_and_of_a_waveform_network(speech, tmp_path):
    _, folder = speech

    def says(pattern, kind=WeightsError, **options):
        with pytest.raises(kind, match=pattern):
            create_encoder("hf:a/b", **options)

    says(r"nothing is downloaded here; get the files of huggingface\.co/a/b yourself")
    says(r"there is no config\.json in /none; put the network's files there", weights="/none")
    file = Path(folder / "preprocessor_config.json")
    file.write_text(json.dumps({"sampling_rate": 8000}))
    says("reads 8000 Hz, sound here has 16000 Hz", ConfigError, weights=str(folder))
    file.write_text("{}")
    says(r"layer must be one or several of 1\.\.3", ConfigError, weights=str(folder), layer=4)
    (folder / "model.safetensors").unlink()
    says(r"no model\.safetensors or pytorch_model\.bin in", weights=str(folder))
    torch.save({"wav2vec2.masked_spec_embed": torch.zeros(64)}, folder / "pytorch_model.bin")
    says(r"do not fit the network: \d+ missing", weights=str(folder))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    says("of type `bert` does not read the waveform", ConfigError, weights=str(folder))
    assert config["model_type"] == "wav2vec2"
