"""Sound reaches audio encoders at its true time, at any rate and length, however it is cut."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from clips import RATES, constant_times, variable_times
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.cache import Timeline, Valid
from vapipe.errors import ConfigError
from vapipe.extract.encoders import create_encoder
from vapipe.extract.encoders.sound import rows_with_sound
from vapipe.extract.encoders.waveform import Steps, WaveformEncoder, cut_audio, cut_steps
from vapipe.extract.media.audio import RATE, AudioBlock

STEPS = Steps(hop=320, field=400, chunk=50, context=10)


class Mean(WaveformEncoder):
    """Mean of what each feature sees, and its square: nothing from outside, so cuts change nothing.

    Of a ramp the mean is the time in the middle.
    """

    name = "mean"
    dim = 2

    def __init__(self, steps: Steps = STEPS, batch: int = 3) -> None:
        self.steps = steps
        self.batch = batch
        self.lengths: list[int] = []

    def embed(self, windows):
        self.lengths += [window.shape[0] for window in windows]
        fields = np.lib.stride_tricks.sliding_window_view(windows, self.steps.field, axis=1)
        means = fields[:, :: self.steps.hop].mean(axis=2, dtype=np.float64)
        return np.stack([means, means**2], axis=2).astype(np.float32)


def timeline(times):
    return Timeline.from_pts(np.array([float(time) for time in times]))


def ramp(start, stop):
    """The sample's own place, in units of 2^-10 seconds."""
    return AudioBlock(start, (np.arange(start, stop) * (1024 / RATE)).astype(np.float32))


def cut(block, places):
    """One block in several."""
    bounds = [0, *sorted({p for p in places if 0 < p < len(block.samples)}), len(block.samples)]
    return [AudioBlock(block.start + a, block.samples[a:b]) for a, b in itertools.pairwise(bounds)]


def encode(encoder, blocks, frames):
    parts = list(encoder.encode(iter(blocks), frames))
    features = np.concatenate([f for f, _ in parts])
    codes = np.concatenate([c for _, c in parts])
    assert features.dtype == np.float32
    assert codes.dtype == np.uint8
    assert len(features) == len(codes) == len(frames)
    return features, codes


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_features_are_of_the_frames_own_time_for_half_an_hour(fps):
    minutes = 30
    frames = timeline(constant_times(fps, int(fps * minutes * 60), start=0.0))
    blocks = (ramp(a, a + 10 * RATE) for a in range(0, minutes * 60 * RATE, 10 * RATE))
    features, codes = encode(
        Mean(cut_steps("mean", chunk=10, context=1, hop=320, field=400)), blocks, frames
    )
    assert set(codes.tolist()) == {Valid.AUDIO}
    inside = (frames.pts > 0.02) & (frames.pts < minutes * 60 - 0.05)
    off = np.abs(features[inside, 0] / 1024 - frames.pts[inside])
    assert off.max() < 0.0003  # float32 holds the ramp to 0.0001 s
    assert off.max() < 0.5 / fps


def test_late_sound_and_any_frame_times_stay_in_place():
    frames = timeline(variable_times(300, start=0.85))
    features, codes = encode(Mean(), [ramp(129, 8 * RATE)], frames)
    heard = frames.pts < 7.9
    assert (codes[heard] == Valid.AUDIO).all()
    np.testing.assert_allclose(features[heard, 0] / 1024, frames.pts[heard], atol=1e-4)


def test_before_the_first_and_after_the_last_feature_values_stay():
    frames = timeline(constant_times(Fraction(1000), 100))
    features, _ = encode(Mean(), [ramp(0, 1600)], frames)
    first, last = 200 / 16, (200 + 3 * 320) / 16  # milliseconds; four features
    expected = np.clip(np.arange(100), first, last) * 1.024
    np.testing.assert_allclose(features[:, 0], expected, atol=0.04)


@settings(max_examples=30, deadline=None)
@given(
    length=st.integers(1, 4 * RATE),
    places=st.lists(st.integers(0, 4 * RATE), max_size=6),
    batch=st.integers(1, 4),
)
def test_blocks_and_batches_change_nothing(length, places, batch):
    block = AudioBlock(37, np.random.default_rng(0).normal(size=length).astype(np.float32))
    frames = timeline(constant_times(Fraction(30), 130))
    whole, codes = encode(Mean(batch=batch), [block], frames)
    pieces, piece_codes = encode(Mean(batch=batch), cut(block, places), frames)
    np.testing.assert_array_equal(whole, pieces)
    np.testing.assert_array_equal(codes, piece_codes)
    np.testing.assert_array_equal(codes == Valid.NO_AUDIO, ~whole.any(axis=1))


@settings(max_examples=30, deadline=None)
@given(length=st.integers(400, 6 * RATE))
def test_windows_give_every_feature_of_a_run_once_and_context_is_kept(length):
    block = AudioBlock(-5, np.zeros(length, np.float32))
    given, size = [], STEPS.length(STEPS.window)
    for windows in cut_audio(cut(block, range(0, length, 7000)), STEPS, 2):
        assert 1 <= len(windows) <= 2
        assert len({len(window.samples) for window in windows}) == 1
        for window in windows:
            first = (window.start - block.start) // STEPS.hop
            given += range(first + window.keep.start, first + window.keep.stop)
            count = STEPS.count(len(window.samples))
            assert window.keep.stop <= count
            if len(given) > len(range(*window.keep.indices(count))):  # not the run's first
                assert window.keep.start >= STEPS.context
            if window.run[1] is None:
                assert count - window.keep.stop == STEPS.context
                assert len(window.samples) == size
    assert given == list(range(STEPS.count(length)))


def test_all_windows_of_long_sound_have_one_length():
    encoder = Mean()
    encode(encoder, [ramp(0, 20 * RATE)], timeline(constant_times(Fraction(25), 500)))
    assert set(encoder.lengths) == {STEPS.length(STEPS.window)}


def test_frames_in_a_hole_have_no_audio_and_what_follows_does_not_move():
    frames = timeline(constant_times(Fraction(25), 100))
    blocks = [ramp(0, RATE), ramp(2 * RATE, 4 * RATE)]
    features, codes = encode(Mean(), blocks, frames)
    np.testing.assert_array_equal(codes == Valid.NO_AUDIO, (np.arange(100) // 25) == 1)
    assert not features[25:50].any()
    rows = [*range(1, 25), *range(51, 99)]
    np.testing.assert_allclose(features[rows, 0] / 1024, frames.pts[rows], atol=1e-4)


def test_a_frame_needs_sound_for_half_of_its_interval_from_all_runs_together():
    frames = timeline(constant_times(Fraction(10), 3))  # 1600 samples each
    codes = encode(Mean(), [ramp(0, 500), ramp(900, 1200)], frames)[1]
    assert codes.tolist() == [Valid.AUDIO, Valid.NO_AUDIO, Valid.NO_AUDIO]
    codes = encode(Mean(), [ramp(0, 500), ramp(901, 1200)], frames)[1]
    assert codes.tolist() == [Valid.NO_AUDIO] * 3


def test_frames_that_are_longer_than_a_window_wait_for_their_sound():
    frames = Timeline(np.array([0.0, 5.0, 5.0, 30.0]), 0.1)
    features, codes = encode(Mean(), cut(ramp(0, 40 * RATE), range(0, 40 * RATE, RATE)), frames)
    assert set(codes.tolist()) == {Valid.AUDIO}
    np.testing.assert_allclose(features[:, 0] / 1024, [0.0125, 5, 5, 30], atol=1e-4)


def test_without_any_sound_all_rows_are_there_and_unusable():
    features, codes = encode(Mean(), [], timeline(constant_times(Fraction(25), 9000)))
    assert not features.any()
    assert set(codes.tolist()) == {Valid.NO_AUDIO}


def test_the_sound_kept_does_not_grow_with_the_length():
    frames = timeline(constant_times(Fraction(25), 25 * 600))
    blocks = (ramp(a, a + RATE) for a in range(0, 600 * RATE, RATE))
    kept = [
        len(rows.sound._blocks) for rows in rows_with_sound(blocks, frames, before=7800, after=7800)
    ]
    assert len(kept) > 200
    assert max(kept) <= 6  # a group of 64 rows spans 2.6 s


def test_rows_far_apart_do_not_keep_all_sound_between_them():
    frames = Timeline(np.arange(0.0, 3000.0, 20.0), 0.05)
    blocks = (ramp(a, a + 10 * RATE) for a in range(0, 3000 * RATE, 10 * RATE))
    groups = list(rows_with_sound(blocks, frames, before=0, after=1))
    assert sum(len(rows.moments) for rows in groups) == 150
    assert max(np.ptp(rows.moments) for rows in groups) <= 60 * RATE


@pytest.mark.parametrize("chunk", [0.5, 61])
def test_lengths_out_of_range_are_refused(chunk):
    with pytest.raises(ConfigError, match=r"`wavlm`: chunk must be in 1\.\.60 and context in 0"):
        create_encoder("wavlm", chunk=chunk)


# -- silence ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fps", [25, 240])
def test_silence_is_told_from_sound_and_from_its_absence_by_every_encoder(fps):
    """A second of sound, one of silence, one of nothing, and sound again."""
    frames = timeline(constant_times(Fraction(fps), 4 * fps))
    samples = 0.1 * np.sin(np.arange(2 * RATE)).astype(np.float32)
    samples[RATE:] = 5e-5 * np.sign(samples[RATE:])
    blocks = [AudioBlock(0, samples), AudioBlock(3 * RATE, samples[:RATE])]
    expected = np.repeat([Valid.AUDIO, Valid.SILENCE, Valid.NO_AUDIO, Valid.AUDIO], fps)
    inner = np.arange(4 * fps) % fps  # rows at the edges hear both
    inner = (inner > fps // 20 + 1) & (inner < fps - fps // 20 - 2)
    for encoder in (Mean(), create_encoder("logmel")):
        _, codes = encode(encoder, iter(blocks), frames)
        np.testing.assert_array_equal(codes[inner], expected[inner])
