"""`egemaps` is openSMILE's, from the frames whose centres are nearest to the rows' times."""

import itertools
import sys

import numpy as np
import pytest
from clips import RATES, constant_times, variable_times

from vapipe.cache import Timeline, Valid
from vapipe.errors import ConfigError
from vapipe.extract.encoders import create_encoder, list_encoders
from vapipe.extract.media.audio import RATE, AudioBlock

TIMES = [*(constant_times(fps, int(2 * fps)) for fps in RATES), variable_times(60)]
NAMES = [*map(str, RATES), "variable"]
SHORT = ["alphaRatio_sma3", "mfcc1_sma3", "F1frequency_sma3nz"]  # 20 ms
LONG = ["F0semitoneFrom27.5Hz_sma3nz", "HNRdBACF_sma3nz", "logRelF0-H1-H2_sma3nz"]  # 60 ms


def timeline(times):
    return Timeline.from_pts(np.array([float(time) for time in times]))


@pytest.fixture(scope="module")
def opensmile():
    return pytest.importorskip("opensmile")


@pytest.fixture(scope="module")
def smile(opensmile):
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.LowLevelDescriptors,
    )


def encode(blocks, frames):
    ((features, codes),) = create_encoder("egemaps").encode(iter(blocks), frames)
    assert features.dtype == np.float32
    assert features.shape == (len(frames), 25)
    return features, codes


def voice(centre, seconds=2.0):
    """A voice of 150 Hz that swells and fades around a time, in faint noise."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    swell = np.exp(-0.5 * ((time_s - centre) / 0.05) ** 2)
    tone = sum(np.sin(2 * np.pi * 150 * k * (time_s - centre)) for k in range(1, 20))
    noise = np.random.default_rng(0).normal(0, 1e-5, len(time_s))
    return (0.07 * swell * tone + noise).astype(np.float32)


def test_without_the_package_it_is_listed_and_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "opensmile", None)
    assert "egemaps" in list_encoders()
    with pytest.raises(ConfigError, match=r"needs the package opensmile: `pip install 'opensmile"):
        create_encoder("egemaps")


@pytest.mark.parametrize("times", TIMES, ids=NAMES)
def test_a_click_and_a_voice_are_in_the_middle_of_the_rows_that_hear_them(smile, times):
    frames, names = timeline(times), smile.feature_names
    near = np.diff(frames.pts).max() + 0.006  # rows stand in frames' times, openSMILE every 10 ms
    for moment in (0.4137, 0.9):
        click = np.zeros(2 * RATE, np.float32)
        click[round(moment * RATE)] = 0.9
        features, _ = encode([AudioBlock(0, click)], frames)
        for name in ["Loudness_sma3", "spectralFlux_sma3", *SHORT]:
            column = features[:, names.index(name)]
            heard = frames.pts[column != np.median(column)]
            if name != "Loudness_sma3" and len(heard):
                assert abs((heard[0] + heard[-1]) / 2 - moment) <= near, name
        loud = frames.pts[features[:, names.index("Loudness_sma3")].argmax()]
        assert abs(loud - moment) <= near
    features, _ = encode([AudioBlock(0, voice(1.0))], frames)
    for name in LONG:
        voiced = frames.pts[features[:, names.index(name)] != 0]
        assert abs((voiced[0] + voiced[-1]) / 2 - 1.0) <= near, name


def test_openSMILEs_frames_are_where_the_encoder_takes_them_to_be(smile):
    """A click half a hop off is symmetrical to frames of 20 ms, a voice to those of 60 ms."""
    click = np.zeros(2 * RATE, np.float32)
    click[16080] = 0.9  # 100.5 hops
    found = smile.process_signal(click, RATE)
    for name in SHORT:
        column = found[name].to_numpy()
        middle = np.flatnonzero(column != np.median(column))
        assert (middle[0] + middle[-1]) / 2 == 99.5, name
    found = smile.process_signal(voice(1.0), RATE)
    for name in LONG:
        voiced = np.flatnonzero(found[name].to_numpy())
        assert (voiced[0] + voiced[-1]) / 2 == pytest.approx(97, abs=1), name


def test_rows_are_openSMILEs_own_on_the_whole_sound(smile):
    rng = np.random.default_rng(1)
    sound = voice(0.7, 3.0) + voice(1.9, 3.0) + rng.normal(0, 1e-3, 3 * RATE).astype(np.float32)
    start, frames = 1234, timeline(constant_times(RATES[0], 80))
    features, codes = encode([AudioBlock(start, sound)], frames)
    table = smile.process_signal(sound, RATE).to_numpy()
    heard = codes == Valid.AUDIO
    assert heard.sum() > 60
    assert not features[~heard].any()
    for column, name in enumerate(smile.feature_names):
        long = name.startswith(("F0", "jitter", "shimmer", "HNR", "logRel")) or "amplitude" in name
        middle = 0.03 if long else 0.005 if "Flux" in name else 0.01
        centres = start / RATE + middle + 0.01 * np.arange(len(table))
        far = np.abs(centres - frames.pts[heard][:, None]).round(7)  # of two as near the earlier
        expected = table[far.argmin(axis=1), column]
        np.testing.assert_array_equal(features[heard, column], np.float32(expected), err_msg=name)


def test_nothing_depends_on_blocks_and_a_hole_begins_a_new_run(opensmile):
    sound, frames = voice(1.0), timeline(constant_times(RATES[0], 48))
    whole, codes = encode([AudioBlock(50, sound)], frames)
    cuts = [0, 1, 150, 700, 701, 9000, 20000, len(sound)]
    blocks = [AudioBlock(50 + a, sound[a:b]) for a, b in itertools.pairwise(cuts)]
    pieces, piece_codes = encode(blocks, frames)
    np.testing.assert_array_equal(pieces, whole)
    np.testing.assert_array_equal(piece_codes, codes)
    holed, codes = encode([*blocks[:-2], blocks[-1]], frames)
    alone, _ = encode([blocks[-1]], frames)
    later = frames.pts * RATE > 20600
    np.testing.assert_array_equal(holed[later], alone[later])
    assert not holed[codes == Valid.NO_AUDIO].any()


@pytest.mark.parametrize("samples", [0, 1, 300, 959, RATE])
def test_little_and_silent_sound_gives_finite_rows(opensmile, samples):
    block = AudioBlock(0, np.zeros(samples, np.float32))
    features, codes = encode([block] * (samples > 0), timeline(constant_times(RATES[0], 30)))
    assert np.isfinite(features.astype(np.float16)).all()
    assert codes[-1] == Valid.NO_AUDIO
