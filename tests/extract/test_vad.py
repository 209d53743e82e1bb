"""`vad` is what Silero's own network says of the same windows, brought to the rows' times."""

import numpy as np
import pytest
from clips import RATES, constant_times

from vapipe.cache import Timeline, Valid
from vapipe.extract.encoders import create_encoder
from vapipe.extract.media.audio import RATE, AudioBlock
from vapipe.extract.weights.bundled_weights import silero_weights

pytest.importorskip("silero_vad")
onnxruntime = pytest.importorskip("onnxruntime")


def sounds():
    """Long enough for several passes; loud, faint and rough; and shorter than a window."""
    rng = np.random.default_rng(0)
    time_s = np.arange(20 * RATE) / RATE
    tone = sum(np.sin(2 * np.pi * 140 * k * time_s) / k for k in range(1, 25))
    swell = np.clip(np.sin(2 * np.pi * 1.3 * time_s), 0, 1)
    voice = (0.2 * swell * tone + rng.normal(0, 0.01, len(time_s))).astype(np.float32)
    return [voice, 0.05 * voice[:50000], rng.uniform(-1, 1, 9000).astype(np.float32), voice[:300]]


def encode(sound, start, moments):
    """Rows at moments in samples."""
    frames = Timeline.from_pts(np.asarray(moments) / RATE, 60.0)
    parts = list(create_encoder("vad").encode([AudioBlock(start, sound)], frames))
    return np.concatenate([f for f, _ in parts])[:, 0], np.concatenate([c for _, c in parts])


def silero(sound):
    """Its network for streams, window after window, each with the 64 samples before it."""
    path = silero_weights().path.with_name("silero_vad.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    padded = np.pad(sound, (64, -len(sound) % 512))
    state, found = np.zeros((2, 1, 128), np.float32), []
    for first in range(0, len(padded) - 64, 512):
        values = {"input": padded[None, first : first + 576], "state": state, "sr": np.array(RATE)}
        (probability,), state = session.run(None, values)
        found.append(probability[0])
    return np.array(found)


@pytest.mark.parametrize("which", range(4))
def test_equals_silero_in_the_middle_of_every_window(which):
    sound, start = sounds()[which], 1234
    whole = max(1, len(sound) // 512)
    middles = start + 256 + 512 * np.arange(whole) - (len(sound) < 512) * 150
    found, codes = encode(sound, start, middles)
    expected = silero(sound)[:whole]
    assert (codes == Valid.AUDIO).all()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if which == 0:
        assert expected.min() < 0.05
        assert expected.max() > 0.5


def test_rows_between_two_windows_are_interpolated_and_stay_outside():
    sound, start = sounds()[0][: 4 * RATE], 777
    moments = np.array([float(t) for t in constant_times(RATES[0], 96)]) * RATE
    found, codes = encode(sound, start, moments)
    probabilities = silero(sound)[: len(sound) // 512]
    middles = start + 256 + 512 * np.arange(len(probabilities))
    heard = codes == Valid.AUDIO
    expected = np.interp(moments, middles, probabilities)
    np.testing.assert_allclose(found[heard], expected[heard], atol=1e-5)
    assert heard.sum() > 90
