"""`mfcc` is librosa's on the window around each frame's own time, whatever the rate and blocks."""

import librosa
import numpy as np
import pytest
from clips import RATES, constant_times, variable_times

from vapipe.cache import Timeline, Valid
from vapipe.errors import ConfigError
from vapipe.extract.encoders import create_encoder
from vapipe.extract.media.audio import RATE, AudioBlock

TIMES = [*(constant_times(fps, int(2 * fps)) for fps in RATES), variable_times(60)]
NAMES = [*map(str, RATES), "variable"]


def timeline(times):
    return Timeline.from_pts(np.array([float(time) for time in times]))


def noise(seconds):
    rng = np.random.default_rng(3)
    loud = np.repeat(rng.lognormal(-3, 2, int(seconds * 10) + 1), 1600)[: int(seconds * RATE)]
    return np.clip(loud * rng.normal(size=len(loud)), -1, 1).astype(np.float32)


def encode(blocks, frames, **options):
    parts = list(create_encoder("mfcc", **options).encode(iter(blocks), frames))
    features = np.concatenate([f for f, _ in parts])
    assert features.dtype == np.float32
    return features, np.concatenate([c for _, c in parts])


def librosas(samples, start, moment, n_fft=1024, window=1024, bands=128, n_mfcc=20, **options):
    """MFCCs of the n_fft samples in whose middle the moment is."""
    padded = np.pad(samples, 4096)
    first = round(float(moment) * RATE) - start + 4096 - n_fft // 2
    names = {"f_min": "fmin", "f_max": "fmax", "lifter": "lifter"}
    return librosa.feature.mfcc(
        y=padded[first : first + n_fft], sr=RATE, n_mfcc=n_mfcc, n_mels=bands, n_fft=n_fft,
        win_length=window, hop_length=n_fft, center=False,
        **{names[name]: value for name, value in options.items()},
    )[:, 0]  # fmt: skip


@pytest.mark.parametrize("times", TIMES, ids=NAMES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_mfcc": 13, "bands": 40, "window": 400, "n_fft": 512, "f_min": 60, "f_max": 7600}
        | {"lifter": 22},
    ],
    ids=["default", "other options"],
)
def test_equals_librosa_on_the_window_around_each_frame(times, options):
    samples, start, frames = noise(1.5), 4321, timeline(times)
    features, codes = encode([AudioBlock(start, samples)], frames, **options)
    heard = codes == Valid.AUDIO
    assert heard.any()
    assert not heard.all()
    assert not features[~heard].any()
    expected = np.array([librosas(samples, start, t, **options) for t in frames.pts[heard]])
    np.testing.assert_allclose(features[heard], expected, atol=2e-2)
    assert np.abs(expected).max() > 100


def test_silence_is_finite_and_fits_float16():
    features, codes = encode(
        [AudioBlock(0, np.zeros(RATE, np.float32))], timeline(constant_times(RATES[0], 20))
    )
    assert set(codes.tolist()) == {Valid.SILENCE}
    np.testing.assert_allclose(features[:, 0], -100 * np.sqrt(128), rtol=1e-6)
    np.testing.assert_allclose(features[:, 1:], 0, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"n_mfcc": 41, "bands": 40}, "1 <= n_mfcc <= bands .* n_mfcc=41, bands=40, lifter=0.0"),
        ({"lifter": -1}, "lifter >= 0, got n_mfcc=20, bands=128, lifter=-1.0"),
        ({"window": 333}, "mfcc: needs .* an even window, got bands=128, window=333"),
        ({"f_min": 9000}, "mfcc: needs 0 <= f_min < f_max <= 8000, got f_min=9000.0"),
        ({"bands": 500}, "mfcc: .* of 500 bands hold no bin of an n_fft of 1024; raise n_fft"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        create_encoder("mfcc", **options)
