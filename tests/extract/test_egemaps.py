"""`egemaps` is openSMILE's, from the frames whose centres are nearest to the rows' times."""

import numpy as np
import pytest
from clips import RATES, constant_times

from vapipe.cache import Timeline, Valid
from vapipe.extract.encoders import create_encoder
from vapipe.extract.media.audio import RATE, AudioBlock

opensmile = pytest.importorskip("opensmile")


def timeline(times):
    return Timeline.from_pts(np.array([float(time) for time in times]))


@pytest.fixture(scope="module")
def smile():
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
