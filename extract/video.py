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
from .dataset import Subject
from .encoders import AudioEncoder, Encoder, VisualEncoder
from .faces.crop_config import CropConfig
from .faces.crops import describe_crop_files, read_crops
from .media.audio import read_audio
from .media.probe import MediaInfo, probe
from .prefetch import prefetch
from .spec import EncoderSpec
from .task import Outcome, Settings, Task
from .views import View

_REASONS = {
    Valid.NO_FACE: "without a face",
    Valid.NO_CROP: "without a crop",
    Valid.NO_AUDIO: "without audio",
    Valid.DECODE_ERROR: "that could not be decoded",
}
_VERSIONED = ("vapipe", "torch", "torchaudio", "torchvision", "facenet-pytorch", "av", "numpy")


@dataclass(frozen=True)
class Stream:
    """A stream ready to run: what it is, and its network."""

    spec: EncoderSpec
    encoder: Encoder


def extract_video(task: Task, settings: Settings, streams: Sequence[Stream]) -> Outcome:
    """Write the missing timeline and features of one video.

    Raises:
        MediaError: the file cannot be used.
        CacheError: the cache cannot be written, or a stream's values do not fit its precision.
    """
    began = time.perf_counter()
    path = task.video.path
    info = probe(path, video_stream=settings.video_stream, audio_stream=settings.audio_stream)
    source = {**describe_source(path), "video_stream": str(info.index)}
    if task.timeline:
        write_timeline(
            settings.cache,
            task.video.id,
            info.timeline,
            subjects=[subject.id for subject in task.video.subjects],
            sides={subject.id: subject.side for subject in task.video.subjects if subject.side},
            source=source,
            media=info.facts(),
        )
    notes = [*info.damage, *(str(each) for each in task.stale)]
    lacking = [stream for stream in streams if stream.spec.stream in task.streams]
    for crops in dict.fromkeys(stream.spec.crops for stream in lacking):
        group = [stream for stream in lacking if stream.spec.crops == crops]
        if crops is None:
            owners = {task.video.id: _heard(info)}
            blocks = _audio_blocks(task, group, info)
        else:
            subjects = _subjects(task, group)
            owners, surplus = _seen(info, crops, subjects, settings.crops_dir)
            notes += surplus
            blocks = _visual_blocks(task, settings, group, crops, info)
        notes += _write(task, settings, group, info, source, owners, blocks)
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
    owners: Mapping[str, Mapping[str, str]],
    blocks: Iterator[_Block],
) -> list[str]:
    """Write blocks of rows to the shards of their units; notes on unusable rows."""
    with ExitStack() as stack:
        units = {
            (stream.spec.stream, owner): _Rows(
                stack, settings, stream, owner, info, {**source, **owners[owner]}
            )
            for stream in streams
            for owner in task.streams[stream.spec.stream]
        }
        for name, owner, features, codes in blocks:
            units[name, owner].append(features, codes)
    return [note for unit in units.values() for note in unit.notes()]


class _Rows:
    """The rows of one owner in one stream on their way to a shard."""

    def __init__(
        self,
        stack: ExitStack,
        settings: Settings,
        stream: Stream,
        owner: str,
        info: MediaInfo,
        source: Mapping[str, Any],
    ) -> None:
        spec = stream.spec
        self._label = f"{owner}: {spec.stream}"
        self._codes: Counter[int] = Counter()
        self._writer: ShardWriter = stack.enter_context(
            write_features(
                settings.cache,
                owner,
                stream=spec.stream,
                key=spec.key(),
                modality=spec.modality,
                rows=len(info.timeline),
                dim=stream.encoder.dim,
                source={name: value for name, value in source.items() if name != "modified_ns"},
                config=spec.to_json(),
                dtype=spec.dtype,
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


def _heard(info: MediaInfo) -> dict[str, str]:
    """What the rows of sound are made of, beside the video stream that they follow."""
    return {"audio_stream": "none" if info.audio is None else str(info.audio.index)}


def _seen(
    info: MediaInfo, crops: CropConfig, subjects: Sequence[Subject], crops_dir: Path | None
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """What each subject's rows of pictures are made of; notes on crop files left out."""
    if crops.source == "crops":
        return describe_crop_files(info, crops, subjects, crops_dir)
    if crops.source == "frame":  # all subjects see the same
        return {subject.id: {} for subject in subjects}, []
    return {subject.id: {"subject": subject.side or "main"} for subject in subjects}, []


_Block = tuple[str, str, np.ndarray, np.ndarray]  # stream, owner, features [n, D], codes [n]


def _visual_blocks(
    task: Task, settings: Settings, streams: Sequence[Stream], crops: CropConfig, info: MediaInfo
) -> Iterator[_Block]:
    """Decode once, crop once per subject, feed every visual stream that lacks the subject."""
    encoders = [
        (s.spec.stream, View(s.spec.view), s.encoder)
        for s in streams
        if isinstance(s.encoder, VisualEncoder)
    ]
    subjects = _subjects(task, streams)
    batches = read_crops(info, crops, subjects, settings.crops_dir, settings.device)
    for batch in prefetch(batches):
        for name, view, encoder in encoders:
            for owner in task.streams[name]:
                codes = batch.codes[owner]
                use = usable(codes)
                features = np.zeros((len(codes), encoder.dim), np.float32)
                if use.any():
                    seen = view.apply(batch.crops[owner][use], owner)
                    features[use] = encoder.encode(seen, margin=view.margin(crops.face_margin))
                yield name, owner, features, codes


def _subjects(task: Task, streams: Sequence[Stream]) -> list[Subject]:
    """The subjects that at least one of the visual streams lacks."""
    owners = {owner for stream in streams for owner in task.streams[stream.spec.stream]}
    return [subject for subject in task.video.subjects if subject.id in owners]


def _audio_blocks(task: Task, streams: Sequence[Stream], info: MediaInfo) -> Iterator[_Block]:
    """Decode the audio once per stream; its rows belong to the video, not to a subject."""
    encoders = {s.spec.stream: s.encoder for s in streams if isinstance(s.encoder, AudioEncoder)}
    for name, encoder in encoders.items():
        for features, codes in encoder.encode(read_audio(info), info.timeline):
            yield name, task.video.id, features, codes
