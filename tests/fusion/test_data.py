"""What a fit works on: streams chosen plainly, annotated videos, training statistics only."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from caches import add_features, add_video

from vapipe.cache import CacheError, ConfigError, FeatureStore, Valid, Window
from vapipe.device import choose_device
from vapipe.errors import StreamError
from vapipe.fusion import FitConfig, create_head, list_heads, plan_fit
from vapipe.fusion.data.loader import BatchLoader
from vapipe.fusion.data.plan import choose_streams, fingerprint, make_windows, statistics


def video(rows=20, streams=("onet", "logmel"), **arguments):
    rng = np.random.default_rng(0)
    return {
        "features": {stream: rng.normal(size=(rows, 3)) for stream in streams},
        "labels": np.tile([[0.1, 0.2]], (rows, 1)).astype(np.float32),
        **arguments,
    }


TWO = {"a": video(partition="train"), "b": video(partition="validation")}


def test_the_only_visual_and_the_only_audio_stream_are_taken(make_store):
    plan = plan_fit(make_store(TWO), FitConfig())
    assert plan.config.streams == {"video": "onet", "audio": "logmel"}
    assert plan.config.recursions == 2
    assert plan.dims == {"video": 3, "audio": 3}
    assert (plan.train, plan.validation) == (["a"], ["b"])
    assert plan.windows == [Window("a", 0, 20)]


def test_streams_that_are_named_are_taken(make_store):
    store = make_store({"a": video(streams=("onet", "resnet50", "logmel"))})
    chosen = choose_streams(store, FitConfig(streams={"video": "resnet50", "text": "onet"}))
    assert chosen == {"video": "resnet50", "text": "onet"}


def test_several_streams_of_a_modality_are_listed_with_the_option(make_store):
    store = make_store({"a": video(streams=("onet", "resnet50", "logmel"))})
    with pytest.raises(
        ConfigError,
        match=r"2 visual .*; choose, .* --set streams.video=onet --set streams.audio=logmel$",
    ):
        choose_streams(store, FitConfig())


def test_several_keys_of_a_stream_are_listed_with_the_option(make_store):
    store = make_store({"a": video()})
    add_features(store.root, "a", "onet", np.zeros((20, 3)), key="c3" * 32)
    with pytest.raises(ConfigError, match=r"onet@a1a1a1a1, onet@c3c3c3c3; .*video=onet@a1a1a1a1"):
        choose_streams(FeatureStore.open(store.root), FitConfig())


def test_one_stream_is_enough_for_concat_but_not_for_grjca(make_store):
    store = make_store({"a": video(streams=("logmel",))})
    assert choose_streams(store, FitConfig(head="concat")) == {"audio": "logmel"}
    with pytest.raises(
        ConfigError, match=r"grjca needs 2 streams; .* holds no visual stream \(only logmel\)"
    ):
        choose_streams(store, FitConfig())


@pytest.mark.parametrize("head", list_heads())
@pytest.mark.parametrize(
    "streams",
    [
        ("logmel", "onet", "resnet50"),
        ("logmel", "mfcc", "onet"),
        ("logmel", "mfcc"),
        ("logmel", "mfcc", "onet", "resnet50"),
        ("onet", "resnet50"),
    ],
)
def test_what_is_to_be_typed_where_there_is_a_choice_works(make_store, streams, head):
    store = make_store({"a": video(streams=streams)})
    with pytest.raises(ConfigError) as caught:
        choose_streams(store, FitConfig(head=head))
    advice = str(caught.value).partition("choose, e.g. ")[2]
    if not advice:
        lacking = "second audio" if "onet" in streams and "logmel" in streams else "visual|audio"
        assert re.search(
            rf"head {head} needs . streams; .* holds no ({lacking}) ", str(caught.value)
        )
        return
    typed = dict(word.split("=") for word in advice.replace("--set streams.", "").split())
    assert choose_streams(store, FitConfig(head=head, streams=typed)) == typed
    create_head(head, dict.fromkeys(typed, 8), length=10)


@pytest.mark.parametrize(
    ("streams", "error", "message"),
    [
        ({"video": "logmel"}, ConfigError, "role video takes .* visual, but `logmel` is audio"),
        ({"audio2": "onet"}, ConfigError, "role audio2 takes .* audio, but `onet` is visual"),
        ({"video": "resnet50"}, CacheError, "no stream `resnet50`"),
    ],
)
def test_streams_that_do_not_fit_are_refused(make_store, streams, error, message):
    with pytest.raises(error, match=message):
        choose_streams(make_store({"a": video()}), FitConfig(streams=streams))


def test_a_cache_without_streams_says_how_to_get_them(make_store):
    store = make_store({})
    with pytest.raises(ConfigError, match=r"holds no streams; `vapipe extract"):
        choose_streams(store, FitConfig())


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        (
            {"a": video(labels=None, partition="train"), "b": video(labels=None)},
            "none of the 2 videos .* is annotated; `vapipe labels import FOLDER --videos DIR`",
        ),
        (
            {"a": video(partition="validation"), "b": video()},
            r"no annotated video .* train partition \(the 2 .* in: no partition, validation\)",
        ),
        ({"a": video(partition="train")}, r"validation partition .* ones are in: train\)"),
        (
            {
                "a": video(partition="train"),
                "b": video(partition="validation", labels=np.tile([[0.1, np.nan]], (20, 1))),
            },
            "no frame of the 1 validation video .* is annotated with arousal",
        ),
        (
            {
                "a": video(partition="train", streams=("onet",)),
                "b": video(partition="validation"),
                "c": video(partition="train", streams=("logmel",)),
            },
            r"2 of 3 videos without all streams: a \(logmel\), c \(onet\); "
            "`vapipe extract --streams onet,logmel`",
        ),
    ],
)
def test_what_cannot_be_trained_on_says_how_to_get_it(make_store, videos, message):
    with pytest.raises(ConfigError, match=message):
        plan_fit(make_store(videos), FitConfig())


def test_an_unannotated_video_without_streams_is_no_obstacle(make_store):
    store = make_store({**TWO, "c": video(labels=None, streams=("onet",), partition="test")})
    assert plan_fit(store, FitConfig()).train == ["a"]


def test_windows_without_an_annotated_frame_are_left_out(make_store):
    labels = np.full((50, 2), np.nan, np.float32)
    labels[12:15] = 0.5
    videos = {"a": video(50, labels=labels, partition="train"), "b": TWO["b"]}
    store = make_store(videos)
    plan = plan_fit(store, FitConfig(window=10, stride=10, least_annotated=0))
    assert plan.windows == [Window("a", 10, 20)]
    assert plan.annotated.startswith("6.0% of 50 training frames, ")


def test_windows_with_too_little_speech_are_left_out_where_asked(make_store):
    """Speech is a usable row of `vad` of 0.5 or more; validation is scored as ever."""
    streams = ("onet", "logmel", "vad")
    videos = {
        "a": video(50, streams, partition="train"),
        "b": video(20, streams, partition="validation"),
    }
    speech = np.repeat([0.9, 0.5, 0.49, 1.0, 0.0], [15, 5, 10, 10, 10])
    videos["a"]["features"]["vad"], videos["b"]["features"]["vad"] = (
        values[:, None] for values in (speech, np.zeros(20))
    )
    codes = np.full(50, Valid.AUDIO, np.uint8)
    codes[34:36] = Valid.NO_AUDIO
    videos["a"]["valid"] = {"vad": codes}
    store = make_store(videos)

    def starts(least):
        config = FitConfig(window=10, stride=10, min_speech=least)
        plan = plan_fit(store, config)
        assert plan.config.streams == {"video": "onet", "audio": "logmel"}
        assert f"min_speech = {least:g} leaves {len(plan.windows)} of 5 training windows" in (
            plan.notes
        )
        return [window.start for window in plan.windows], fingerprint(store, plan)

    found = {least: starts(least) for least in (0.8, 0.81, 0.99)}
    assert [windows for windows, _ in found.values()] == [[0, 10, 30], [0, 10], [0, 10]]
    plain = plan_fit(
        store, FitConfig(window=10, stride=10, streams={"video": "onet", "audio": "logmel"})
    )
    assert len(plain.windows) == 5
    assert fingerprint(store, plain) != found[0.99][1]


def test_min_speech_needs_the_stream_and_some_speech(make_store):
    with pytest.raises(StreamError, match=r"the stream vad, which .* does not hold; `vapipe extr"):
        plan_fit(make_store(TWO), FitConfig(min_speech=0.1))
    videos = {part: video(20, partition=part) for part in ("train", "validation")}
    for each in videos.values():
        each["features"]["vad"] = np.zeros((20, 1))
    store = make_store(videos)
    with pytest.raises(StreamError, match=r"2 of 4 videos without all streams: a \(vad\), b"):
        plan_fit(store, FitConfig(min_speech=0.1))
    with pytest.raises(ConfigError, match=r"= 0.1 leaves 0 of 1 training window; lower it"):
        plan_fit(store, FitConfig(min_speech=0.1, missing_streams="skip"))


def test_a_fit_does_not_start_where_implausibly_little_is_annotated(make_store):
    """As where labels of 10 Hz were laid on the first third of a video."""
    labels = np.full((90, 2), np.nan, np.float32)
    labels[:30] = 0.5
    videos = {"a": video(90, labels=labels, partition="train"), "b": TWO["b"]}
    store = make_store(videos)
    with pytest.raises(
        ConfigError, match=r"only 33.3% of the 90 frames of the 1 training video in"
    ):
        plan_fit(store, FitConfig(window=10, stride=10))
    assert plan_fit(store, FitConfig(window=10, stride=10, least_annotated=0.3)).windows


def test_statistics_are_those_of_the_usable_training_rows_each_counted_once(make_store):
    rng = np.random.default_rng(1)
    codes = np.full(25, Valid.IMAGE, np.uint8)
    codes[[3, 4, 20]] = Valid.NO_FACE
    first = rng.normal(3, 2, size=(25, 3)).astype(np.float16)
    first[:, 2] = 7
    first[[3, 4, 20]] = 60000
    other = rng.normal(size=(12, 3)).astype(np.float16)
    other[:, 2] = 7
    videos = {
        "a": {"features": {"onet": first}, "valid": {"onet": codes}},
        "b": {"features": {"onet": other}},
        "c": {"features": {"onet": np.full((30, 3), 1000.0)}},
    }
    store = make_store(videos)
    windows = make_windows(store, ["a", "b"], FitConfig(window=10, stride=6))
    mean, std = statistics(store, windows, {"video": "onet"})["video"]
    rows = np.concatenate([first[codes < 128], other]).astype(np.float64)
    assert np.allclose(mean, rows.mean(0), atol=1e-6)
    assert np.allclose(std[:2], rows.std(0)[:2], atol=1e-6)
    assert std[2] == 1


def test_a_stream_without_any_usable_row_is_named(make_store):
    codes = np.full(20, Valid.NO_AUDIO, np.uint8)
    store = make_store({"a": video(valid={"logmel": codes})})
    with pytest.raises(
        ConfigError, match=r"stream logmel \(role audio\) has no usable row in the 1"
    ):
        statistics(store, [Window("a", 0, 20)], {"audio": "logmel"})


def loader(store, memory, **options):
    config = FitConfig(batch=2, streams={"video": "onet"}, memory=memory, **options)
    return BatchLoader(store, config, choose_device("cpu"))


@pytest.mark.parametrize("memory", ["map", "ram", "device"])
def test_batches_keep_the_order_and_mask_only_where_something_is_padded(make_store, memory):
    store = make_store({"a": video(20), "b": video(5)})
    source = loader(store, memory, window=10, stride=10)
    first, second = source.batches(make_windows(store, ["a", "b"], source.config))
    assert [w.start for w in first.windows] == [0, 10]
    assert first.mask is None
    assert second.mask.sum() == 5
    assert second.annotated.sum() == 10


@pytest.mark.parametrize("memory", ["ram", "device"])
def test_every_memory_policy_gives_the_same_batches(make_store, memory):
    store = make_store({"a": video(23), "b": video(5)})
    mapped, other = (loader(store, policy, window=10, stride=7) for policy in ("map", memory))
    windows = make_windows(store, ["a", "b"], mapped.config)
    for one, two in zip(mapped.batches(windows), other.batches(windows), strict=True):
        assert torch.equal(one.streams["video"], two.streams["video"])
        assert torch.equal(one.valid["video"], two.valid["video"])
        assert torch.equal(one.labels.nan_to_num(9), two.labels.nan_to_num(9))
        assert torch.equal(one.annotated, two.annotated)
        assert (one.mask is None) == (two.mask is None)
        assert one.windows == two.windows


@pytest.mark.parametrize("memory", ["map", "device"])
def test_training_draws_a_stored_view_for_each_window_and_prediction_does_not(make_store, memory):
    features = {"onet": np.zeros((20, 2)), "onet~flip": np.ones((20, 2))}
    store = make_store({"a": {**video(20), "features": features}})
    source = loader(store, memory, window=5, stride=5)
    windows = make_windows(store, ["a"], source.config) * 10
    drawn = [
        float(x.mean())
        for batch in source.batches(windows, np.random.default_rng(0))
        for x in batch.streams["video"]
    ]
    assert set(drawn) == {0.0, 1.0}
    assert 10 < sum(drawn) < 30
    assert all((batch.streams["video"] == 0).all() for batch in source.batches(windows))
    plain = loader(store, memory, window=5, stride=5, views=False)
    again = plain.batches(windows, np.random.default_rng(0))
    assert all((batch.streams["video"] == 0).all() for batch in again)
    assert choose_streams(store, FitConfig(head="concat")) == {"video": "onet"}


def test_a_view_under_two_keys_is_refused(make_store):
    features = {"onet": np.zeros((20, 2)), "onet~flip": np.ones((20, 2))}
    store = make_store({"a": {**video(20), "features": features}})
    add_features(store.root, "a", "onet~flip", np.ones((20, 2)), key="c3" * 32)
    with pytest.raises(ConfigError, match="view onet~flip is stored under 2 keys"):
        loader(FeatureStore.open(store.root), "map", window=5, stride=5)


def test_a_resolved_plan_resolves_to_itself(make_store):
    store = make_store(TWO)
    plan = plan_fit(store, FitConfig())
    assert plan_fit(store, plan.config) == plan
    assert plan_fit(store, dataclasses.replace(plan.config, recursions=3)).config.recursions == 3


def test_videos_of_two_subjects_need_their_shared_audio_once(make_store):
    store = make_store(TWO)
    add_video(store.root, "c", video()["features"], labels=video()["labels"], partition="train")
    assert plan_fit(FeatureStore.open(store.root), FitConfig()).train == ["a", "c"]
