"""What a sound encoder hears at a moment is in the rows around it, however the sound comes."""

import itertools
import sys

import numpy as np
import pytest
from clips import RATES, constant_times, variable_times

from vapipe.cache import Timeline, Valid
from vapipe.demo.voice import Utterance, render_voice
from vapipe.errors import ConfigError
from vapipe.extract.encoders import create_encoder, list_encoders
from vapipe.extract.media.audio import RATE, AudioBlock

TIMES = [*(constant_times(fps, int(5 * fps)) for fps in RATES[::2]), variable_times(150)]
NAMES = [*map(str, RATES[::2]), "variable"]
OPTIONAL = {"egemaps": "opensmile", "vad": "silero_vad"}  # and the package that each needs
ENCODERS = ["logmel", "mfcc", *OPTIONAL]


def make(name):
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    return create_encoder(name)


def timeline(times):
    return Timeline.from_pts(np.array([float(time) for time in times]))


def encode(encoder, blocks, frames):
    parts = list(encoder.encode(iter(blocks), frames))
    features, codes = (np.concatenate(each) for each in zip(*parts, strict=True))
    assert features.dtype == np.float32
    assert features.shape == (len(frames), encoder.dim)
    return features, codes


def click(moment):
    samples = np.zeros(5 * RATE, np.float32)
    samples[round(moment * RATE)] = 0.9
    return samples


def swell(moment):
    """A voice of 150 Hz that swells and fades around a time, in faint noise."""
    time_s = np.arange(5 * RATE) / RATE - moment
    tone = sum(np.sin(2 * np.pi * 150 * k * time_s) for k in range(1, 20))
    noise = np.random.default_rng(0).normal(0, 1e-5, len(time_s))
    return (0.07 * np.exp(-0.5 * (time_s / 0.05) ** 2) * tone + noise).astype(np.float32)


def speech(moment):
    """Two seconds of the demo's voice around a time, in faint noise."""
    even = np.ones(80)
    voice = render_voice(
        Utterance(loudness=-20 * even, pitch=120 * even + 20 * np.sin(0.12 * np.arange(80)),
                  smile=0 * even, gain=even, noise=-60 * even, seed=0), 25,
    )  # fmt: skip
    samples = np.random.default_rng(0).normal(0, 1e-4, 5 * RATE).astype(np.float32)
    first = round((moment - 1) * RATE)
    samples[first : first + 2 * RATE] += voice[8000:40000]
    return samples


SHORT = ["spectralFlux_sma3", "alphaRatio_sma3", "mfcc1_sma3", "F1frequency_sma3nz"]  # 20 ms
LONG = ["F0semitoneFrom27.5Hz_sma3nz", "HNRdBACF_sma3nz", "logRelF0-H1-H2_sma3nz"]  # 60 ms
# Encoder, sound, which values hear it; from which part of the largest change on; and by how many
# seconds more than a frame they may be off (openSMILE's hop, Silero's window).
HEARD = [
    ("logmel", click, slice(None), 0.0, 0.0),
    ("mfcc", click, slice(None), 0.0, 0.0),
    ("egemaps", click, ["Loudness_sma3"], 0.9, 0.006),
    ("egemaps", click, SHORT, 0.0, 0.006),
    ("egemaps", swell, LONG, 0.0, 0.006),
    ("vad", speech, slice(None), 0.5, 0.032),
]


@pytest.mark.parametrize("times", TIMES, ids=NAMES)
@pytest.mark.parametrize(("name", "sound", "values", "part", "slack"), HEARD)
def test_a_sound_is_in_the_middle_of_the_rows_that_hear_it(times, name, sound, values, part, slack):
    encoder, frames = make(name), timeline(times)
    if name == "egemaps":
        values = [encoder._smile.feature_names.index(each) for each in values]
    gap = np.diff(frames.pts).max()
    for moment in (1.4137, 2.3303):
        features, _ = encode(encoder, [AudioBlock(0, sound(moment))], frames)
        for column in features[:, values].T:
            change = np.abs(column - np.median(column))
            heard = frames.pts[change > max(part * change.max(), 1e-4)]
            assert len(heard) or gap > 0.02
            if len(heard):
                assert abs((heard[0] + heard[-1]) / 2 - moment) <= gap + slack


def test_openSMILEs_frames_are_where_the_encoder_takes_them_to_be():
    """A click half a hop off is symmetrical to frames of 20 ms, a voice to those of 60 ms."""
    smile = make("egemaps")._smile
    found = smile.process_signal(click(1.005), RATE)  # 100.5 hops
    for name in SHORT[1:]:
        column = found[name].to_numpy()
        middle = np.flatnonzero(column != np.median(column))
        assert (middle[0] + middle[-1]) / 2 == 99.5, name
    found = smile.process_signal(swell(1.0), RATE)
    for name in LONG:
        voiced = np.flatnonzero(found[name].to_numpy())
        assert (voiced[0] + voiced[-1]) / 2 == pytest.approx(97, abs=1), name


@pytest.mark.parametrize("name", ENCODERS)
def test_nothing_depends_on_how_the_sound_is_cut_into_blocks(name):
    encoder, frames = make(name), timeline(constant_times(RATES[0], 90))
    samples = speech(1.5)
    whole, codes = encode(encoder, [AudioBlock(50, samples)], frames)
    cuts = [0, 1, 150, 700, 701, 9000, 40000, len(samples)]
    blocks = [AudioBlock(50 + a, samples[a:b]) for a, b in itertools.pairwise(cuts)]
    pieces, piece_codes = encode(encoder, blocks, frames)
    np.testing.assert_array_equal(piece_codes, codes)
    np.testing.assert_allclose(pieces, whole, atol=1e-4 if name == "logmel" else 0)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_hole_moves_nothing(name):
    """Rows far from it are those of either part alone; in it there is no audio."""
    encoder, frames = make(name), timeline(constant_times(RATES[0], 120))
    samples = speech(1.5)
    parts = [AudioBlock(50, samples[:20000]), AudioBlock(50050, samples[50000:])]
    holed, codes = encode(encoder, parts, frames)
    for part in parts:
        alone, heard = encode(encoder, [part], frames)
        near = 1100 if name in ("logmel", "mfcc") else 0  # they hear across its edges
        far = (heard == Valid.AUDIO) & ~(np.abs(frames.pts * RATE - 35000) < 15000 + near)
        assert far.sum() > 15
        np.testing.assert_array_equal(codes[far], Valid.AUDIO)
        np.testing.assert_allclose(holed[far], alone[far], atol=1e-4)
    gone = np.abs(frames.pts * RATE - 35000) < 14000
    np.testing.assert_array_equal(codes[gone], Valid.NO_AUDIO)
    assert not holed[codes == Valid.NO_AUDIO].any()


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("samples", [0, 1, 300, 959, RATE])
def test_little_and_silent_sound_gives_finite_rows(name, samples):
    block = AudioBlock(0, np.zeros(samples, np.float32))
    frames = timeline(constant_times(RATES[0], 30))
    features, codes = encode(make(name), [block] * (samples > 0), frames)
    assert np.isfinite(features.astype(np.float16)).all()
    assert codes[-1] == Valid.NO_AUDIO


@pytest.mark.parametrize(("name", "package"), OPTIONAL.items())
def test_without_its_package_an_encoder_is_listed_and_says_what_to_install(
    monkeypatch, name, package
):
    monkeypatch.setitem(sys.modules, package, None)
    assert name in list_encoders()
    with pytest.raises(
        ConfigError, match=rf"`{name}` needs the package {package[:6]}.*pip install 'vapipe"
    ):
        create_encoder(name)
