"""A specification is enough to know a stream, compare it and make it again; it loads no network."""

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec

import pytest

from vapipe.cache.durable import digest_file
from vapipe.errors import ConfigError, WeightsError
from vapipe.extract.encoders import registry
from vapipe.extract.encoders.registry import option_names
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.options import StreamConfig
from vapipe.extract.prepare import recorded_specs, repeat_streams
from vapipe.extract.spec import EncoderSpec, make_specs
from vapipe.extract.views import View
from vapipe.extract.weights.files import FOLDER_VARIABLE, all_entries, find_weights, pin_file
from vapipe.extract.weights.table import WEIGHT_TABLE

SMILE = version("opensmile") if find_spec("opensmile") else ""
# Of each encoder, options that are not the default ones; all but the device.
OPTIONS = {
    "egemaps": {"window": 1.0, "opensmile": SMILE},
    "facenet": {"weights": "my-facenet", "precision": "bfloat16"},
    "ir50": {"weights": "my-ir50", "size": 48, "centre": 40, "precision": "float32"},
    "logmel": {
        "bands": 40, "f_min": 50.0, "f_max": 7000.0, "window": 320, "hop": 80, "n_fft": 512,
        "eps": 1e-4,
    },
    "mfcc": {
        "bands": 40, "f_min": 50.0, "f_max": 7000.0, "window": 800, "n_fft": 2048, "n_mfcc": 13,
        "lifter": 22.0,
    },
    "onet": {},
    "resnet50": {"weights": "my-resnet50", "size": 96, "precision": "bfloat16"},
    "vad": {},
    "vggish": {
        "weights": "my-vggish", "placement": "forward", "relu": True, "pca": "my-vggish-pca",
        "precision": "float32",
    },
    "wavlm": {
        "size": "large", "layer": (3, -1), "stack": True, "weights": "my-wavlm-large", "chunk": 4.2,
        "context": 0.7, "precision": "float32",
    },
}  # fmt: skip
ABSENT = {
    name
    for name, package in (("egemaps", "opensmile"), ("vad", "silero_vad"))
    if not find_spec(package)
}
CROPS = [
    CropConfig(),
    CropConfig(source="frame", size=96, lines=200),
    CropConfig(margin=0.1, thresholds=(0.5, 0.6, 0.8), every=1, smooth=0.0, align="points"),
]


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder with a small file called my-NETWORK for each network; none can be loaded."""
    folder = tmp_path / "weights"
    folder.mkdir()
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    for network in ("facenet", "ir50", "resnet50", "vggish", "vggish-pca", "wavlm-large"):
        own_weights(folder, f"my-{network}", network)
    return folder


def own_weights(folder, name, architecture):
    (folder / f"{name}.weights").write_text(name)
    entry = replace(
        WEIGHT_TABLE["ir50"], name=name, architecture=architecture, file=f"{name}.weights"
    )
    pin_file(entry, folder, digest_file(folder / entry.file))


def spec_of(config, crops=CROPS[0], **options):
    return make_specs([config], crops, **options)[0]


def remembered(config, crops=CROPS[0]):
    """What a run would remember of a stream, through JSON."""
    spec = spec_of(config, crops)
    facts = json.loads(json.dumps(spec.to_json(), sort_keys=True))
    return {"stream": config.name, "key": spec.key(), "config": facts}


def repeat(*streams, cache, **options):
    return repeat_streams(streams, cache=cache, device="cpu", **options)


def test_the_cases_name_every_option_of_every_encoder():
    # Other tests register encoders of their own in this process.
    ours = [n for n, made in registry._ENCODERS.items() if made.__module__.startswith("vapipe.")]
    assert sorted(OPTIONS) == sorted(ours)
    for name, options in OPTIONS.items():
        assert {*options} == set(option_names(name)), name


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - ABSENT))
def test_every_encoder_with_any_options_gets_its_key_again(weights, tmp_path, name):
    config = StreamConfig("s", name, tuple(sorted(OPTIONS[name].items())), dtype="float32")
    stream = remembered(config)
    (settings,) = repeat(stream, cache=tmp_path)
    (made,) = settings.specs
    assert made == EncoderSpec.from_json("s", stream["config"])
    assert (made.stream, made.encoder, made.dtype) == ("s", name, "float32")
    assert made.key() == stream["key"]
    assert made.encoder_options() == spec_of(config).encoder_options()


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - ABSENT))
def test_every_option_is_in_the_key_and_no_name_of_weights_is(weights, tmp_path, name):
    """Each option flipped alone gives another key; weights under another name give the same."""
    given = dict(OPTIONS[name])
    plain = {k: v for k, v in given.items() if k in ("weights", "size")}  # what loads at all
    key = spec_of(StreamConfig("s", name, tuple(plain.items()))).key()
    for option in given.keys() - plain.keys():
        flipped = {**plain, option: given[option]}
        if option == "centre":
            flipped["size"], plain_key = (
                48,
                spec_of(StreamConfig("s", name, tuple({**plain, "size": 48}.items()))).key(),
            )
        else:
            plain_key = key
        flipped["relu"] = True if name == "vggish" else None
        flipped = {k: v for k, v in flipped.items() if v is not None}
        changed = spec_of(StreamConfig("s", name, tuple(flipped.items())), precision="bfloat16")
        if option in ("precision", "relu", "opensmile"):
            continue  # below
        assert replace(changed, precision="float32").key() != plain_key or changed.key() != key
    if "weights" in given:
        path = weights / f"{given['weights']}.weights"
        by_path = spec_of(StreamConfig("s", name, tuple({**plain, "weights": str(path)}.items())))
        assert by_path.key() == key
        path.write_text("other content")
        other = spec_of(StreamConfig("s", name, tuple({**plain, "weights": str(path)}.items())))
        assert other.key() != key


@pytest.mark.parametrize("crops", CROPS, ids=["default", "frame", "points"])
@pytest.mark.parametrize("view", ["whole", "flip", "random3"])
def test_any_cropping_and_view_gets_its_key_again(tmp_path, crops, view):
    stream = remembered(StreamConfig("faces~x", "onet", view=View(view)), crops)
    (settings,) = repeat(stream, cache=tmp_path)
    assert settings.specs[0].view == view
    assert settings.specs[0].crops == crops
    assert settings.keys == {"faces~x": stream["key"]}


def test_streams_of_one_name_are_extracted_apart_and_others_together(tmp_path):
    streams = [
        remembered(StreamConfig("near", "onet"), CROPS[2]),
        remembered(StreamConfig("far", "onet"), CROPS[1]),
        remembered(StreamConfig("near", "onet"), CROPS[1]),
        remembered(StreamConfig("near", "onet"), CROPS[2]),
    ]
    found = repeat(*streams, cache=tmp_path)
    assert [list(settings.keys.items()) for settings in found] == [
        [("near", streams[0]["key"]), ("far", streams[1]["key"])],
        [("near", streams[2]["key"])],
    ]


def test_weights_of_the_table_that_are_not_here_are_named(weights, tmp_path):
    entry = WEIGHT_TABLE["facenet-vggface2"]
    stream = remembered(StreamConfig("face", "facenet", (("weights", "my-facenet"),)))
    stream["config"]["weights"]["weights"]["sha256"] = entry.sha256
    stream["key"] = EncoderSpec.from_json("face", stream["config"]).key()
    with pytest.raises(WeightsError, match=r"`vapipe weights fetch facenet-vggface2` downloads"):
        repeat(stream, cache=tmp_path)


def test_weights_without_a_name_ask_for_a_name_or_a_file(weights, tmp_path):
    stream = remembered(StreamConfig("face", "facenet", (("weights", "my-facenet"),)))
    digest = find_weights("my-facenet").sha256
    for path in weights.glob("my-facenet.*"):
        path.rename(tmp_path / path.name)
    assert "my-facenet" not in all_entries()
    with pytest.raises(
        ConfigError,
        match=rf"stream face was made with weights my-facenet of SHA-256 {digest}, which have no "
        r"name here.*vapipe weights add.*\[streams.face\] of a file for --config",
    ):
        repeat(stream, cache=tmp_path)
    path = tmp_path / "my-facenet.weights"
    described = StreamConfig("face", "facenet", (("weights", str(path)),))
    (settings,) = repeat(stream, cache=tmp_path, described=[described])
    assert settings.specs[0].weights[0].path == path
    path.write_text("other")
    with pytest.raises(ConfigError, match=r"than in training: weights\.weights is .*, was"):
        repeat(stream, cache=tmp_path, described=[described])


def test_imported_features_cannot_be_made(tmp_path):
    imported = {"stream": "mine", "key": "k", "config": {"imported": "mine"}}
    with pytest.raises(ConfigError, match=r"stream mine was not extracted by vapipe \(imported"):
        repeat(imported, cache=tmp_path)


@pytest.mark.parametrize("schema", [1, 3])
def test_streams_of_another_schema_are_refused(tmp_path, schema):
    stream = remembered(StreamConfig("onet", "onet"))
    stream["config"]["schema"] = schema
    with pytest.raises(
        ConfigError, match=rf"another version of vapipe \(schema {schema}, this one makes 5"
    ):
        repeat(stream, cache=tmp_path)


def test_crops_made_elsewhere_need_their_folder_and_others_take_none(tmp_path):
    stream = remembered(StreamConfig("onet", "onet"), CropConfig(source="crops"))
    with pytest.raises(ConfigError, match=r"stream onet was made of face crops.*--faces DIR"):
        repeat(stream, cache=tmp_path)
    (settings,) = repeat(stream, cache=tmp_path, crops_dir=tmp_path)
    assert settings.crops_dir == tmp_path
    with pytest.raises(ConfigError, match="none of the streams onet was made of face crops"):
        repeat(remembered(StreamConfig("onet", "onet")), cache=tmp_path, crops_dir=tmp_path)


def test_what_would_get_other_values_here_is_refused_with_what_differs(tmp_path):
    stream = remembered(StreamConfig("onet", "onet"))
    stream["config"]["crops"]["detector"]["pnet.pt"] = "other"
    stream["config"]["plugin"] = "mine"
    stream["key"] = EncoderSpec.from_json("onet", stream["config"]).key()
    says = (
        r"stream onet would get other values on \S+ than specified: "
        r"crops.detector.pnet.pt is \w+, was other, plugin is None, was mine\. Have the same"
    )
    with pytest.raises(ConfigError, match=says):
        repeat(stream, cache=tmp_path)
    with pytest.raises(ConfigError, match=says):  # as a worker does
        EncoderSpec.from_json("onet", stream["config"]).load("cpu")
    stream["key"] = "k"
    with pytest.raises(ConfigError, match="than in training: its record has been changed"):
        repeat(stream, cache=tmp_path)


def test_auto_precision_is_what_is_recorded_else_what_the_device_does_fast(weights, monkeypatch):
    config = StreamConfig("face", "facenet", (("weights", "my-facenet"),))
    for fast in ("float32", "bfloat16"):
        monkeypatch.setattr("vapipe.extract.spec.fast_precision", lambda device, fast=fast: fast)
        assert spec_of(config).precision == fast
        for had in ("float32", "bfloat16"):
            before = spec_of(config, precision=had)
            assert before.precision == had
            assert spec_of(config, recorded=lambda before=before: [before]) == before
            other = replace(before, dtype="float32")
            assert spec_of(config, recorded=lambda other=other: [other]).precision == fast
            named = replace(config, options=(*config.options, ("precision", fast)))
            assert spec_of(named, precision=had, recorded=lambda b=before: [b]).precision == fast
    assert spec_of(StreamConfig("x", "logmel"), precision="bfloat16").precision == "float32"


def test_a_place_without_a_cache_records_nothing(tmp_path):
    assert recorded_specs(tmp_path / "none") == []


def test_specifications_and_plans_import_no_torch_and_no_decoder(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    code = (
        "import sys; from vapipe.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert not {'torch', 'av', 'scipy'} & set(sys.modules), sys.modules.keys()"
    )
    for words in (["plan", "--device", "cpu"], ["slurm", "x.sh"]):
        command = [sys.executable, "-c", code, *words, "--videos", ".", "--jobs", "1"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("own", [False, True], ids=["of the table", "and of files of one's own"])
def test_all_weights_that_lack_are_named_at_once(tmp_path, monkeypatch, own):
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    streams = [
        StreamConfig("a", "vggish", (("pca", True),)),
        StreamConfig("here", "logmel"),
        StreamConfig("b", "wavlm"),
        StreamConfig("again", "wavlm", (("layer", 3),)),
    ]
    others = [StreamConfig("c", "ir50"), StreamConfig("d", "facenet", (("weights", "./no.pt"),))]
    with pytest.raises(WeightsError) as caught:
        make_specs(streams + others * own, CROPS[0])
    first, *rest = str(caught.value).splitlines()
    named = "vggish vggish-pca wavlm-base"
    assert first.startswith(
        f"the weights {named.replace(' ', ', ')} are not in {tmp_path}; `vapipe weights fetch "
        f"{named}` downloads them. Without a connection here: download https://"
    )
    for name in named.split():
        assert f"`vapipe weights add {name} FILE`" in first
    assert [line.partition(" FILE")[0].split()[-1] for line in rest[:1]] == ["ir50"] * own
    assert ["there is no file of weights no.pt" in line for line in rest[1:]] == [True] * own


def test_what_a_prediction_lacks_is_named_at_once(weights, tmp_path):
    lacking = {"face": ("facenet", "facenet-vggface2"), "voice": ("vggish", "vggish")}
    streams = []
    for stream, (encoder, name) in lacking.items():
        facts = remembered(StreamConfig(stream, encoder, (("weights", f"my-{encoder}"),)))
        facts["config"]["weights"]["weights"]["sha256"] = WEIGHT_TABLE[name].sha256
        facts["key"] = EncoderSpec.from_json(stream, facts["config"]).key()
        streams.append(facts)
    with pytest.raises(WeightsError, match="weights fetch facenet-vggface2 vggish` downloads"):
        repeat(*streams, cache=tmp_path)
