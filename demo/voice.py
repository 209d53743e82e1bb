"""The sound of a synthetic clip: glottal pulses through vowel formants, in syllables and phrases.

Makes arrays only; what the signals are and where the samples go is decided in `dataset.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 16000  # hertz
BLOCK = 512  # samples in one block of the formant filter, half of them new
HOP = BLOCK // 2

# First three formants of five vowels, hertz (a, e, i, o, u of an average adult).
VOWELS = np.array(
    [
        (750.0, 1250.0, 2500.0),
        (500.0, 1850.0, 2550.0),
        (320.0, 2300.0, 3000.0),
        (500.0, 950.0, 2450.0),
        (350.0, 850.0, 2350.0),
    ]
)
BANDWIDTHS = (80.0, 110.0, 160.0)  # hertz


@dataclass(frozen=True, eq=False)
class Utterance:
    """What a voice and a room do over the T frames of a clip; arrays are [T] float64.

    Attributes:
        loudness: level of the voice, decibels relative to full scale.
        pitch: fundamental, hertz.
        smile: relative shift of the formants and, times `SMILE_TILT`, brightness of the voice.
        gain: 0..1, what of the voice reaches the microphone (0 = not a word).
        noise: level of the disturbing noise, decibels relative to full scale.
        seed: seed of the words, the breath and the noise.
    """

    loudness: np.ndarray
    pitch: np.ndarray
    smile: np.ndarray
    gain: np.ndarray
    noise: np.ndarray
    seed: int


SMILE_SHIFT = 0.12  # formants move up by this share per unit of smile
SMILE_TILT = 4.0  # decibels per octave above 500 Hz per unit of smile


def syllables(samples: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw a rhythm: phrases of syllables at about 4 Hz, with pauses between the phrases.

    Returns:
        envelope [samples] in 0..1, zero in pauses; vowel [samples], index into `VOWELS`.
    """
    envelope, vowel = np.zeros(samples), np.zeros(samples, dtype=np.int64)
    at = 0
    while at < samples:
        phrase_end = at + int(rng.uniform(1.5, 3.5) * RATE)
        while at < min(phrase_end, samples):
            length = int(rng.uniform(0.17, 0.32) * RATE)
            phase = np.linspace(0.0, 1.0, length)
            shape = np.sqrt(np.sin(np.pi * phase**0.8)) * rng.uniform(0.8, 1.0)
            end = min(at + length, samples)
            envelope[at:end] = shape[: end - at]
            vowel[at:end] = rng.integers(len(VOWELS))
            at = end
        at += int(rng.uniform(0.25, 0.6) * RATE)
    return envelope, vowel


def glottal_flow(pitch: np.ndarray) -> np.ndarray:
    """Derivative of Rosenberg's glottal pulse (1971, form C) at pitch [samples] in hertz."""
    phase = np.cumsum(pitch / RATE) % 1.0
    opening, closing = 0.4, 0.16  # shares of the period
    rise = 0.5 * np.pi / opening * np.sin(np.pi * phase / opening)
    fall = -0.5 * np.pi / closing * np.sin(0.5 * np.pi * (phase - opening) / closing)
    flow = np.where(phase < opening, rise, np.where(phase < opening + closing, fall, 0.0))
    return flow / np.sqrt(np.mean(flow**2))


def formant_gains(formants: np.ndarray, smile: np.ndarray) -> np.ndarray:
    """Return the magnitude response [blocks, BLOCK + 1] of the vocal tract.

    Args:
        formants: [blocks, 3] hertz.
        smile: [blocks], see `Utterance`.

    The filter is zero-phase: it neither delays nor advances the voice.
    """
    frequency = np.fft.rfftfreq(2 * BLOCK, 1 / RATE)
    gains = np.ones((len(formants), len(frequency)))
    moved = formants * (1 + SMILE_SHIFT * smile[:, None])
    for centre, width in zip(moved.T, BANDWIDTHS, strict=True):
        centre2 = centre[:, None] ** 2
        damping = width * frequency
        gains *= centre2 / np.hypot(centre2 - frequency**2, damping)
    octaves = np.log2(np.maximum(frequency, 500.0) / 500.0)
    gains *= 10 ** (SMILE_TILT * smile[:, None] * octaves / 20)
    # Vowels differ in strength by nature; taking that out leaves loudness to the planted signal.
    return gains / np.sqrt(np.mean(gains[:, : BLOCK // 4] ** 2, axis=1, keepdims=True))


def render_voice(utterance: Utterance, fps: int) -> np.ndarray:
    """Return the samples [round(T / fps * RATE)] float32 at 16 kHz, mono, within -1..1.

    Args:
        utterance: what is said, row i belonging to the time i / fps.
        fps: rate of the rows, hertz.
    """
    frames = len(utterance.pitch)
    samples = round(frames / fps * RATE)
    when, rows = np.arange(samples) / RATE, np.arange(frames) / fps

    def at_samples(values: np.ndarray) -> np.ndarray:
        return np.interp(when, rows, values)

    rng = np.random.default_rng(utterance.seed)
    envelope, vowel = syllables(samples, rng)
    source = glottal_flow(at_samples(utterance.pitch)) + 0.05 * rng.standard_normal(samples)

    middles = np.arange(0, samples + HOP, HOP)  # block k is centred on sample k * HOP
    nearest = np.minimum(middles, samples - 1)
    formants = VOWELS[vowel[nearest]]
    # A tongue takes about 50 ms from vowel to vowel.
    padded = np.pad(formants, ((1, 1), (0, 0)), mode="edge")
    formants = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    gains = formant_gains(formants, np.interp(nearest / RATE, rows, utterance.smile))

    voice = _filter_blocks(source, gains)
    level = 10 ** (at_samples(utterance.loudness) / 20)
    noise = 10 ** (at_samples(utterance.noise) / 20) * rng.standard_normal(samples)
    mixed = voice * level * envelope * at_samples(utterance.gain) + noise
    return np.clip(mixed, -1.0, 1.0).astype(np.float32)


def _filter_blocks(source: np.ndarray, gains: np.ndarray) -> np.ndarray:
    """Overlap-add: filter `source` [samples] with one magnitude response per block."""
    padded = np.pad(source, (HOP, BLOCK + HOP))
    starts = np.arange(len(gains)) * HOP
    window = np.hanning(BLOCK + 1)[:-1]
    blocks = padded[starts[:, None] + np.arange(BLOCK)] * window
    spectra = np.fft.rfft(blocks, 2 * BLOCK, axis=1) * gains
    # A zero-phase response reaches back in time, which the transform wraps to the buffer's end.
    filtered = np.roll(np.fft.irfft(spectra, 2 * BLOCK, axis=1), HOP, axis=1)
    out = np.zeros(len(padded) + 4 * BLOCK)
    for start, block in zip(starts, filtered, strict=True):
        out[start : start + 2 * BLOCK] += block
    return out[2 * HOP : 2 * HOP + len(source)]
