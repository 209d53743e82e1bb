import itertools
import math

import librosa
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.extract.media.resample import Resampler

RATES = (8000, 11025, 16000, 22050, 32000, 44100, 48000, 96000)


def resample(samples, rate, start=0.0, cuts=()):
    """All outputs, the input pushed in pieces; index of the first and the samples."""
    resampler = Resampler(rate=rate, target=16000, start=start)
    pieces = []
    for piece in np.split(samples, sorted(cuts)):
        resampler.push(piece)
        pieces.append(resampler.pull())
    pieces.append(resampler.pull(final=True))
    for (first, samples), (following, _) in itertools.pairwise(pieces):
        assert first + len(samples) == following
    return pieces[0][0], np.concatenate([samples for _, samples in pieces])


def tones(times, top):
    return sum(0.2 * np.sin(2 * np.pi * f * times + f) for f in (60, 440.5, 0.35 * top, 0.8 * top))


@pytest.mark.parametrize("rate", [*RATES, 44056])
@pytest.mark.parametrize("start", [0.0, 0.00800453, 0.852, -0.0213])
def test_sample_n_is_the_sound_at_n_sixteen_thousandths_of_a_second(rate, start):
    top = min(rate, 16000) / 2
    first, output = resample(tones(start + np.arange(rate) / rate, top), rate, start)
    assert first == math.ceil(start * 16000 - 1e-6) or rate == 16000
    times = (first + np.arange(len(output))) / 16000
    assert abs(len(output) - 16000) <= 1
    inner = slice(200, -200)
    if rate == 16000:  # not filtered, but put on the nearest sample
        error = np.abs(output - tones(times + (start - round(start * 16000) / 16000), top))
    else:
        error = np.abs(output - tones(times, top))
    assert error[inner].max() < 1e-3


@pytest.mark.parametrize("rate", RATES)
def test_agrees_with_librosa(rate):
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.normal(size=2 * rate))
    spectrum[np.fft.rfftfreq(2 * rate, 1 / rate) > 0.4 * min(rate, 16000)] = 0
    noise = np.fft.irfft(spectrum, 2 * rate)
    expected = librosa.resample(noise, orig_sr=rate, target_sr=16000, res_type="soxr_vhq")
    _, output = resample(noise, rate)
    assert len(output) == len(expected)
    inner = slice(400, -400)
    assert np.abs(output - expected)[inner].max() < 2e-3 * np.abs(expected).max()


def test_what_lies_above_the_new_nyquist_frequency_is_removed():
    times = np.arange(48000) / 48000
    _, output = resample(np.sin(2 * np.pi * 9000 * times), 48000)
    assert np.abs(output[400:-400]).max() < 1e-3


@settings(max_examples=25, deadline=None)
@given(
    rate=st.sampled_from([8000, 16000, 22050, 44100, 48000]),
    start=st.floats(-1, 5, allow_nan=False),
    cuts=st.lists(st.integers(0, 6000), max_size=8),
)
def test_results_do_not_depend_on_how_the_input_is_cut(rate, start, cuts):
    samples = np.random.default_rng(1).normal(size=6000)
    whole, pieces = resample(samples, rate, start), resample(samples, rate, start, cuts)
    assert whole[0] == pieces[0]
    np.testing.assert_allclose(whole[1], pieces[1], atol=1e-6)


def test_a_shift_moves_the_sound_still_to_come():
    rate = 44100
    times = np.arange(4 * rate) / rate
    resampler = Resampler(rate=rate, target=16000, start=0.0)
    resampler.push(np.sin(2 * np.pi * 200 * times[: 2 * rate]))
    first, before = resampler.pull()
    resampler.shift(0.005)
    resampler.push(np.sin(2 * np.pi * 200 * times[2 * rate :]))
    second, after = resampler.pull(final=True)
    assert second == first + len(before)
    clock = (second + np.arange(len(after))) / 16000
    error = np.abs(after - np.sin(2 * np.pi * 200 * (clock - 0.005)))
    assert error[:-200].max() < 1e-3
    assert resampler.end == pytest.approx(4.005)
