"""The length that a file announces is FFmpeg's, and no file, however damaged, disturbs who asks."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from clips import NTSC, PAL, Sound, constant_times, variable_times, write_clip
from hypothesis import given, settings
from hypothesis import strategies as st

from vapipe.extract.media.lengths import container_duration
from vapipe.extract.media.probe import probe


@pytest.mark.parametrize(
    ("suffix", "fps"),
    [
        *product(["mp4", "mov", "mkv", "webm"], [PAL, NTSC, Fraction(5)]),
        ("avi", PAL),  # its frames have no times of their own
        ("avi", Fraction(5)),
        ("wmv", PAL),
    ],
)
def test_the_length_is_read_from_the_header(tmp_path, suffix, fps):
    codec = {"webm": "libvpx", "wmv": "msmpeg4"}.get(suffix, "libx264")
    sound = Sound(codec={"webm": "libopus", "wmv": "mp2"}.get(suffix, "aac"), rate=48000)
    times = constant_times(fps, 75)
    clip = write_clip(tmp_path / f"c.{suffix}", times=times, sound=sound, codec=codec)
    seconds, frames = container_duration(clip.path)
    assert seconds == pytest.approx(75 / float(fps), abs=0.1)
    # These do not say how many frames they hold; 30 per second are assumed.
    assert frames == (round(seconds * 30) if suffix in ("mkv", "webm", "wmv") else 75)


def test_a_longer_second_track_or_sound_does_not_count(tmp_path):
    sound = Sound(seconds=9.0)
    clip = write_clip(tmp_path / "c.mp4", times=variable_times(60), sound=sound, decoys=True)
    seconds, frames = container_duration(clip.path)
    assert frames == 60
    assert seconds == pytest.approx(clip.pts[-1], abs=0.1)


def test_of_real_clips_it_is_that_of_the_timeline(real_clip):
    seconds, frames = container_duration(real_clip)
    timeline = probe(real_clip).timeline
    assert frames == pytest.approx(len(timeline), rel=0.02)
    assert seconds == pytest.approx(timeline.edges()[-1] - timeline.pts[0], rel=0.05)


def test_a_file_that_says_nothing_is_judged_by_its_size(tmp_path):
    (tmp_path / "a.ts").write_bytes(bytes(100_000))
    assert container_duration(tmp_path / "a.ts") == (10.0, 300)
    times, fragments = constant_times(PAL, 40), {"movflags": "frag_keyframe+empty_moov"}
    clip = write_clip(tmp_path / "b.mp4", times=times, container=fragments)
    assert container_duration(clip.path)[0] == clip.path.stat().st_size / 10_000


def test_a_file_that_cannot_be_read_has_no_length(tmp_path):
    (tmp_path / "empty.mp4").touch()
    for name in ("none.mp4", "empty.mp4", "."):
        assert container_duration(tmp_path / name) == (0.0, 0)


def test_a_length_that_cannot_be_is_not_believed(tmp_path):
    """A flipped bit in a header must not make one part of the data set out of one file."""
    clip = write_clip(tmp_path / "c.mp4", times=constant_times(PAL, 75))
    content = bytearray(clip.path.read_bytes())
    at = content.index(b"mdhd") + 4 + 16  # version and flags, two dates, time scale; the length
    content[at] |= 0x40
    clip.path.write_bytes(content)
    seconds, frames = container_duration(clip.path)
    assert seconds == len(content) / 10_000
    assert frames == round(seconds * 30)


@pytest.fixture(scope="module")
def headers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("headers")
    times = constant_times(PAL, 20)
    return [
        write_clip(folder / f"c.{suffix}", times=times, sound=Sound()).path.read_bytes()
        for suffix in ("mp4", "avi", "mkv")
    ]


@settings(max_examples=300, deadline=2000)
@given(data=st.data())
def test_no_damage_disturbs(headers, tmp_path_factory, data):
    content = bytearray(data.draw(st.sampled_from(headers)))
    for _ in range(data.draw(st.integers(1, 12))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    seconds, frames = container_duration(path)
    assert 0 <= seconds <= max(len(content) / 50, 1)
    assert isinstance(frames, int)
    assert frames >= 0


@settings(max_examples=200, deadline=2000)
@given(st.sampled_from([b"", b"RIFF    AVI ", b"\x1a\x45\xdf\xa3"]), st.binary(max_size=300))
def test_no_noise_disturbs(tmp_path_factory, start, noise):
    path = tmp_path_factory.getbasetemp() / "noise"
    path.write_bytes(start + noise)
    seconds, frames = container_duration(path)
    assert 0 <= seconds < 10
    assert 0 <= frames < 2**32
