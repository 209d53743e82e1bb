"""Damage on purpose: decided per video in frames, the same for all, nothing at severity 0."""

import dataclasses
import hashlib
import sys

import numpy as np
import pytest
import torch
from caches import add_video, make_cache
from hypothesis import given
from hypothesis import strategies as st

from vapipe.cache import ConfigError, FeatureStore, Valid
from vapipe.fusion import Corruption, compare, evaluate, fit, load_run
from vapipe.fusion.data.loader import BatchLoader
from vapipe.fusion.data.plan import make_windows
from vapipe.fusion.evaluation.corruption import (
    KINDS,
    CorruptedLoader,
    corrupt_rows,
    parse_corruption,
    struck_rows,
)

SEVERE = {
    "drop-audio": 0.5,
    "drop-video": 0.5,
    "occlude-video": 0.5,
    "shift-audio": 7,
    "noise-audio": 1.5,
    "noise-video": 1.5,
}


def damage(kind, severity, features, valid, *, seed=0, video="v", stream="s"):
    rows, width = features.shape
    return corrupt_rows(
        Corruption(kind, severity, seed),
        features,
        valid,
        pts=np.arange(rows) / 25,
        deviation=np.arange(1, width + 1, dtype=np.float32),
        video=video,
        stream=stream,
    )


def rows_of(rng, rows=200, width=3):
    return rng.normal(size=(rows, width)).astype(np.float16), rng.random(rows) < 0.9


# -- which rows ------------------------------------------------------------------------------------


@given(
    st.integers(1, 400),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0.05, 5),
    st.integers(0, 2**32 - 1),
)
def test_a_share_is_struck_to_the_row_and_a_larger_one_contains_it(rows, one, other, length, seed):
    less, more = sorted((one, other))
    pts = np.cumsum(np.random.default_rng(seed).choice([0.02, 0.04, 1.0], rows))
    small, large = (
        struck_rows(pts, share, np.random.default_rng(seed), length) for share in (less, more)
    )
    assert small.sum() == round(less * rows)
    assert large.sum() == round(more * rows)
    assert not (small & ~large).any()


def test_rows_are_struck_in_stretches_of_the_length_asked_that_begin_anywhere():
    pts, beginnings = np.arange(10_000) / 25, []
    for seed in range(8):
        struck = struck_rows(pts, 0.3, np.random.default_rng(seed), 2.0)
        edges = np.flatnonzero(np.diff(np.r_[False, struck, False].astype(int)))
        lengths = edges[1::2] - edges[::2]
        # Whole stretches of 50 rows, neighbours joined; but for the last one, which fills the
        # share, and those at the ends of the video.
        assert (lengths % 50 != 0).sum() <= 3
        beginnings.append(edges[2] % 50)
    assert len(set(beginnings)) > 4


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_and_the_video_decide_and_nothing_else(kind):
    features, valid = rows_of(np.random.default_rng(0))

    def outcome(**changes):
        damaged, usable = damage(kind, SEVERE[kind], features, valid, **changes)
        return np.concatenate([damaged.ravel(), usable]).tolist()

    assert outcome() == outcome()
    random = kind != "shift-audio"
    assert (outcome(seed=1) != outcome()) == random
    assert (outcome(video="w") != outcome()) == random
    assert (outcome(stream="t") != outcome()) == kind.startswith("noise")


# -- what happens to them --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_severity_0_changes_nothing_and_none_changes_its_arguments(kind):
    features, valid = rows_of(np.random.default_rng(0))
    features.flags.writeable = valid.flags.writeable = False
    same, usable = damage(kind, 0, features, valid)
    assert np.array_equal(same, features)
    assert np.array_equal(usable, valid)
    damage(kind, SEVERE[kind], features, valid)  # writing would raise


@given(st.floats(0, 1), st.integers(0, 1000))
def test_dropping_leaves_values_and_takes_usability_of_the_share(share, seed):
    features, valid = rows_of(np.random.default_rng(seed))
    same, usable = damage("drop-audio", share, features, valid, seed=seed)
    _, kept = damage("drop-audio", share, features, np.ones(200, bool), seed=seed)
    assert np.array_equal(same, features)
    assert np.array_equal(usable, valid & kept)
    assert (~kept).sum() == round(share * 200)


@given(st.floats(0, 1), st.integers(0, 1000))
def test_occluded_rows_show_the_last_row_before_and_its_usability(share, seed):
    numbers, valid = np.arange(200.0)[:, None], np.random.default_rng(seed).random(200) < 0.5
    held, usable = damage("occlude-video", share, numbers, valid, seed=seed)
    shown = held[:, 0].astype(int)
    steps = np.diff(shown)
    assert shown[0] == 0
    # A row shows itself, or what the row before it shows.
    assert ((shown[1:] == np.arange(1, 200)) | (steps == 0)).all()
    assert round(share * 200) - (shown != np.arange(200)).sum() in (0, 1)  # row 0 shows itself
    assert np.array_equal(usable, valid[shown])


@given(st.integers(-250, 250), st.integers(0, 1000))
def test_shifted_rows_are_those_n_frames_before_and_never_wrap(n, seed):
    features, valid = rows_of(np.random.default_rng(seed))
    shifted, usable = damage("shift-audio", n, features, valid)
    for row in range(200):
        if 0 <= row - n < 200:
            assert np.array_equal(shifted[row], features[row - n])
            assert usable[row] == valid[row - n]
        else:
            assert not usable[row]


def test_noise_has_the_deviation_asked_in_every_channel_and_grows_in_proportion():
    features, valid = rows_of(np.random.default_rng(0), rows=20_000)
    once, usable = damage("noise-video", 0.5, features, valid)
    noise = once - features
    assert np.allclose(noise.std(axis=0), [0.5, 1.0, 1.5], rtol=0.03)
    assert np.abs(noise.mean(axis=0)).max() < 0.03
    assert np.abs(np.corrcoef(noise.T) - np.eye(3)).max() < 0.03
    twice, _ = damage("noise-video", 1.0, features, valid)
    assert np.allclose(twice - features, 2 * noise, atol=1e-5)
    assert np.array_equal(usable, valid)


# -- on the way to the network ---------------------------------------------------------------------


def corrupted(store, config, kind, severity):
    widths = {role: store.dim(name) for role, name in config.streams.items()}
    deviations = {role: np.ones(width, np.float32) for role, width in widths.items()}
    return CorruptedLoader(
        store,
        config,
        torch.device("cpu"),
        corruption=Corruption(kind, severity),
        deviations=deviations,
    )


def frames_seen(loader, videos):
    """(role, video, row) -> everything that any window showed of it."""
    seen = {}
    for batch in loader.batches(make_windows(loader.store, videos, loader.config)):
        for role, x in batch.streams.items():
            for i, window in enumerate(batch.windows):
                for offset in range(window.stop - window.start):
                    shown = (*x[i, offset].float().tolist(), bool(batch.valid[role][i, offset]))
                    seen.setdefault((role, window.video, window.start + offset), set()).add(shown)
                padding = slice(window.stop - window.start, None)
                assert not x[i, padding].any()
                assert not batch.valid[role][i, padding].any()
    return seen


@pytest.mark.parametrize("kind", KINDS)
def test_all_windows_of_all_runs_see_the_same_of_a_frame(planted, small, kind):
    videos = planted.videos()[:4]
    pictures = [
        frames_seen(
            corrupted(planted, dataclasses.replace(small, **changes), kind, SEVERE[kind]), videos
        )
        for changes in (
            {},
            {"window": 31, "stride": 7, "batch": 3},
            {"memory": "ram"},
            {"memory": "device"},
        )
    ]
    assert all(len(shown) == 1 for shown in pictures[0].values())
    assert all(picture == pictures[0] for picture in pictures[1:])
    clean = frames_seen(BatchLoader(planted, small, torch.device("cpu")), videos)
    struck = {"audio": "audio", "visual": "video"}[KINDS[kind][0]]
    changed = {
        role
        for role, _, _ in clean
        if any(clean[key] != pictures[0][key] for key in clean if key[0] == role)
    }
    assert changed == {struck}


def test_streams_of_one_sound_are_dropped_together(make_store, small):
    zeros = np.zeros((300, 2))
    store = make_store({"v": {"features": {"onet": zeros, "logmel": zeros, "vggish": zeros}}})
    streams = {"video": "onet", "audio": "logmel", "audio2": "vggish"}
    config = dataclasses.replace(small, streams=streams)
    for batch in corrupted(store, config, "drop-audio", 0.4).batches(
        make_windows(store, ["v"], config)
    ):
        assert torch.equal(batch.valid["audio"], batch.valid["audio2"])
        assert batch.valid["video"].sum() > batch.valid["audio"].sum()


# -- whole evaluations -----------------------------------------------------------------------------


def digests(root):
    return {p: hashlib.sha256(p.read_bytes()).digest() for p in root.rglob("*") if p.is_file()}


def test_severity_0_is_the_clean_evaluation_exactly_and_the_cache_stays(planted, fitted):
    run, before = load_run(fitted.run_dir, "cpu"), digests(planted.root)
    for kind in KINDS:
        none = evaluate(run, planted, corruption=Corruption(kind, 0))
        assert none.ccc == fitted.evaluation.ccc
        assert none.per_video == fitted.evaluation.per_video
        for video, values in fitted.evaluation.predictions.items():
            assert np.array_equal(none.predictions[video], values)
        worse = evaluate(run, planted, corruption=Corruption(kind, SEVERE[kind]))
        assert worse.ccc["mean"] < none.ccc["mean"]
        assert worse.to_json()["corruption"] == {"kind": kind, "severity": SEVERE[kind], "seed": 0}
    assert digests(planted.root) == before


def test_noise_is_measured_by_the_rows_the_run_was_trained_on(planted, fitted, monkeypatch):
    given = {}

    class Spy(CorruptedLoader):
        def __init__(self, *arguments, deviations, **options):
            given.update(deviations)
            super().__init__(*arguments, deviations=deviations, **options)

    # By its module's name: in the package `evaluate` is the function.
    monkeypatch.setattr(sys.modules["vapipe.fusion.evaluation.evaluate"], "CorruptedLoader", Spy)
    run = load_run(fitted.run_dir, "cpu")
    evaluate(run, planted, corruption=Corruption("noise-video", 1))
    for role, stream in (("video", "onet"), ("audio", "logmel")):
        training = np.concatenate(
            [
                planted.read(video, stream)[planted.valid(video, stream) > 0]
                for video in planted.videos()
                if planted.partition(video) == "train"
            ]
        )
        assert np.allclose(given[role], training.astype(np.float64).std(axis=0), atol=1e-5)


def rewritten(planted, root, change):
    """The same cache with the audio changed: (features, codes) -> (features, codes)."""
    make_cache(root)
    for video in planted.videos():
        audio = change(planted.read(video, "logmel"), planted.status(video, "logmel"))
        add_video(
            root,
            video,
            {"onet": planted.read(video, "onet"), "logmel": audio[0]},
            labels=planted.labels(video),
            partition=planted.partition(video),
            valid={"onet": planted.status(video, "onet"), "logmel": audio[1]},
        )
    return FeatureStore.open(root)


@pytest.mark.parametrize(
    ("kind", "severity", "change"),
    [
        ("drop-audio", 1, lambda x, codes: (x, np.full_like(codes, Valid.NO_AUDIO))),
        (
            "shift-audio",
            9,
            lambda x, codes: (
                np.concatenate([np.zeros_like(x[:9]), x[:-9]]),
                np.concatenate([np.full_like(codes[:9], Valid.NO_AUDIO), codes[:-9]]),
            ),
        ),
    ],
)
def test_damage_on_the_way_is_that_of_a_damaged_cache(
    planted, fitted, tmp_path, kind, severity, change
):
    run = load_run(fitted.run_dir, "cpu")
    there = evaluate(run, rewritten(planted, tmp_path / "cache", change))
    here = evaluate(run, planted, corruption=Corruption(kind, severity))
    for video, values in there.predictions.items():
        assert np.array_equal(here.predictions[video], values)
    assert here.ccc == there.ccc


def test_the_target_a_stream_carries_is_the_one_that_suffers(planted, fitted):
    run = {"run": load_run(fitted.run_dir, "cpu")}
    for kind, lost, kept in (
        ("drop-audio", "arousal", "valence"),
        ("drop-video", "valence", "arousal"),
    ):
        clean, half, none = (
            compare(run, planted, corruption=Corruption(kind, s))["run"].ccc for s in (0, 0.5, 1)
        )
        assert clean[lost] > half[lost] + 0.1
        assert half[lost] > none[lost] + 0.1
        assert none[kept] > 0.7


def test_a_run_that_is_not_struck_stands_beside_one_that_is(planted, small, fitted, tmp_path):
    config = dataclasses.replace(
        small, epochs=2, head="concat", head_options={}, streams={"video": "onet"}
    )
    deaf = load_run(fit(planted, config, tmp_path / "deaf").run_dir, "cpu")
    lost = Corruption("drop-audio", 1)
    both = compare({"deaf": deaf, "run": load_run(fitted.run_dir, "cpu")}, planted, corruption=lost)
    assert both["deaf"].ccc == evaluate(deaf, planted).ccc
    assert both["run"].ccc["arousal"] < 0.5
    with pytest.raises(
        ConfigError,
        match=r"drop-audio strikes audio streams, and none of the 1 run has one \(streams: onet@",
    ):
        compare({"deaf": deaf}, planted, corruption=lost)


# -- what cannot be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "severity", "message"),
    [
        ("drop-sound", 0.5, "no corruption is called `drop-sound`; kinds: drop-audio, drop-video"),
        ("drop-audio", 1.1, r"severity of drop-audio is a share from 0 to 1; got 1\.1"),
        ("occlude-video", -0.1, "severity of occlude-video is a share from 0 to 1; got -0.1"),
        ("drop-video", float("nan"), "a share from 0 to 1; got nan"),
        ("shift-audio", 2.5, r"severity of shift-audio is a whole number of frames; got 2\.5"),
        ("shift-audio", float("inf"), "a whole number of frames; got inf"),
        ("noise-video", -1.0, "severity of noise-video is 0 or more; got -1"),
        ("noise-audio", float("inf"), "severity of noise-audio is 0 or more; got inf"),
    ],
)
def test_what_cannot_be_is_named(kind, severity, message):
    with pytest.raises(ConfigError, match=message):
        Corruption(kind, severity)


def test_curves_are_read_from_one_text():
    assert parse_corruption("shift-audio=-5,0,5", seed=3) == [
        Corruption("shift-audio", n, 3) for n in (-5, 0, 5)
    ]
    for text in ("drop-audio", "drop-audio=", "drop-audio=0,,1", "drop-audio=half"):
        with pytest.raises(ConfigError, match=f"--corrupt {text}: expected KIND=SEVERITY"):
            parse_corruption(text)
