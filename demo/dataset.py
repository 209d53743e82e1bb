"""The demo data set in the Aff-Wild2 layout: synthetic clips with planted valence and arousal.

Valence warps the mouth and brows of one portrait, arousal drives loudness and pitch of a synthetic
voice. The other modality carries a weak hint of each, and each modality is useless for about a
fifth of the time, never both at once. Pose, zoom, light, noise and voice vary independently.
`DESCRIPTION` says the same for people; results on these clips say nothing about real faces.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np

from ..cache.durable import atomic_file, write_bytes
from ..errors import ConfigError
from ..executor import TaskFailed, run_tasks
from .face import SIZE, Shot, draw_frames, load_portrait
from .voice import RATE, Utterance, render_voice

DESCRIPTION = """\
The demo data is synthetic: nobody felt anything in these clips.
  picture  one public-domain portrait (scikit-image's astronaut); its mouth and brows are warped by
           the valence label, its eyes open a little with arousal
  voice    glottal pulses through vowel formants; loudness and pitch follow the arousal label,
           the formants shift a little with valence
  labels   the planted signals, slow (below about 0.3 Hz) and spread over [-1, 1]; some rows are -5
  trouble  head pose, zoom, light, noise, speaker and microphone vary independently of the labels;
           for about a fifth of the time the face is covered or out of the frame, for another fifth
           the voice is silent or drowned in noise
High scores show that the pipeline works. They say nothing about real faces and voices."""

SETS = {"train": "Train_Set", "validation": "Validation_Set"}
HINT = 0.5  # correlation of a weak cue with the label it hints at; the rest is slow nuisance
UNANNOTATED = -5.0


@dataclass(frozen=True, eq=False)
class Clip:
    """One planned clip of T frames, frame i at i / fps seconds; nothing is rendered yet.

    Attributes:
        name: file name without suffix.
        partition: "train" or "validation".
        fps: frames per second.
        valence, arousal: [T] float64 in [-1, 1], the planted signals.
        annotated: [T, 2] bool, False where the label file says -5.
        face_hidden: [T] float64, 0 = face in full view, 1 = covered or out of the frame.
        voice_hidden: [T] float64, 0 = voice clear, 1 = silent or drowned.
        shot: the picture.
        utterance: the sound.
    """

    name: str
    partition: str
    fps: int
    valence: np.ndarray
    arousal: np.ndarray
    annotated: np.ndarray
    face_hidden: np.ndarray
    voice_hidden: np.ndarray
    shot: Shot
    utterance: Utterance


def write_demo_set(
    folder: Path,
    *,
    seed: int = 0,
    train: int = 14,
    validation: int = 5,
    seconds: float = 28.0,
    fps: int = 25,
    jobs: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write the demo data set and return the paths of its videos, training clips first.

    Args:
        folder: where `batch1/`, `batch2/` and `VA_Estimation_Challenge/` are made.
        seed: equal seeds give equal labels, and equal files on the same machine and versions.
        jobs: processes that render; None = one for each core.
        progress: called with (clips done, clips in all) after every clip.

    Raises:
        ConfigError: a number is out of its range, `folder` holds videos or labels of something
            else, scikit-image is missing, or a process that renders dies.
        CacheError: the folder cannot be written.
    """
    _check(seed=seed, train=train, validation=validation, seconds=seconds, fps=fps)
    portrait = load_portrait()
    frames = round(seconds * fps)
    counts = {"train": train, "validation": validation}
    clips = [
        plan_clip(partition, index, frames=frames, fps=fps, seed=seed)
        for partition, count in counts.items()
        for index in range(count)
    ]
    targets = [
        (
            folder / f"batch{1 + number % 2}" / f"{clip.name}.mp4",
            folder / "VA_Estimation_Challenge" / SETS[clip.partition] / f"{clip.name}.txt",
        )
        for number, clip in enumerate(clips)
    ]
    _refuse_strangers(folder, {path for pair in targets for path in pair})
    for clip, (_, label_file) in zip(clips, targets, strict=True):
        write_bytes(label_file, label_text(clip).encode())
    videos = [video for video, _ in targets]
    jobs = min(jobs or len(os.sched_getaffinity(0)), len(clips))
    rendered = run_tasks(partial(_write, portrait), zip(clips, videos, strict=True), n_jobs=jobs)
    for number, ((_, video), answer) in enumerate(rendered, start=1):
        if isinstance(answer, TaskFailed):
            if answer.error is not None:
                raise answer.error
            raise ConfigError(
                f"demo data: the process that rendered {video} died ({answer.reason}), also "
                "alone; memory may have run out: close other programs and start again"
            )
        if progress is not None:
            progress(number, len(clips))
    return videos


def _write(portrait: np.ndarray, target: tuple[Clip, Path]) -> None:
    clip, video = target
    write_video(clip, video, portrait)


def _check(*, seed: int, train: int, validation: int, seconds: float, fps: int) -> None:
    for name, value, low, high in (
        ("seed", seed, 0, 2**32 - 1),
        ("train", train, 1, 999),
        ("validation", validation, 1, 999),
        ("seconds", seconds, 2, 600),
        ("fps", fps, 10, 60),
    ):
        if not low <= value <= high:
            raise ConfigError(
                f"demo data: {name} must lie between {low} and {high}; got {value}. "
                "Leave it out to take the default"
            )


def _refuse_strangers(folder: Path, own: set[Path]) -> None:
    """Raise ConfigError when `folder` holds a clip or label file that is not among `own`."""
    for pattern in ("batch*/*", "VA_Estimation_Challenge/*/*"):
        for path in sorted(folder.glob(pattern)):
            if path not in own and not path.name.startswith("."):
                raise ConfigError(
                    f"demo data: {folder} already holds {path.relative_to(folder)}, which is not "
                    "part of the data set to be written, and the two would be mixed; "
                    "choose an empty folder or remove that one"
                )


def plan_clip(partition: str, index: int, *, frames: int, fps: int, seed: int) -> Clip:
    """Draw everything about one clip: labels, useless stretches, face and voice."""
    streams = np.random.SeedSequence((seed, list(SETS).index(partition), index)).spawn(3)
    label_rng, face_rng, voice_rng = (np.random.default_rng(stream) for stream in streams)
    raw_valence = slow_noise(frames, fps, label_rng)
    raw_arousal = slow_noise(frames, fps, label_rng)
    # A chance correlation between the two would let each modality predict the other label.
    raw_arousal = standardise(raw_arousal - np.mean(raw_arousal * raw_valence) * raw_valence)
    valence, arousal = to_uniform(raw_valence), to_uniform(raw_arousal)
    face_hidden, voice_hidden, ways = _useless_stretches(frames, fps, label_rng)
    return Clip(
        name=f"demo_{partition}_{index + 1:02d}",
        partition=partition,
        fps=fps,
        valence=valence,
        arousal=arousal,
        annotated=_annotated(frames, label_rng),
        face_hidden=face_hidden,
        voice_hidden=voice_hidden,
        shot=_plan_shot(valence, arousal, face_hidden, ways, fps, face_rng),
        utterance=_plan_utterance(valence, arousal, voice_hidden, ways, fps, voice_rng),
    )


def slow_noise(frames: int, fps: int, rng: np.random.Generator) -> np.ndarray:
    """Return a random signal [frames] of zero mean and unit variance between 0.02 and 0.2 Hz."""
    when = np.arange(frames) / fps
    frequency = rng.uniform(0.02, 0.2, 24)
    phase = rng.uniform(0.0, 2 * np.pi, 24)
    return standardise(np.cos(2 * np.pi * np.outer(when, frequency) + phase).sum(axis=1))


def standardise(signal: np.ndarray) -> np.ndarray:
    """Shift and scale a signal [T] to zero mean and unit variance."""
    return (signal - signal.mean()) / signal.std()


def to_uniform(signal: np.ndarray) -> np.ndarray:
    """Map a standardised signal [T] to about uniform values in [-1, 1].

    The error function is the distribution function of a Gaussian; this is its logistic form
    (Bowling et al. 2009), within 0.02 %.
    """
    return np.tanh(0.5 * (0.07056 * signal**3 + 1.5976 * signal))


def _useless_stretches(
    frames: int, fps: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place stretches without a face and stretches without a voice, never overlapping.

    The clip is cut into slots, two for every 14 s; one of each pair hides the face, the other the
    voice, in random order.

    Returns:
        face_hidden, voice_hidden: [T] float64, 0..1 with ramps of 0.3 s.
        way: [T] bool, which of the two ways of hiding is used (see the planners).
    """
    pairs = max(1, round(frames / fps / 14))
    hidden = np.zeros((2, frames))
    way = np.zeros(frames, dtype=bool)
    ways = rng.permutation(2 * pairs) % 2 == 0
    slot = frames / fps / (2 * pairs)
    when = np.arange(frames) / fps
    for pair in range(pairs):
        for position, modality in enumerate(rng.permutation(2)):
            number = 2 * pair + position
            length = slot * rng.uniform(0.35, 0.5)
            start = number * slot + rng.uniform(0.1, 0.9) * (slot - length)
            ramp = min(0.3, length / 4)
            edges = np.minimum(when - start, start + length - when) / ramp
            hidden[modality] += np.clip(edges, 0.0, 1.0)
            way[(when >= number * slot) & (when < (number + 1) * slot)] = ways[number]
    return hidden[0], hidden[1], way


def _annotated(frames: int, rng: np.random.Generator) -> np.ndarray:
    """Return which labels [frames, 2] are given: one stretch lacks both, another lacks one."""
    annotated = np.ones((frames, 2), dtype=bool)
    for columns in (slice(None), slice(0, 1)):
        length = max(1, int(frames * rng.uniform(0.01, 0.04)))
        start = rng.integers(frames - length)
        annotated[start : start + length, columns] = False
    return annotated


def _hint(signal: np.ndarray, fps: int, rng: np.random.Generator) -> np.ndarray:
    """Return a slow signal [T] of about unit variance that correlates by `HINT` with `signal`.

    The nuisance is as slow as the signal, so that no amount of smoothing makes the hint strong.
    """
    nuisance = slow_noise(len(signal), fps, rng)
    return HINT * standardise(signal) + np.sqrt(1 - HINT**2) * nuisance


def _curves(frames: int, fps: int, rng: np.random.Generator) -> Callable[..., np.ndarray]:
    """A function of (middle, spread) that draws another slow curve [frames] with every call."""
    return lambda middle, spread: middle + spread * slow_noise(frames, fps, rng)


def _plan_shot(
    valence: np.ndarray,
    arousal: np.ndarray,
    hidden: np.ndarray,
    way: np.ndarray,
    fps: int,
    rng: np.random.Generator,
) -> Shot:
    """Plan the picture; way True = a board covers the face, False = the camera turns away."""
    slow = _curves(len(valence), fps, rng)
    smooth = hidden * hidden * (3 - 2 * hidden)
    return Shot(
        mouth=valence + slow(0.0, 0.1),
        eyes=0.35 * _hint(arousal, fps, rng),
        turn=slow(0.0, np.deg2rad(3.5)),
        shift_x=slow(rng.uniform(-6, 6), 6.0),
        shift_y=slow(rng.uniform(-4, 8), 4.0),
        zoom=slow(rng.uniform(0.94, 1.06), 0.04),
        light=slow(rng.uniform(0.7, 1.0), 0.08),
        slope=slow(rng.uniform(-0.2, 0.2), 0.1),
        covered=np.where(way, smooth, 0.0),
        away=np.where(way, 0.0, smooth),
        tint=(rng.uniform(0.93, 1.07), 1.0, rng.uniform(0.93, 1.07)),
        grain=rng.uniform(1.5, 4.0),
        mirrored=bool(rng.integers(2)),
        noise_seed=int(rng.integers(2**32)),
    )


def _plan_utterance(
    valence: np.ndarray,
    arousal: np.ndarray,
    hidden: np.ndarray,
    way: np.ndarray,
    fps: int,
    rng: np.random.Generator,
) -> Utterance:
    """Plan the sound; way True = silence, False = noise about as loud as a raised voice."""
    slow = _curves(len(valence), fps, rng)
    floor = rng.uniform(-62.0, -54.0)
    roar = slow(-24.0, 5.0)
    return Utterance(
        loudness=slow(rng.uniform(-31.0, -29.0), 1.0) + 9.0 * arousal,
        pitch=rng.uniform(125.0, 165.0) * 2 ** (0.5 * arousal + slow(0.0, 0.05)),
        smile=_hint(valence, fps, rng),
        gain=1.0 - hidden,
        noise=np.where(way, floor, floor + (roar - floor) * hidden),
        seed=int(rng.integers(2**32)),
    )


def label_text(clip: Clip) -> str:
    """Return the annotation file of a clip: a header, then one row for every frame."""
    values = np.stack([clip.valence, clip.arousal], axis=1)
    values = np.where(clip.annotated, values, UNANNOTATED)
    return "valence,arousal\n" + "".join(f"{v:.4g},{a:.4g}\n" for v, a in values)


def write_video(clip: Clip, target: Path, portrait: np.ndarray) -> None:
    """Render a clip into an .mp4 (H.264 and AAC); frame i is shown, and heard, at i / fps.

    Raises:
        CacheError: the folder cannot be written.
    """
    samples = render_voice(clip.utterance, clip.fps)
    with atomic_file(target) as partial, av.open(str(partial), "w", format="mp4") as container:
        # One thread each: the processes share the cores, and the files do not depend on them.
        video = container.add_stream(
            "libx264", rate=clip.fps, options={"preset": "veryfast", "crf": "21", "threads": "1"}
        )
        video.width = video.height = SIZE
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        audio.bit_rate = 64_000
        start = 0
        for number, pixels in enumerate(draw_frames(clip.shot, portrait)):
            picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, clip.fps)
            container.mux(video.encode(picture))
            stop = round((number + 1) / clip.fps * RATE)
            sound = av.AudioFrame.from_ndarray(samples[None, start:stop], "fltp", "mono")
            sound.sample_rate, sound.pts, sound.time_base = RATE, start, Fraction(1, RATE)
            container.mux(audio.encode(sound))
            start = stop
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
