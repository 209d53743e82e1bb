import itertools
import struct
from fractions import Fraction

import librosa
import numpy as np
import pytest
from clips import Sound, constant_times, write_clip

from vapipe.extract.media.audio import read_audio
from vapipe.extract.media.probe import probe

PAL = Fraction(25)


def hum(times: np.ndarray) -> np.ndarray:
    """A sound whose phase tells the time: three tones below 4 kHz."""
    return sum(0.15 * np.sin(2 * np.pi * f * times) for f in (220.0, 1234.5, 3100.0))


def read(tmp_path, sound, *, seconds=3.0, suffix="mkv"):
    # By default MP4 keeps where a track starts in whole milliseconds.
    fine = {"movie_timescale": "7056000"} if suffix in ("mp4", "mov") else {}
    times = constant_times(PAL, int(seconds * 25))
    clip = write_clip(tmp_path / f"c.{suffix}", times=times, sound=sound, container=fine)
    info = probe(clip.path)
    return info, list(read_audio(info))


def lag(block, signal, *, inner=400, reach=40) -> float:
    """By how many samples (to 1/8) a block comes later than the signal says."""
    samples = block.samples[inner:-inner].astype(np.float64)
    at = block.start + inner + np.arange(len(samples))
    shifts = np.arange(-reach, reach + 1) / 8
    scores = [samples @ signal((at - shift) / 16000) for shift in shifts]
    return float(shifts[int(np.argmax(scores))])


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("start", [0.0, 0.008, 0.852, 1.5])
def test_samples_lie_where_the_clock_says(tmp_path, rate, start):
    sound = Sound(start=start, seconds=1.5, rate=rate, codec="pcm_s16le", signal=hum)
    _, blocks = read(tmp_path, sound)
    assert len(blocks) == 1
    assert blocks[0].samples.dtype == np.float32
    assert blocks[0].start == pytest.approx(start * 16000, abs=9)  # Matroska keeps milliseconds
    assert len(blocks[0].samples) == pytest.approx(1.5 * 16000, abs=2)
    assert abs(lag(blocks[0], hum)) < 9


@pytest.mark.parametrize("codec", ["aac", "alac", "libmp3lame", "flac"])
@pytest.mark.parametrize("start", [0.1, 0.852])
def test_codecs_add_no_delay(tmp_path, codec, start):
    sound = Sound(start=start, seconds=2.0, rate=44100, codec=codec, signal=hum)
    _, blocks = read(tmp_path, sound, suffix="mp4")
    assert len(blocks) == 1
    assert abs(lag(blocks[0], hum)) < 1


def test_agrees_with_librosa(tmp_path):
    sound = Sound(rate=44100, codec="pcm_s16le", signal=hum)
    _, (block,) = read(tmp_path, sound, suffix="mov")
    source = hum(np.arange(3 * 44100) / 44100)
    expected = librosa.resample(source, orig_sr=44100, target_sr=16000, res_type="soxr_vhq")
    assert block.start == 0
    assert np.abs(block.samples - expected)[400:-400].max() < 2e-3


def test_a_hole_stays_a_hole_and_moves_nothing(tmp_path):
    sound = Sound(codec="pcm_s16le", rate=16000, signal=hum, holes=((1.0, 1.3),))
    _, (before, after) = read(tmp_path, sound, suffix="mkv")
    assert before.stop == pytest.approx(16000, abs=1050)  # whole chunks are missing
    assert after.start == pytest.approx(1.3 * 16000, abs=1050)
    assert after.start - before.stop > 4000
    assert abs(lag(before, hum)) < 9
    assert abs(lag(after, hum)) < 9


def test_early_ends_stay_early(tmp_path):
    sound = Sound(seconds=1.0, rate=48000, codec="flac", signal=hum)
    info, blocks = read(tmp_path, sound, seconds=4.0)
    assert blocks[-1].stop == pytest.approx(16000, abs=16)
    assert info.timeline.pts[-1] > 3.9


def test_rounded_timestamps_make_no_holes_and_blocks_are_short(tmp_path):
    # At 44.1 kHz no packet of Matroska starts at a whole millisecond.
    sound = Sound(rate=44100, codec="flac", signal=hum)
    _, blocks = read(tmp_path, sound, seconds=45.0)
    assert all(a.stop == b.start for a, b in itertools.pairwise(blocks))
    assert len(blocks) == 5
    assert max(len(block.samples) for block in blocks) < 11 * 16000
    assert abs(lag(blocks[-2], hum)) < 9


@pytest.mark.parametrize("clock", [1.0005, 0.9995])
def test_a_clock_that_drifts_is_followed_without_holes(tmp_path, clock):
    sound = Sound(rate=16000, codec="pcm_s16le", signal=hum, clock=clock)
    _, blocks = read(tmp_path, sound, seconds=60.0, suffix="mkv")
    assert all(a.stop == b.start for a, b in itertools.pairwise(blocks))
    # Counting samples alone would be 30 ms off at the end; half a frame of 60 fps is 8 ms.
    for block in blocks:
        middle = len(block.samples) // 2
        piece = type(block)(block.start + middle - 1600, block.samples[middle - 1600 :][:3200])
        late = lag(piece, lambda times: hum(times / clock), inner=100, reach=1200)
        assert abs(late) / 16000 < 0.008


def test_a_header_with_an_absurd_rate_is_damage(tmp_path):
    """It would take filters of gigabytes."""
    sound = Sound(rate=16000, codec="pcm_s16le", signal=hum)
    path = write_clip(tmp_path / "c.avi", times=constant_times(PAL, 25), sound=sound).path
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", 16000), struct.pack("<I", 500_000_001)))
    info = probe(path)
    assert info.audio.rate == 500_000_001
    assert list(read_audio(info)) == []


def test_without_audio_there_are_no_blocks(tmp_path):
    assert read(tmp_path, None)[1] == []


def test_reading_twice_gives_the_same_bits(tmp_path):
    info, blocks = read(tmp_path, Sound(signal=hum), seconds=12.0, suffix="mp4")
    for block, again in zip(blocks, read_audio(info), strict=True):
        assert block.start == again.start
        np.testing.assert_array_equal(block.samples, again.samples)


def test_real_clips_keep_their_starts_and_ends(real_clip):
    info = probe(real_clip)
    blocks = list(read_audio(info))
    assert all(a.stop == b.start for a, b in itertools.pairwise(blocks))
    assert blocks[0].start == pytest.approx(info.audio.start * 16000, abs=1.01)
    assert blocks[-1].stop == pytest.approx(
        (info.audio.start + info.audio.duration) * 16000, abs=2400
    )
    assert max(np.abs(block.samples).max() for block in blocks) <= 1.0
