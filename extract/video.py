"""Extracts one video: whatever of its timeline and streams is missing, in one pass per medium."""

from __future__ import annotations

import importlib.metadata
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ..cache.durable import digest_file
from ..cache.layout import write_features, write_timeline
from ..cache.shard import ShardWriter
from ..cache.timeline import Valid, usable
from .dataset import Subject, Video
from .encoders import AudioEncoder, VisualEncoder
from .faces.crops import CropConfig, describe_crop_files, read_crops
from .media.audio import read_audio
from .media.probe import MediaInfo, probe
from .overlap import ahead
from .streams import Stream, StreamConfig

_REASONS = {
    Valid.NO_FACE: "without a face",
    Valid.NO_CROP: "without a crop",
    Valid.NO_AUDIO: "without audio",
    Valid.DECODE_ERROR: "that could not be decoded",
}
_VERSIONED = ("vapipe", "torch", "torchaudio", "torchvision", "facenet-pytorch", "av", "numpy")


@dataclass(frozen=True)
class Settings:
    """What is the same for every video of a run; picklable, sent to worker processes.

    Attributes:
        cache: the cache folder.
        streams: the streams asked for.
        crops: how faces are found and cropped.
        crops_dir: folder of official crops, or None.
        device: torch device.
        video_stream: index of the container's video stream, None for the default one.
    """

    cache: Path
    streams: tuple[StreamConfig, ...]
    crops: CropConfig
    crops_dir: Path | None = None
    device: str = "cpu"
    video_stream: int | None = None


@dataclass(frozen=True)
class Task:
    """One video and what of it is missing.

    Attributes:
        video: the video.
        streams: stream name -> owners (item or video ids) whose rows are missing.
        timeline: whether the timeline must be written.
    """

    video: Video
    streams: Mapping[str, tuple[str, ...]]
    timeline: bool

    @property
    def incomplete(self) -> bool:
        """Whether anything is missing."""
        return self.timeline or bool(self.streams)


@dataclass(frozen=True)
class Outcome:
    """How a video went.

    Attributes:
        video: its id.
        status: "complete" (nothing was missing), "extracted", "failed", or "quarantined" (failed
            in an earlier run, not tried again).
        notes: what the user should know of it.
        problems: what could not be done, and why.
        trace: traceback of an error that vapipe does not expect.
        fault: of what fails: "media" (the file), "set-up" (cache, options, weights), "unexpected"
            or "death" (of the worker process).
        rows: frames T; 0 when unknown.
        duration: seconds of video.
        units: shards written.
        seconds: wall time.
        peak: resident bytes of the process at most so far.
    """

    video: str
    status: str
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    trace: str = ""
    fault: str = ""
    rows: int = 0
    duration: float = 0.0
    units: int = 0
    seconds: float = 0.0
    peak: int = 0


def extract_video(task: Task, settings: Settings, streams: Sequence[Stream]) -> Outcome:
    """Write the missing timeline and features of one video.

    Raises:
        MediaError: the file cannot be used.
        CacheError: the cache cannot be written, or a stream's values do not fit its precision.
    """
    began = time.perf_counter()
    info = probe(task.video.path, video_stream=settings.video_stream)
    source = describe_source(task.video.path)
    if task.timeline:
        write_timeline(
            settings.cache,
            task.video.id,
            info.timeline,
            subjects=[subject.id for subject in task.video.subjects],
            source=source,
            media=info.facts(),
        )
    notes = list(info.damage)
    visual = [
        s for s in streams if s.encoder.modality == "visual" and s.config.name in task.streams
    ]
    audio = [s for s in streams if s.encoder.modality == "audio" and s.config.name in task.streams]
    if visual:
        digests: dict[str, str] = {}
        if settings.crops.source == "crops":
            subjects = _subjects(task, visual)
            digests, surplus = describe_crop_files(
                info, settings.crops, subjects, settings.crops_dir
            )
            notes += surplus
        blocks = _visual_blocks(task, settings, visual, info)
        notes += _write(task, settings, visual, info, source, blocks, digests)
    if audio:
        notes += _write(task, settings, audio, info, source, _audio_blocks(task, audio, info), {})
    return Outcome(
        video=task.video.id,
        status="extracted",
        notes=tuple(dict.fromkeys(notes)),
        rows=len(info.timeline),
        duration=len(info.timeline) / info.timeline.fps,
        units=sum(len(owners) for owners in task.streams.values()),
        seconds=time.perf_counter() - began,
    )


def describe_source(path: Path) -> dict[str, Any]:
    """Name, size, modification time and SHA-256 of a video file."""
    facts = path.stat()
    return {
        "name": path.name,
        "bytes": facts.st_size,
        "modified_ns": facts.st_mtime_ns,
        "sha256": digest_file(path),
    }


@cache
def _versions() -> dict[str, str]:
    """Installed versions of what decides values, looked up once per process."""
    return {name: importlib.metadata.version(name) for name in _VERSIONED}


def _write(
    task: Task,
    settings: Settings,
    streams: Sequence[Stream],
    info: MediaInfo,
    source: Mapping[str, Any],
    blocks: Iterator[_Block],
    digests: Mapping[str, str],
) -> list[str]:
    """Write blocks of rows to the shards of their units; notes on unusable rows."""
    with ExitStack() as stack:
        units = {
            (stream.config.name, owner): _Unit(
                stack, settings, stream, owner, info, source, digests.get(owner)
            )
            for stream in streams
            for owner in task.streams[stream.config.name]
        }
        for name, owner, features, codes in blocks:
            units[name, owner].append(features, codes)
    return [note for unit in units.values() for note in unit.notes()]


class _Unit:
    """The rows of one owner in one stream on their way to a shard."""

    def __init__(
        self,
        stack: ExitStack,
        settings: Settings,
        stream: Stream,
        owner: str,
        info: MediaInfo,
        source: Mapping[str, Any],
        crops_digest: str | None,
    ) -> None:
        self._label = f"{owner}: {stream.config.name}"
        self._codes: Counter[int] = Counter()
        self._writer: ShardWriter = stack.enter_context(
            write_features(
                settings.cache,
                owner,
                stream=stream.config.name,
                key=stream.key,
                modality=stream.encoder.modality,
                rows=len(info.timeline),
                dim=stream.encoder.dim,
                source={name: source[name] for name in ("name", "bytes", "sha256")},
                config=stream.identity,
                dtype=stream.config.dtype,
                facts={"crops_sha256": crops_digest} if crops_digest else None,
                versions=_versions(),
            )
        )

    def append(self, features: np.ndarray, codes: np.ndarray) -> None:
        self._codes.update(codes.tolist())
        self._writer.append(features=features, valid=codes)

    def notes(self) -> list[str]:
        """What the user should know: how many rows are unusable, and why."""
        rows = self._codes.total()
        return [
            f"{self._label}: {count if count < rows else 'all'} of {rows} rows "
            f"{_REASONS[Valid(code)]}"
            for code, count in sorted(self._codes.items())
            if code in _REASONS
        ]


_Block = tuple[str, str, np.ndarray, np.ndarray]  # stream, owner, features [n, D], codes [n]


def _visual_blocks(
    task: Task, settings: Settings, streams: Sequence[Stream], info: MediaInfo
) -> Iterator[_Block]:
    """Decode once, crop once per subject, feed every visual stream that lacks the subject."""
    margin = settings.crops.face_margin
    encoders = [(s.config, s.encoder) for s in streams if isinstance(s.encoder, VisualEncoder)]
    subjects = _subjects(task, streams)
    crops = read_crops(info, settings.crops, subjects, settings.crops_dir, settings.device)
    for batch in ahead(crops):
        for config, encoder in encoders:
            for owner in task.streams[config.name]:
                codes = batch.codes[owner]
                use = usable(codes)
                features = np.zeros((len(codes), encoder.dim), np.float32)
                if use.any():
                    seen = config.view.apply(batch.crops[owner][use], owner)
                    features[use] = encoder.encode(seen, margin=config.view.margin(margin))
                yield config.name, owner, features, codes


def _subjects(task: Task, streams: Sequence[Stream]) -> list[Subject]:
    """The subjects that at least one of the visual streams lacks."""
    owners = {owner for stream in streams for owner in task.streams[stream.config.name]}
    return [subject for subject in task.video.subjects if subject.id in owners]


def _audio_blocks(task: Task, streams: Sequence[Stream], info: MediaInfo) -> Iterator[_Block]:
    """Decode the audio once per stream; its rows belong to the video, not to a subject."""
    encoders = {s.config.name: s.encoder for s in streams if isinstance(s.encoder, AudioEncoder)}
    for name, encoder in encoders.items():
        for features, codes in encoder.encode(read_audio(info), info.timeline):
            yield name, task.video.id, features, codes
