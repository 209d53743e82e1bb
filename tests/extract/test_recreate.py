"""An identity is enough to make a stream again, under the same key or not at all."""

import json
from dataclasses import replace

import pytest
from torch import nn

from vapipe.cache import ConfigError
from vapipe.cache.durable import digest_file
from vapipe.errors import WeightsError
from vapipe.extract.encoders import registry
from vapipe.extract.encoders.registry import encoder_options
from vapipe.extract.faces.crops import CropConfig
from vapipe.extract.recreate import Wanted, recreate, stream_config
from vapipe.extract.streams import StreamConfig, bind
from vapipe.extract.views import View
from vapipe.extract.weights.files import FOLDER_VARIABLE, all_entries, find_weights, pin_file
from vapipe.extract.weights.table import WEIGHT_TABLE

# Of each encoder, options that are not the default ones; all but the device.
OPTIONS = {
    "facenet": {"weights": "my-facenet", "precision": "bfloat16"},
    "ir50": {"weights": "my-ir50", "size": 48, "centre": 40, "precision": "float32"},
    "logmel": {
        "bands": 40, "f_min": 50.0, "f_max": 7000.0, "window": 320, "hop": 80, "n_fft": 512,
        "eps": 1e-4,
    },
    "onet": {},
    "resnet50": {"weights": "my-resnet50", "size": 96, "precision": "bfloat16"},
    "vggish": {
        "weights": "my-vggish", "placement": "forward", "relu": True, "pca": "my-vggish-pca",
        "precision": "float32",
    },
    "wavlm": {
        "size": "large", "layer": (3, -1), "weights": "my-wavlm-large", "chunk": 4.2,
        "context": 0.7, "precision": "float32",
    },
}  # fmt: skip
CROPS = [
    CropConfig(),
    CropConfig(source="frame", size=96, lines=200),
    CropConfig(margin=0.1, thresholds=(0.5, 0.6, 0.8), every=1, smooth=0.0, align="points"),
]


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder with a small file called my-NETWORK for each network; loading gives stand-ins."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    for network in ("facenet", "ir50", "resnet50", "vggish", "vggish-pca", "wavlm-large"):
        own_weights(folder, f"my-{network}", network)
    for module in ("facenet", "ir50", "resnet50", "vggish", "wavlm"):
        place = f"vapipe.extract.encoders.{module}.load_network"
        monkeypatch.setattr(place, lambda file, **options: nn.Sequential(nn.Identity()))
    monkeypatch.setattr(
        "vapipe.extract.encoders.wavlm.WavLMLayers", lambda network, **options: nn.Identity()
    )
    return folder


def own_weights(folder, name, architecture):
    (folder / f"{name}.weights").write_text(name)
    entry = replace(
        WEIGHT_TABLE["ir50"], name=name, architecture=architecture, file=f"{name}.weights"
    )
    pin_file(entry, folder, digest_file(folder / entry.file))


def wanted(config, crops=CROPS[0]):
    """What a run would remember of a stream, through JSON."""
    stream = bind(config, crops, "cpu")
    return Wanted(config.name, stream.key, json.loads(json.dumps(stream.identity)))


def test_the_cases_name_every_option_of_every_encoder():
    # Other tests register encoders of their own in this process.
    ours = [n for n, made in registry._ENCODERS.items() if made.__module__.startswith("vapipe.")]
    assert sorted(OPTIONS) == sorted(ours)
    for name, options in OPTIONS.items():
        assert {*options, "device"} == set(encoder_options(name)), name


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_every_encoder_with_any_options_gets_its_key_again(weights, tmp_path, name):
    config = StreamConfig("s", name, tuple(sorted(OPTIONS[name].items())), dtype="float32")
    stream = wanted(config)
    (settings,) = recreate([stream], cache=tmp_path, device="cpu")  # checks the keys
    made = settings.streams[0]
    assert (made.name, made.encoder, made.dtype) == ("s", name, "float32")
    assert wanted(made, settings.crops) == stream


@pytest.mark.parametrize("crops", CROPS, ids=["default", "frame", "points"])
@pytest.mark.parametrize("view", ["whole", "flip", "random3"])
def test_any_cropping_and_view_gets_its_key_again(tmp_path, crops, view):
    stream = wanted(StreamConfig("faces~x", "onet", view=View(view)), crops)
    (settings,) = recreate([stream], cache=tmp_path, device="cpu")
    assert settings.streams[0].view == View(view)
    assert settings.crops == crops or crops.source == "frame"
    assert wanted(settings.streams[0], settings.crops) == stream


def test_streams_of_different_crops_are_extracted_apart(tmp_path):
    streams = [
        wanted(StreamConfig("near", "onet"), CROPS[2]),
        wanted(StreamConfig("far", "onet"), CROPS[1]),
        wanted(StreamConfig("again", "onet"), CROPS[2]),
    ]
    found = recreate(streams, cache=tmp_path, device="cpu")
    assert [[s.name for s in settings.streams] for settings in found] == [
        ["near", "again"],
        ["far"],
    ]


def test_weights_of_the_table_that_are_not_here_are_named(weights, tmp_path):
    entry = WEIGHT_TABLE["facenet-vggface2"]
    stream = wanted(StreamConfig("face", "facenet", (("weights", "my-facenet"),)))
    stream.identity["encoder"]["weights"] = entry.sha256.ljust(64, "0")
    with pytest.raises(WeightsError, match=r"`vapipe weights fetch facenet-vggface2` downloads"):
        recreate([stream], cache=tmp_path, device="cpu")


def test_weights_without_a_name_ask_for_a_name_or_a_file(weights, tmp_path):
    stream = wanted(StreamConfig("face", "facenet", (("weights", "my-facenet"),)))
    digest = find_weights("my-facenet").sha256
    for path in weights.glob("my-facenet.*"):
        path.rename(tmp_path / path.name)
    assert "my-facenet" not in all_entries()
    with pytest.raises(
        ConfigError,
        match=rf"stream face was made with weights of SHA-256 {digest}, which have no name here.*"
        r"vapipe weights add.*\[streams.face\] of a file for --config",
    ):
        recreate([stream], cache=tmp_path, device="cpu")
    path = str(tmp_path / "my-facenet.weights")
    described = StreamConfig("face", "facenet", (("weights", path),))
    assert recreate([stream], cache=tmp_path, device="cpu", described=[described])


@pytest.mark.parametrize("digests", ["ab" * 32, {"config.json": "cd" * 32}])
def test_members_of_families_are_described_in_a_file(digests):
    identity = {"schema": 2, "dtype": "float16", "encoder": {"name": "hf:x", "weights": digests}}
    with pytest.raises(ConfigError, match=r"(abab|cdcd)\w+, which have no name here"):
        stream_config(Wanted("s", "k", identity))


def test_imported_features_cannot_be_made(tmp_path):
    with pytest.raises(ConfigError, match=r"stream mine was not extracted by vapipe \(imported"):
        recreate([Wanted("mine", "k", {"imported": "mine"})], cache=tmp_path, device="cpu")


def test_streams_of_another_schema_are_refused(tmp_path):
    stream = wanted(StreamConfig("onet", "onet"))
    stream.identity["schema"] = 1
    with pytest.raises(ConfigError, match=r"another version of vapipe \(schema 1, this one makes"):
        recreate([stream], cache=tmp_path, device="cpu")


def test_crops_made_elsewhere_need_their_folder(tmp_path):
    stream = wanted(StreamConfig("onet", "onet"), CropConfig(source="crops"))
    with pytest.raises(ConfigError, match=r"stream onet was made of face crops.*--faces DIR"):
        recreate([stream], cache=tmp_path, device="cpu")
    (settings,) = recreate([stream], cache=tmp_path, device="cpu", crops_dir=tmp_path)
    assert settings.crops_dir == tmp_path


def test_another_key_is_refused_with_what_differs(tmp_path):
    stream = wanted(StreamConfig("onet", "onet"))
    crops = stream.identity["crops"]
    crops["version"], crops["weights"]["pnet"] = 1, "other"
    with pytest.raises(
        ConfigError,
        match=r"stream onet would have other values here than in training: .*"
        r"crops.version is 2, was 1, crops.weights.pnet is \w+, was other\. Install the versions",
    ):
        recreate([replace(stream, key="k")], cache=tmp_path, device="cpu")
