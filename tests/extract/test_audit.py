"""Whatever changes the values of a video's features is extracted again; whatever does not is not.

One video is extracted, then again with one argument flipped. Every option of the command and every
field of what it becomes has its place in a table here.
"""

import dataclasses
import inspect
import re
import shutil

import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from extraction import settings_of
from PIL import Image
from terminal import vapipe_

from vapipe.cache import FeatureStore
from vapipe.cli import main
from vapipe.errors import CacheError
from vapipe.extract.attempts import Policy
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.run import run_extraction
from vapipe.extract.spec import EncoderSpec
from vapipe.extract.task import Settings

ROWS = 24
REPLACED = "the same key: the rows are replaced, since another source of them is noted"
OTHER_KEY = "another key beside the first"

READING = ["--columns", "--rate", "--scale", "--delay", "--annotators", "--interpolation"]
READING += ["--gap", "--missing", "--targets"]

# Option -> what a flip gives, or why nothing is extracted again.
OPTIONS = {
    "--streams": OTHER_KEY,
    "--config": OTHER_KEY,
    "--faces": OTHER_KEY,
    "--dtype": OTHER_KEY,
    "--precision": OTHER_KEY,
    "--video-stream": REPLACED,
    "--audio-stream": REPLACED,
    "--labels": REPLACED,  # where annotations name another side of the picture
    **dict.fromkeys(READING, "how annotations are read; labels follow without extracting"),
    "--videos": "which videos there are; a video is known by its id and the digest of its file",
    "--ids": "how videos are called; another id is another video",
    "--cache": "where the features go",
    "--split": "partitions are stored beside the features, not in them",
    "--device": "the same within the stated tolerance; how exactly is computed is --precision",
    "--devices": "a batch is of one video, wherever it is computed",
    "--verbose": "what is told",
    "--dry-run": "nothing is done",
    "--jobs": "one thread computes a video, whichever process it is in",
    "--retries": "how failures are met",
    "--time-limit": "how failures are met",
    "--memory-limit": "how failures are met",
    "--max-failures": "how failures are met",
    "--retry-failed": "how failures are met",
    "--partition": "which of the videos",
    "--scheduler": "the same function runs in other processes",
}
SETTINGS = {
    "cache": OPTIONS["--cache"],
    "specs": OTHER_KEY,
    "crops_dir": REPLACED,
    "device": OPTIONS["--device"],
    "video_stream": REPLACED,
    "audio_stream": REPLACED,
}
# Field of a specification -> another value of it; all are part of the key but the name.
SPEC = {
    "stream": None,
    "encoder": "other",
    "modality": "audio",
    "options": (("bands", 3),),
    "weights": (),
    "precision": "bfloat16",
    "dtype": "float32",
    "view": "flip",
    "crops": CropConfig(source="frame"),
    "detector": (("pnet.pt", "other"),),
    "plugin": "ab" * 32,
    "schema": 99,
}


def test_every_argument_has_its_place_in_a_table():
    extract = main.commands["extract"]
    assert {parameter.opts[0] for parameter in extract.params} == set(OPTIONS)
    assert {field.name for field in dataclasses.fields(Settings)} == set(SETTINGS)
    assert {field.name for field in dataclasses.fields(EncoderSpec)} == set(SPEC)
    policy = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Policy)}
    assert policy - {"--grace"} <= set(OPTIONS)
    known = {"dataset", "settings", "jobs", "policy", "part", "scheduler", "devices", "warn"}
    assert set(inspect.signature(run_extraction).parameters) == known


def test_every_field_of_a_specification_is_in_its_key():
    (spec,) = settings_of(None, "onet", CropConfig()).specs
    assert dataclasses.replace(spec, stream="another").key() == spec.key()
    flipped = {
        name: dataclasses.replace(spec, **{name: value}).key()
        for name, value in SPEC.items()
        if name != "stream"
    }
    assert len({*flipped.values(), spec.key()}) == len(flipped) + 1, flipped
    crops = [
        dataclasses.replace(spec.crops, **{field.name: value})
        for field, value in zip(
            dataclasses.fields(CropConfig),
            ("frame", 96, 0.2, 480, 120, 24, (0.5, 0.6, 0.7), 0.8, 1.0, 5, 0.1, "points"),
            strict=True,
        )
    ]
    keys = {dataclasses.replace(spec, crops=each).key() for each in crops}
    assert len({*keys, spec.key()}) == len(crops) + 1


# -- whole extractions of one video ----------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A video of two streams of pictures and two of sound, and folders of face crops."""
    made = tmp_path_factory.mktemp("made")
    (made / "videos").mkdir()
    write_clip(
        made / "videos" / "clip.mp4",
        times=constant_times(PAL, ROWS),
        sound=Sound(signal=lambda times: 0.3 * np.sin(2 * np.pi * 330 * times)),
        draw=lambda row: np.full((32, 48, 3), 9 * row + 20, np.uint8),
        decoys=True,
    )
    for name, blue in (("crops", 30), ("same", 30), ("others", 200)):
        write_crops(made / name / "clip", blue)
    return made


def write_crops(target, blue):
    target.mkdir(parents=True, exist_ok=True)
    for row in range(1, ROWS + 1):
        Image.new("RGB", (32, 32), (9 * row, 60, blue)).save(target / f"{row:05d}.png")


def extract(folder, cache, *words):
    result = vapipe_("extract", "--videos", folder / "videos", "--cache", cache, *words)
    assert result.exit_code == 0, result.output
    return result.stdout


def plan(folder, cache, *words):
    return vapipe_("plan", "--videos", folder / "videos", "--cache", cache, *words).stdout


def rows(cache, stream):
    store = FeatureStore.open(cache)
    return np.array(store.read(store.videos()[0], stream))


FRAME = ("--faces", "frame", "--jobs", "1")


@pytest.fixture(scope="module")
def extracted(folder, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache") / "cache"
    extract(folder, cache, *FRAME)
    return cache


def test_a_dry_run_of_extract_is_a_plan(folder, tmp_path):
    said = extract(folder, tmp_path / "none", *FRAME, "--dry-run")
    assert said == plan(folder, tmp_path / "none", *FRAME)
    assert "to do: 1 of 1 video" in said
    assert not (tmp_path / "none").exists()


REPLACING = [
    (("--video-stream", "2"), ("onet", "logmel"), "made of video stream 0 of the file, not of 2"),
    (("--audio-stream", "3"), ("logmel",), "made of audio stream 1 of the file, not of 3"),
]


@pytest.mark.parametrize(("words", "stale", "reason"), REPLACING, ids=["video", "audio"])
def test_another_stream_of_the_file_replaces_the_rows(
    folder, extracted, tmp_path, words, stale, reason
):
    cache, fresh = tmp_path / "cache", tmp_path / "fresh"
    shutil.copytree(extracted, cache)
    said = plan(folder, cache, *FRAME, *words)
    for stream in ("onet", "logmel"):
        assert bool(re.search(rf"{stream}@\w+: 0 complete, 0 missing, 1 stale", said)) == (
            stream in stale
        )
    assert f"stale: {reason}: 1 (clip)" in said
    assert f"clip: {stale[0]} was {reason}" in extract(folder, cache, *FRAME, *words)
    assert "1 complete before" in extract(folder, cache, *FRAME, *words)
    extract(folder, fresh, *FRAME, *words)
    for stream in ("onet", "logmel"):
        assert np.array_equal(rows(cache, stream), rows(fresh, stream))
    assert not np.array_equal(rows(cache, stale[0]), rows(extracted, stale[0]))
    extract(folder, cache, *FRAME)  # and back
    assert np.array_equal(rows(cache, stale[0]), rows(extracted, stale[0]))


def test_naming_the_default_streams_changes_nothing(folder, extracted, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(extracted, cache)
    words = ("--video-stream", "0", "--audio-stream", "1")
    assert "1 complete before" in extract(folder, cache, *FRAME, *words)


def test_rows_of_streams_that_were_not_asked_for_are_stale_not_served(folder, extracted, tmp_path):
    """Sound follows the timeline, which now is of another stream of pictures."""
    cache = tmp_path / "cache"
    shutil.copytree(extracted, cache)
    extract(folder, cache, *FRAME, "--streams", "onet", "--video-stream", "2")
    with pytest.raises(CacheError, match="`logmel` is made of video stream 0 of the file, not of"):
        rows(cache, "logmel")


def test_other_crops_replace_the_rows_and_the_same_elsewhere_do_not(folder, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(folder / "crops", tmp_path / "crops")
    words = ("--jobs", "1", "--streams", "onet", "--faces")
    extract(folder, cache, *words, tmp_path / "crops")
    first = rows(cache, "onet")
    assert "1 complete before" in extract(folder, cache, *words, folder / "same")
    write_crops(tmp_path / "crops" / "clip", 200)  # replaced in place
    for crops in (tmp_path / "crops", folder / "others"):
        if crops == folder / "others":
            extract(folder, cache, *words, folder / "crops")
        assert "stale: made of other face crops: 1 (clip)" in plan(folder, cache, *words, crops)
        assert "1 video extracted" in extract(folder, cache, *words, crops)
        assert not np.array_equal(rows(cache, "onet"), first)
        assert "1 complete before" in extract(folder, cache, *words, crops)
    assert "0 stale" in plan(folder, cache, *words, folder / "others")


def test_other_options_make_another_key_and_say_which(folder, extracted, tmp_path):
    config = tmp_path / "streams.toml"
    config.write_text("[crops]\nsize = 96\n[streams.onet]\n[streams.logmel]\nbands = 40\n")
    flips = [
        (("--streams", "onet,logmel", "--config", config), "options.bands is 40, was 128"),
        (("--streams", "onet,logmel", "--config", config), "crops.size is 96, was 112"),
        (("--dtype", "float32"), "dtype is float32, was float16"),
        (("--faces", folder / "crops"), "crops.source is crops, was frame"),
    ]
    for words, what in flips:
        said = plan(folder, extracted, *FRAME, *words)
        assert re.search(rf"stale: made otherwise: .*{re.escape(what)}", said), said


def test_what_does_not_change_values_is_complete(folder, extracted, tmp_path):
    """Also where files are touched or moved."""
    moved = tmp_path / "elsewhere" / "videos"
    moved.parent.mkdir()
    shutil.copytree(folder / "videos", moved)
    for words in (
        ("--jobs", "2", "--retries", "3", "--time-limit", "7", "--memory-limit", "9"),
        ("--device", "cpu", "--max-failures", "3", "--partition", "1/1", "--retry-failed"),
    ):
        assert "1 complete before" in extract(moved.parent, extracted, "--faces", "frame", *words)


# -- who is followed -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory, portrait):
    """Two faces, the left one larger."""
    made = tmp_path_factory.mktemp("pair")
    (made / "videos" / "labels").mkdir(parents=True)
    small = np.asarray(Image.fromarray(portrait).resize((96, 96)))

    def draw(row):
        image = np.full((120, 240, 3), 128, np.uint8)
        image[:, :120] = portrait
        image[24:, 134:230] = small[:, ::-1]
        return image

    times = constant_times(PAL, ROWS)
    write_clip(made / "videos" / "pair.mp4", times=times, size=(240, 120), draw=draw, sound=Sound())
    return made


SMALL_FACES = "[crops]\ndetection_lines = 120\nmin_face = 24\n[streams.onet]\n[streams.logmel]\n"


def test_annotations_that_name_another_side_replace_the_rows(pair, tmp_path):
    folder, cache = tmp_path / "data", tmp_path / "cache"
    shutil.copytree(pair, folder)
    config = tmp_path / "streams.toml"
    config.write_text(SMALL_FACES)
    words = ("--config", config, "--jobs", "1")
    extract(folder, cache, *words)
    store = FeatureStore.open(cache)
    main_rows, sound = np.array(store.read("pair", "onet")), sound_shard(cache)
    for item in ("pair", "pair_left"):
        text = "valence,arousal\n" + "0.1,0.2\n" * ROWS
        (folder / "videos" / "labels" / f"{item}.csv").write_text(text)
    said = plan(folder, cache, *words)
    assert re.search(r"onet@\w+: 0 complete, 1 missing, 1 stale", said), said
    assert "stale: the main person was followed, not the right one: 1 (pair)" in said
    assert re.search(r"logmel@\w+: 1 complete", said)
    extract(folder, cache, *words)
    store = FeatureStore.open(cache)
    extract(folder, tmp_path / "fresh", *words)
    fresh = FeatureStore.open(tmp_path / "fresh")
    for item in ("pair", "pair_left"):
        assert np.array_equal(store.read(item, "onet"), fresh.read(item, "onet"))
    assert np.array_equal(store.read("pair_left", "onet"), main_rows)  # the larger face
    assert not np.array_equal(store.read("pair", "onet"), main_rows)
    assert sound_shard(cache) == sound  # nobody's sound in particular: not computed again
    assert "1 complete before" in extract(folder, cache, *words)


def sound_shard(cache):
    (path,) = cache.glob("features/logmel-*/*.h5")
    return path.name, path.stat().st_ino, path.stat().st_mtime_ns
