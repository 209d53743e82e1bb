import itertools
from fractions import Fraction

import librosa
import numpy as np
import pytest
from clips import RATES, constant_times, variable_times

from vapipe.cache import Timeline, Valid
from vapipe.errors import ConfigError
from vapipe.extract.encoders import create_encoder, encoder_options
from vapipe.extract.media.audio import AudioBlock

EPS = 1e-6


def timeline(times):
    return Timeline.from_pts(np.array([float(time) for time in times]))


def noise(seconds, seed=0):
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.lognormal(-3, 2, int(seconds * 10) + 1), 1600)[: int(seconds * 16000)]
    return np.clip(loud * rng.normal(size=len(loud)), -1, 1).astype(np.float32)


def encode(blocks, frames, **options):
    encoder = create_encoder("logmel", **options)
    parts = list(encoder.encode(iter(blocks), frames))
    features = np.concatenate([f for f, _ in parts])
    assert features.dtype == np.float32
    return features, np.concatenate([c for _, c in parts])


def reference(samples, start, frames):
    """librosa's mel power on the same grid of the clock, averaged by a plain loop, in float64."""
    lead = start % 160
    padded = np.concatenate([np.zeros(lead), samples.astype(np.float64), np.zeros(320)])
    power = librosa.feature.melspectrogram(
        y=padded,
        sr=16000,
        n_fft=1024,
        win_length=400,
        hop_length=160,
        n_mels=128,
        fmax=8000,
        pad_mode="constant",
    ).T
    centres = start - lead + np.arange(len(power)) * 160
    edges = frames.edges() * 16000
    features, codes = [], []
    for low, high in itertools.pairwise(edges):
        shared = np.minimum(np.minimum(centres + 80, high), start + len(samples)) - np.maximum(
            np.maximum(centres - 80, low), start
        )
        weight = np.clip(shared, 0, None)
        heard = weight.sum() >= 0.5 * (high - low)
        codes.append(Valid.AUDIO if heard else Valid.NO_AUDIO)
        features.append(np.log(weight @ power / weight.sum() + EPS) if heard else np.zeros(128))
    return np.array(features), np.array(codes)


@pytest.mark.parametrize(
    "frames",
    [*(timeline(constant_times(fps, int(3 * fps))) for fps in RATES), timeline(variable_times(90))],
    ids=[*map(str, RATES), "variable"],
)
@pytest.mark.parametrize("start", [0, 129, 13633])
def test_equals_librosa_averaged_over_each_frames_interval(frames, start):
    samples = noise(2.0)
    features, codes = encode([AudioBlock(start, samples)], frames)
    expected, expected_codes = reference(samples, start, frames)
    np.testing.assert_array_equal(codes, expected_codes)
    assert (codes == Valid.NO_AUDIO).any()
    np.testing.assert_allclose(features, expected, atol=2e-3)


def test_frames_in_a_hole_have_no_audio_and_those_after_it_do_not_move():
    samples, frames = noise(4.0), timeline(constant_times(Fraction(25), 100))
    whole, _ = encode([AudioBlock(0, samples)], frames)
    parts = [AudioBlock(0, samples[:16000]), AudioBlock(32000, samples[32000:])]
    features, codes = encode(parts, frames)
    np.testing.assert_array_equal(codes == Valid.NO_AUDIO, (np.arange(100) // 25) == 1)
    assert (features[25:50] == 0).all()
    apart = [*range(24), *range(51, 100)]  # a window beside the hole sees into it
    np.testing.assert_allclose(features[apart], whole[apart], atol=1e-3)


def test_a_frame_needs_sound_for_half_of_its_interval():
    frames = timeline(constant_times(Fraction(25), 4))  # 640 samples each
    assert encode([AudioBlock(320, noise(0.04))], frames)[1].tolist() == [4, 4, 130, 130]
    assert encode([AudioBlock(321, noise(0.04))], frames)[1].tolist() == [130, 4, 130, 130]


def test_without_any_sound_all_rows_are_there_and_unusable():
    features, codes = encode([], timeline(constant_times(Fraction(25), 5000)))
    assert features.shape == (5000, 128)
    assert not features.any()
    assert set(codes.tolist()) == {Valid.NO_AUDIO}


def test_digital_silence_is_usable_and_everything_fits_float16():
    frames = timeline(constant_times(Fraction(25), 25))
    silent, codes = encode([AudioBlock(0, np.zeros(16000, np.float32))], frames)
    assert set(codes.tolist()) == {Valid.SILENCE}
    np.testing.assert_allclose(silent, np.log(EPS), rtol=1e-6)
    square = np.sign(np.sin(np.arange(16000))).astype(np.float32)
    loud, _ = encode([AudioBlock(0, square)], frames)
    assert np.isfinite(loud.astype(np.float16)).all()
    assert np.abs(loud).max() < 20


def test_frames_at_one_time_get_the_same_row():
    frames = Timeline(np.array([0.1, 0.5, 0.5, 0.5, 0.9]), 5.0)
    features, codes = encode([AudioBlock(0, noise(2.0))], frames)
    assert set(codes.tolist()) == {Valid.AUDIO}
    np.testing.assert_allclose(features[1], features[2], atol=1e-5)


def test_the_same_bits_every_time():
    samples, frames = noise(3.0), timeline(variable_times(80))
    first, _ = encode([AudioBlock(7, samples)], frames)
    second, _ = encode([AudioBlock(7, samples)], frames)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bands": 500}, "of 500 bands hold no bin of an n_fft of 1024; raise n_fft or lower"),
        ({"hop": 500}, r"needs 0 < hop <= window and eps .* hop=500, window=400"),
        ({"f_max": 9000}, "f_min < f_max <= 8000, got f_min=0.0, f_max=9000"),
        ({"window": 401}, "an even window, got bands=128, window=401, n_fft=1024"),
        ({"eps": 0}, r"eps in 1e-12..1, got .*eps=0"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        create_encoder("logmel", **options)


def test_options_are_told_with_their_defaults():
    told = encoder_options("logmel", {"bands": 64, "f_min": 20}).describe()
    assert (told["bands"], told["f_min"], told["hop"]) == (64, 20.0, 160)
    assert told != encoder_options("logmel", {}).describe()
