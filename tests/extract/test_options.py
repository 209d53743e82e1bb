"""Streams are what the user asked for, by name or in TOML, and every mistake is named."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import ConfigError
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.options import StreamConfig, choose_options
from vapipe.extract.spec import find_duplicate_streams, make_specs
from vapipe.extract.views import PART, View

TOML = """
[crops]
margin = 0.5
thresholds = [0.5, 0.6, 0.7]

[streams.onet]
views = ["centre", "flip", "random1"]

[streams.loud]
encoder = "logmel"
dtype = "float32"
bands = 40
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "streams.toml"
    path.write_text(TOML)
    return path


def test_the_default_streams_need_no_file_and_say_why():
    options = choose_options(None, None, None)
    assert [stream.name for stream in options.streams] == ["onet", "logmel"]
    assert "embedded default" in options.reason
    assert options.crops == CropConfig()


def test_a_file_names_streams_options_and_views(file):
    options = choose_options(None, None, file)
    assert options.streams == (
        StreamConfig("onet", "onet", view=View("centre")),
        StreamConfig("onet~flip", "onet", view=View("flip")),
        StreamConfig("onet~random1", "onet", view=View("random1")),
        StreamConfig("loud", "logmel", (("bands", 40),), "float32"),
    )
    assert options.crops == CropConfig(margin=0.5, thresholds=(0.5, 0.6, 0.7))
    assert str(file) in options.reason


def test_names_choose_from_the_file_and_the_command_line_wins(file):
    options = choose_options("loud,logmel", "float16", file)
    assert [(s.name, s.dtype, s.options) for s in options.streams] == [
        ("loud", "float16", (("bands", 40),)),
        ("logmel", "float16", ()),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("streams = 3", "streams are tables"),
        ("[stream.onet]", "table `stream` is unknown; did you mean `streams`"),
        (
            "[crops]\nmargins = 1",
            r"option of \[crops\] `margins` is unknown; did you mean `margin`",
        ),
        ("[streams.'a~b']", "may not hold"),
        ("[streams.onet]\nviews = ['flip', 'flip']", "views is a list of distinct names"),
        ("[streams.onet]\nviews = ['mirror']", "no view is called `mirror`"),
        ("[streams", "cannot read"),
    ],
)
def test_a_wrong_file_is_one_message(tmp_path, text, message):
    path = tmp_path / "streams.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        choose_options(None, None, path)


def test_an_absent_file_and_wrong_names_are_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        choose_options(None, None, tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="distinct names separated by commas"):
        choose_options("onet,onet", None, None)


def test_whatever_changes_values_changes_the_key_and_names_do_not():
    def key(crops=None, **changes):
        config = StreamConfig(**{"name": "x", "encoder": "onet", **changes})
        (spec,) = make_specs([config], crops or CropConfig())
        return spec.key()

    keys = [
        key(),
        key(view=View("flip")),
        key(dtype="float32"),
        key(crops=CropConfig(margin=0.1)),
        key(encoder="logmel"),
        key(encoder="logmel", options=(("bands", 40),)),
    ]
    assert len(set(keys)) == len(keys)
    assert key(name="y") == key()


def test_the_same_network_on_the_same_input_is_noticed():
    configs = [
        StreamConfig("a", "logmel"),
        StreamConfig("b", "logmel", (("bands", 128),), "float32"),
        StreamConfig("c", "logmel", (("bands", 64),)),
        StreamConfig("d", "onet"),
        StreamConfig("e", "onet", view=View("flip")),
    ]
    assert find_duplicate_streams(make_specs(configs, CropConfig())) == [("a", "b")]


def test_sound_has_no_views():
    with pytest.raises(ConfigError, match="views are of pictures; logmel hears sound"):
        make_specs([StreamConfig("a", "logmel", view=View("flip"))], CropConfig())


# -- views -----------------------------------------------------------------------------------------

CROPS = np.random.default_rng(0).integers(0, 255, (3, 48, 48, 3)).astype(np.uint8)


def test_flip_is_the_mirrored_centre_of_the_papers_size():
    centre, flip = View("centre").apply(CROPS, "v"), View("flip").apply(CROPS, "v")
    assert centre.shape == (3, 40, 40, 3)
    assert np.array_equal(centre, CROPS[:, 4:44, 4:44])
    assert np.array_equal(flip, centre[:, :, ::-1])
    assert np.array_equal(View().apply(CROPS, "v"), CROPS)


@given(st.integers(1, 99), st.text(max_size=9))
def test_a_random_view_is_a_fixed_place_of_its_item(number, item):
    view = View(f"random{number}")
    seen = view.apply(CROPS, item)
    assert np.array_equal(seen, view.apply(CROPS, item))
    assert seen.shape == (3, 40, 40, 3)
    windows = np.lib.stride_tricks.sliding_window_view(CROPS, (3, 40, 40, 3)).reshape(-1, 4800 * 3)
    flat = [values.reshape(-1) for values in (seen, seen[:, :, ::-1])]
    assert any((windows == values).all(axis=1).any() for values in flat)


def test_random_views_differ_between_items_and_numbers():
    places = {(n, i): View(f"random{n}")._place(8, i) for n in range(5) for i in "abcdef"}
    assert len(set(places.values())) > 15


def test_a_view_knows_its_margin():
    assert View().margin(0.3) == 0.3
    assert View("flip").margin(0.3) == pytest.approx(1.3 * PART - 1)
