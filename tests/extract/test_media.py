import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import RATES, Sound, constant_times, variable_times, write_clip

from vapipe.errors import MediaError
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import probe


def patch(path: Path, box: bytes, offset: int, new: bytes) -> None:
    """Overwrite bytes of the first box of a kind in an MP4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(box) + offset
    data[at : at + len(new)] = new
    path.write_bytes(data)


def be32(*values: int) -> bytes:
    return b"".join(value.to_bytes(4, "big", signed=True) for value in values)


@pytest.mark.parametrize("fps", RATES, ids=str)
@pytest.mark.parametrize("start", [0.0, 0.852])
def test_every_frame_time_is_exact(tmp_path, fps, start):
    clip = write_clip(tmp_path / "c.mp4", times=constant_times(fps, 40, start), sound=Sound())
    info = probe(clip.path)
    assert len(info.timeline) == 40
    np.testing.assert_allclose(info.timeline.pts, clip.pts, atol=2e-5)  # the container's raster
    assert info.timeline.fps == pytest.approx(float(fps), rel=1e-5)


def test_variable_rates_keep_their_times(tmp_path):
    clip = write_clip(tmp_path / "c.mp4", times=variable_times(60), options={"bf": "2"})
    np.testing.assert_array_equal(probe(clip.path).timeline.pts, clip.pts)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov"])
def test_ticks_and_seconds_are_the_same_times_in_order(tmp_path, suffix):
    clip = write_clip(tmp_path / f"c.{suffix}", times=constant_times(Fraction(25), 30, 1.0))
    info = probe(clip.path)
    assert info.ticks.dtype == np.int64
    assert (np.diff(info.ticks) > 0).all()
    seconds = [float(tick * info.time_base) for tick in info.ticks.tolist()]
    np.testing.assert_array_equal(seconds, info.timeline.pts)
    assert info.timeline.pts[0] == pytest.approx(1.0)


def test_audio_facts_stay_on_the_containers_clock(tmp_path):
    sound = Sound(start=0.5, seconds=1.0, rate=16000, codec="pcm_s16le", layout="stereo")
    clip = write_clip(tmp_path / "c.mkv", times=constant_times(Fraction(25), 60, 0.2), sound=sound)
    info = probe(clip.path)
    assert (info.audio.rate, info.audio.channels, info.audio.codec) == (16000, 2, "pcm_s16le")
    assert info.audio.start == pytest.approx(0.5, abs=1e-3)
    assert info.audio.duration == pytest.approx(1.0, abs=2e-3)
    assert info.timeline.pts[0] == pytest.approx(0.2, abs=1e-3)


def test_without_audio_there_is_none(tmp_path):
    assert (
        probe(write_clip(tmp_path / "c.mp4", times=constant_times(Fraction(25), 5)).path).audio
        is None
    )


def test_the_containers_default_stream_is_taken_and_another_can_be_chosen(tmp_path):
    times = constant_times(Fraction(25), 20)
    clip = write_clip(tmp_path / "c.mp4", times=times, sound=Sound(layout="stereo"), decoys=True)
    default, other = probe(clip.path), probe(clip.path, video_stream=2, audio_stream=3)
    assert (default.index, default.width, default.audio.channels) == (0, 16, 1)
    assert (other.index, other.width, other.height, other.audio.channels) == (2, 48, 32, 2)
    assert next(read_frames(other)).image.shape == (32, 48, 3)
    assert default.choices == (
        "2 video streams: 0 (h264) is taken, not 2 (h264); --video-stream takes another",
        "2 audio streams: 1 (aac) is taken, not 3 (aac); --audio-stream takes another",
    )
    assert other.choices == ()
    assert len(probe(clip.path, video_stream=0).choices) == 1
    with pytest.raises(MediaError, match=r"stream 1 is no video stream; .* 0 \(h264\), 2 \(h264\)"):
        probe(clip.path, video_stream=1)
    with pytest.raises(MediaError, match=r"stream 9 is no audio stream; .* 1 \(aac\), 3 \(aac\)"):
        probe(clip.path, audio_stream=9)


def test_frames_that_an_edit_list_discards_are_no_rows(tmp_path):
    times = constant_times(Fraction(25), 20)
    clip = write_clip(tmp_path / "c.mp4", times=times, options={"bf": "0"})
    skipped = 5 * 512  # frames in ticks of 1/12800 s
    patch(clip.path, b"elst", 16, be32(skipped))
    info = probe(clip.path)
    assert len(info.timeline) == 15
    assert info.timeline.pts[0] == 0
    assert all(frame.image is not None for frame in read_frames(info))


@pytest.mark.parametrize("rows", [1, 5])  # of one frame, the decoder gives none before the end
def test_rotation_is_applied_to_sizes_and_images(tmp_path, rows):
    def draw(row):
        image = np.zeros((32, 48, 3), np.uint8)
        image[:, 24:] = 255  # the right half is white
        return image

    clip = write_clip(tmp_path / "c.mp4", times=constant_times(Fraction(25), rows), draw=draw)
    one = 1 << 16
    patch(clip.path, b"tkhd", 44, be32(0, one, 0, -one, 0, 0, 0, 0, 1 << 30))
    info = probe(clip.path)
    assert (info.width, info.height, info.orientation.rotation) == (32, 48, 90)
    assert info.damage == []
    image = next(read_frames(info)).image
    assert image.shape == (48, 32, 3)
    assert image[:20].mean() < 30  # clockwise: what was right is now below
    assert image[28:].mean() > 220


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    times = constant_times(Fraction(25), 5)
    clip = write_clip(tmp_path / "c.mp4", times=times, options={"aspect": "4:3"})
    info = probe(clip.path)
    assert (info.width, info.height) == (64, 32)
    assert next(read_frames(info)).image.shape == (32, 64, 3)


def test_one_frame_is_a_timeline(tmp_path):
    clip = write_clip(tmp_path / "c.mkv", times=constant_times(Fraction(25), 1))
    info = probe(clip.path)
    assert len(info.timeline) == 1
    assert info.timeline.fps == pytest.approx(25)


@pytest.mark.parametrize("name", ["with space.mp4", "ünïcødé 😀.mp4", "12:30%05d.mp4", "#?&.mp4"])
def test_any_file_name_opens(tmp_path, name):
    (tmp_path / "dir with ü").mkdir()
    clip = write_clip(tmp_path / "c.mp4", times=constant_times(Fraction(25), 3))
    path = clip.path.rename(tmp_path / "dir with ü" / name)
    assert len(probe(path).timeline) == 3


def test_a_codec_without_decoder_is_refused_for_video_and_noted_for_audio(tmp_path):
    times = constant_times(Fraction(25), 10)
    clip = write_clip(tmp_path / "c.mp4", times=times, sound=Sound(codec="flac"))
    patch(clip.path, b"fLaC", 0, b"zzzz")
    info = probe(clip.path)
    assert (len(info.timeline), info.audio) == (10, None)
    assert info.damage == ["no decoder for the codec of audio stream 1"]
    patch(clip.path, b"avc1\0", 0, b"zzzz")
    with pytest.raises(MediaError, match="no decoder for the codec of video stream 0; convert"):
        probe(clip.path)


def test_facts_are_json(tmp_path):
    clip = write_clip(tmp_path / "c.mp4", times=constant_times(Fraction(25), 5), sound=Sound())
    facts = json.loads(json.dumps(probe(clip.path).facts()))
    assert facts["frames"] == 5
    assert facts["video"]["codec"] == "h264"
    assert facts["audio"]["codec"] == "aac"


def broken_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that cannot be used, each with what its message must say."""
    clip = write_clip(folder / "c.mp4", times=constant_times(Fraction(25), 50), sound=Sound())
    data = clip.path.read_bytes()
    files = {
        "text": (b"valence,arousal\n0.1,0.2\n", "holds text, not a video"),
        "empty": (b"", r"empty \(0 bytes\)"),
        "cut off": (data[: data.index(b"moov")], r"index \(moov\) is missing"),
        "noise": (np.random.default_rng(0).bytes(5000), "not a media file"),
        "playlist": (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n", "holds text, not a video"),
    }
    result = {}
    for name, (content, says) in files.items():
        path = folder / f"{name}.mp4"
        path.write_bytes(content)
        result[name] = path, says
    result["absent"] = folder / "nope.mp4", "no such file"
    sound = folder / "sound.m4a"
    with av.open(str(sound), "w", format="mp4") as file:
        stream = file.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    result["audio only"] = sound, "no video stream; the file holds audio"
    return result


def test_files_that_cannot_be_used_get_one_clear_message_and_no_chatter(tmp_path, capfd):
    cases = broken_files(tmp_path)
    capfd.readouterr()
    for path, says in cases.values():
        with pytest.raises(MediaError, match=says) as caught:
            probe(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", ["mkv", "ts"])
def test_a_cut_off_file_keeps_the_rows_it_has(tmp_path, suffix, capfd):
    rng = np.random.default_rng(0)
    clip = write_clip(
        tmp_path / f"c.{suffix}",
        times=constant_times(Fraction(25), 60),
        draw=lambda row: rng.integers(0, 256, (32, 48, 3), dtype=np.uint8),
        sound=Sound(codec="aac"),
    )
    data = clip.path.read_bytes()
    clip.path.write_bytes(data[: len(data) * 6 // 10])
    whole, info = clip.pts, probe(clip.path)
    rows = len(info.timeline)
    assert 20 < rows < 60
    np.testing.assert_allclose(np.diff(info.timeline.pts), np.diff(whole)[: rows - 1], atol=1.1e-3)
    images = [frame.image is not None for frame in read_frames(info)]
    assert len(images) == rows
    assert sum(images) >= rows - 3
    assert capfd.readouterr().err == ""


def test_every_real_clip_is_probed_and_decodes_to_its_rows(real_clip):
    info = probe(real_clip)
    frames = list(read_frames(info, lines=90))
    assert [frame.row for frame in frames] == list(range(len(info.timeline)))
    assert all(frame.image is not None for frame in frames)
    assert info.audio is not None


def test_real_clips_have_the_times_that_their_containers_say(real_clips):
    late = probe(real_clips / "short_hamilton_clip.mp4")
    assert (len(late.timeline), round(late.timeline.pts[0], 3)) == (275, 0.852)
    assert round(late.audio.start, 3) == 0.008
    variable = probe(real_clips / "pyfeat_face_noface.mov")
    steps = np.diff(variable.timeline.pts)
    assert steps.min() < 0.014
    assert steps.max() > 0.041
    assert round(variable.audio.start, 3) == 2.430
    several = real_clips / "torchcodec_nasa_13013.mp4"
    assert (probe(several).index, probe(several).audio.index) == (3, 4)
    other = probe(several, video_stream=0, audio_stream=1)
    assert (len(other.timeline), other.audio.rate) == (325, 8000)
