"""`egemaps` is openSMILE's, from the frames whose centres are nearest to the rows' times."""

from importlib.metadata import version

import numpy as np
import pytest
from clips import RATES, constant_times

from vapipe.cache import Timeline, Valid
from vapipe.errors import ConfigError
from vapipe.extract.encoders import create_encoder, encoder_options
from vapipe.extract.media.audio import RATE, AudioBlock

opensmile = pytest.importorskip("opensmile")


def timeline(times):
    return Timeline.from_pts(np.array([float(time) for time in times]))


def smile(level):
    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=getattr(opensmile.FeatureLevel, level),
    )


def encode(blocks, frames, **options):
    ((features, codes),) = create_encoder("egemaps", **options).encode(iter(blocks), frames)
    return features, codes


def voice(centre, seconds=2.0):
    """A voice of 150 Hz that swells and fades around a time, in faint noise."""
    time_s = np.arange(int(seconds * RATE)) / RATE
    swell = np.exp(-0.5 * ((time_s - centre) / 0.05) ** 2)
    tone = sum(np.sin(2 * np.pi * 150 * k * (time_s - centre)) for k in range(1, 20))
    noise = np.random.default_rng(0).normal(0, 1e-5, len(time_s))
    return (0.07 * swell * tone + noise).astype(np.float32)


def test_rows_are_openSMILEs_own_on_the_whole_sound():
    descriptors = smile("LowLevelDescriptors")
    rng = np.random.default_rng(1)
    sound = voice(0.7, 3.0) + voice(1.9, 3.0) + rng.normal(0, 1e-3, 3 * RATE).astype(np.float32)
    start, frames = 1234, timeline(constant_times(RATES[0], 80))
    features, codes = encode([AudioBlock(start, sound)], frames)
    table = descriptors.process_signal(sound, RATE).to_numpy()
    heard = codes == Valid.AUDIO
    assert heard.sum() > 60
    assert not features[~heard].any()
    for column, name in enumerate(descriptors.feature_names):
        long = name.startswith(("F0", "jitter", "shimmer", "HNR", "logRel")) or "amplitude" in name
        middle = 0.03 if long else 0.005 if "Flux" in name else 0.01
        centres = start / RATE + middle + 0.01 * np.arange(len(table))
        far = np.abs(centres - frames.pts[heard][:, None]).round(7)  # of two as near the earlier
        expected = table[far.argmin(axis=1), column]
        np.testing.assert_array_equal(features[heard, column], np.float32(expected), err_msg=name)


@pytest.mark.parametrize("window", [0.3333, 1.5])
def test_functionals_are_openSMILEs_own_on_the_window_around_each_frame(window):
    """Of the very same samples, with silence where the sound has not begun or has ended."""
    sound, start, fps = voice(0.7), 1234, RATES[0]
    frames = Timeline.from_pts(np.array([float(t) for t in constant_times(fps, 60)])[::6])
    features, codes = encode([AudioBlock(start, sound)], frames, window=window)
    heard = np.flatnonzero(codes != Valid.NO_AUDIO)
    assert features.shape == (10, 88)
    assert len(heard) >= 8
    functionals, length = smile("Functionals"), round(window * RATE)
    padded = np.pad(sound, 2 * RATE)
    for row in heard:
        first = round(frames.pts[row] * RATE) - length // 2 - start + 2 * RATE
        expected = functionals.process_signal(padded[first : first + length], RATE).to_numpy()
        np.testing.assert_array_equal(features[row], np.float32(expected[0]))
    assert not features[codes == Valid.NO_AUDIO].any()


def test_sound_beyond_full_scale_is_clipped_and_does_not_wrap_around():
    frames = timeline(constant_times(RATES[0], 40))
    loud = 12 * voice(0.8)
    assert np.abs(loud).max() > 2
    clipped = loud.clip(-1, 32767 / 32768)
    for options in ({}, {"window": 0.2}):
        found, _ = encode([AudioBlock(0, loud)], frames, **options)
        expected, _ = encode([AudioBlock(0, clipped)], frames, **options)
        np.testing.assert_array_equal(found, expected)
        assert found[:, 0].max() < 1e3


def test_the_version_of_openSMILE_is_told_and_no_other_is_taken():
    assert encoder_options("egemaps", {}).describe() == {
        "window": 0.0,
        "opensmile": version("opensmile"),
    }
    assert encoder_options("egemaps", {"opensmile": version("opensmile"), "window": 2}).dim == 88
    with pytest.raises(ConfigError, match=r"asked for opensmile 2.4.0, .*install opensmile==2.4.0"):
        encoder_options("egemaps", {"opensmile": "2.4.0"})


@pytest.mark.parametrize("window", [-1, 0.05, 61])
def test_windows_out_of_range_are_refused(window):
    with pytest.raises(ConfigError, match=f"window must be 0 .*0.1 to 60 seconds, got {window}"):
        create_encoder("egemaps", window=window)
