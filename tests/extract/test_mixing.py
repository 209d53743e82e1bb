"""Sound of any layout becomes one channel by one table, and what was lost on the way is said."""

import av
import numpy as np
import pytest
from clips import PAL, Sound, constant_times, write_clip
from remux import ffmpeg, problem

from vapipe.extract.media.audio import read_audio
from vapipe.extract.media.mixing import Channels, mixing_weights
from vapipe.extract.media.probe import probe

TIMES = np.arange(16000) / 16000


def tone(frequency):
    return 0.5 * np.sin(2 * np.pi * frequency * TIMES)


def write_sound(folder, tracks, codec="pcm_s16le"):
    """A video of a second with tracks of sound: (layout, {channel: samples}) each."""
    picture = write_clip(folder / "picture.mkv", times=constant_times(PAL, 25)).path
    path = folder / "c.mkv"
    with av.open(str(picture)) as source, av.open(str(path), "w") as file:
        video = file.add_stream_from_template(source.streams.video[0])
        made = []
        for layout, channels in tracks:
            stream = file.add_stream(codec, rate=16000, layout=layout)
            names = [channel.name for channel in av.AudioLayout(layout).channels]
            samples = np.zeros((16000, len(names)))
            for channel, values in channels.items():
                at = channel if isinstance(channel, int) else names.index(channel)
                samples[:, at] = values
            whole = np.round(samples * 32767).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(whole, format="s16", layout=layout)
            frame.sample_rate, frame.pts = 16000, 0
            made.append((stream, frame))
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                file.mux(packet)
        for stream, frame in made:
            file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return path


def heard(path, **chosen):
    info = probe(path, **chosen)
    (block,) = read_audio(info)
    assert len(block.samples) == pytest.approx(16000, abs=2)
    return block.samples[:15990].astype(float), info.damage


# -- the table -------------------------------------------------------------------------------------

LAYOUTS = ["mono", "stereo", "2.1", "3.0", "4.0", "quad", "5.0", "5.1", "5.1(side)", "6.1", "7.1"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_known_layouts_are_mixed_as_ffmpeg_mixes_them(layout):
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    samples = np.random.default_rng(0).uniform(-1, 1, (len(names), 500)).astype(np.float32)
    packed = np.ascontiguousarray(samples.T).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
    frame.sample_rate = 16000
    options = {"rematrix_maxval": "1.0"}
    swr = av.AudioResampler(format="flt", layout="mono", rate=16000, options=options)
    expected = np.concatenate([part.to_ndarray()[0] for part in swr.resample(frame)])
    read, weights = Channels().read(frame)
    np.testing.assert_allclose(read, samples.T, atol=1e-7)
    np.testing.assert_allclose(read @ weights, expected, atol=1e-6)


@pytest.mark.parametrize(
    "layout", [*LAYOUTS, "22.2", "hexadecagonal", "downmix", "binaural", "LFE", "11 channels"]
)
def test_full_scale_stays_full_scale_and_nothing_is_lost(layout):
    weights = mixing_weights([channel.name for channel in av.AudioLayout(layout).channels])
    assert weights.sum() == pytest.approx(1.0)
    assert (weights >= 0).all()


def test_of_ambisonics_the_omnidirectional_channel_is_heard():
    for order, channels in ((1, 4), (3, 16)):
        names = [channel.name for channel in av.AudioLayout(f"ambisonic {order}").channels]
        assert mixing_weights(names).tolist() == [1.0] + [0.0] * (channels - 1)
    names = [channel.name for channel in av.AudioLayout("ambisonic 1+stereo").channels]
    assert (mixing_weights(names) > 0).tolist() == [True, False, False, False, True, True]


FORMATS = {"u8": 2**-7, "s16": 2**-15, "s32": 1e-6, "flt": 1e-6, "dbl": 1e-9}


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_every_sample_format_gives_the_same_samples(name, planar):
    values = np.stack([tone(100), -0.3 * tone(50), 0 * TIMES], axis=1)
    kind = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": float}[name]
    scaled = values
    if not np.issubdtype(kind, np.floating):
        limits = np.iinfo(kind)
        middle = (int(limits.max) + int(limits.min) + 1) // 2
        scaled = np.round(values * (int(limits.max) - middle)) + middle
    stored = scaled.astype(kind)
    stored = np.ascontiguousarray(stored.T) if planar else stored.reshape(1, -1)
    form = name + ("p" if planar else "")
    frame = av.AudioFrame.from_ndarray(stored, format=form, layout="3.0")
    frame.sample_rate = 16000
    np.testing.assert_allclose(Channels().read(frame)[0], values, atol=2 * FORMATS[name])


# -- whole files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [4, 16])
def test_ambisonic_sound_is_heard(tmp_path, channels):
    path = tmp_path / "c.mkv"
    sound = ("-f", "lavfi", "-i", "sine=440:sample_rate=48000:duration=1")
    picture = ("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=1")
    pan = f"[0]pan={channels}c|c0=c0|c1=-0.9*c0[a]"
    opus = ("-c:a", "libopus", "-mapping_family", 2, "-b:a", "512k")
    ffmpeg(*sound, *picture, "-filter_complex", pan, "-map", "[a]", "-map", 1, *opus, path)
    info = probe(path)
    (block,) = read_audio(info)
    power = np.mean(block.samples[1600:-1600].astype(float) ** 2)
    assert power == pytest.approx(1 / 128, rel=0.1)  # of FFmpeg's tone
    assert info.damage == []


def test_real_ambisonic_sound_is_heard():
    info = probe(problem("ambisonic.mkv"))
    (block,) = read_audio(info)
    assert np.sqrt(np.mean(block.samples**2)) > 0.05
    assert info.damage == []


@pytest.mark.parametrize("count", [3, 11])
def test_channels_without_names_count_alike(tmp_path, count):
    samples, _ = heard(write_sound(tmp_path, [(f"{count} channels", {count - 1: tone(440)})]))
    np.testing.assert_allclose(samples * count, tone(440)[:15990], atol=2e-3)


def test_a_low_frequency_channel_alone_is_heard(tmp_path):
    samples, _ = heard(write_sound(tmp_path, [("LFE", {0: tone(60)})]))
    np.testing.assert_allclose(samples, tone(60)[:15990], atol=1e-3)


CANCEL = "the channels of audio stream 1 cancel: its first channel alone is heard"


@pytest.mark.parametrize(
    ("layout", "channels", "cancels"),
    [
        ("stereo", {"FL": tone(440), "FR": -tone(440)}, True),
        ("stereo", {"FL": tone(440), "FR": -0.95 * tone(440)}, True),
        ("4 channels", {0: tone(440), 1: -tone(440)}, True),
        ("stereo", {"FL": tone(440), "FR": tone(300)}, False),
        ("stereo", {"FL": tone(440)}, False),
        ("stereo", {}, False),
        ("3.0", {"FL": tone(440), "FR": -tone(440), "FC": tone(200)}, False),
    ],
)
def test_channels_that_cancel_are_named_and_the_first_is_heard(tmp_path, layout, channels, cancels):
    samples, damage = heard(write_sound(tmp_path, [(layout, channels)]))
    assert damage == ([CANCEL] if cancels else [])
    if cancels:
        np.testing.assert_allclose(samples, tone(440)[:15990], atol=1e-3)


def test_real_channels_that_cancel_are_named():
    info = probe(problem("antiphase.mov"))
    (block,) = read_audio(info)
    assert info.damage == [CANCEL]
    assert np.sqrt(np.mean(block.samples**2)) > 0.05


def test_a_silent_track_beside_others_is_named(tmp_path):
    path = write_sound(tmp_path, [("stereo", {}), ("mono", {0: tone(440)}), ("mono", {})])
    silent = "audio stream {} is silent for its whole length; the file has others: choose with "
    assert heard(path)[1] == [f"{silent.format(1)}--audio-stream 2, 3"]
    assert heard(path, audio_stream=3)[1] == [f"{silent.format(3)}--audio-stream 1, 2"]
    assert heard(path, audio_stream=2)[1] == []


def test_a_silent_track_alone_is_no_fault(tmp_path):
    assert heard(write_sound(tmp_path, [("stereo", {})]))[1] == []


def test_sound_that_cannot_be_decoded_is_counted(tmp_path):
    sound = Sound(codec="flac", rate=16000, signal=lambda times: 0.3 * np.sin(2000 * times))
    path = write_clip(tmp_path / "c.mkv", times=constant_times(PAL, 50), sound=sound).path
    with av.open(str(path)) as file:
        packets = [bytes(packet) for packet in file.demux(audio=0) if packet.size]
    data = path.read_bytes()
    for packet in packets[2:5]:
        data = data.replace(packet, bytes(len(packet)))
    path.write_bytes(data)
    info = probe(path)
    list(read_audio(info))
    assert info.damage == ["3 packets of audio stream 1 cannot be decoded: there is no sound"]
