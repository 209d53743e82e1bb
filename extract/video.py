"""Extracts one video: whatever of its timeline and streams is missing, in one pass per medium."""

from __future__ import annotations

import importlib.metadata
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from itertools import tee
from pathlib import Path
from typing import Any

import numpy as np

from ..cache.durable import digest_file
from ..cache.layout import write_features, write_timeline
from ..cache.shard import ShardWriter
from ..cache.timeline import Valid, usable
from ..errors import FileChangedError, PrecisionError
from .dataset import Subject
from .encoders import AudioEncoder, Encoder, VisualEncoder
from .faces.crop_config import CropConfig
from .faces.crops import BATCH, GPU_BATCH, CropBatch, describe_crop_files, read_crops
from .faces.detector import FaceDetector
from .faces.official import quick_digest
from .media.audio import read_audio
from .media.probe import MediaInfo, probe
from .prefetch import prefetch
from .shares import VideoShare
from .spec import EncoderSpec
from .stages import timed, timed_items
from .task import Outcome, Settings, Task
from .views import View

_REASONS = {
    Valid.NO_FACE: "without a face",
    Valid.NO_CROP: "without a crop",
    Valid.NO_AUDIO: "without audio",
    Valid.DECODE_ERROR: "that could not be decoded",
}
_COARSE_NS = 2_000_000_000  # file systems may give changes within this time the same time stamp
_VERSIONED = ("vapipe", "torch", "torchaudio", "torchvision", "facenet-pytorch", "av", "numpy")


@dataclass(frozen=True)
class Stream:
    """A stream ready to run.

    Attributes:
        spec: what it is.
        encoder: its network, here or in the process of a device.
        versions: of that device, see `describe_versions`.
    """

    spec: EncoderSpec
    encoder: Encoder
    versions: Mapping[str, str] = field(default_factory=dict)


def extract_video(
    task: Task,
    settings: Settings,
    streams: Sequence[Stream],
    make_detector: Callable[..., FaceDetector] = FaceDetector,
) -> Outcome:
    """Write the missing timeline and features of one video.

    Args:
        task: the video, and what of it is missing.
        settings: of the run.
        streams: those of the settings, ready.
        make_detector: of the face detector.

    Raises:
        MediaError: the file cannot be used.
        FileChangedError: it changes while it is read.
        CacheError: the cache cannot be written.
    """
    began = time.perf_counter()
    path = task.video.path
    watch = _Watch(path)
    with timed("probe"):
        info = probe(path, video_stream=settings.video_stream, audio_stream=settings.audio_stream)
    source = {**watch.source, "video_stream": str(info.index)}
    watch.check()
    if task.timeline or source["sha256"] != task.sha256:  # of a file that hides its change
        write_timeline(
            settings.cache,
            task.video.id,
            info.timeline,
            subjects=[subject.id for subject in task.video.subjects],
            sides={subject.id: subject.side for subject in task.video.subjects if subject.side},
            source=source,
            media=info.facts(),
        )
    notes, problems = [str(each) for each in task.stale], list[str]()
    lacking = [stream for stream in streams if stream.spec.stream in task.streams]
    units = [s.spec.modality for s in lacking for _ in task.streams[s.spec.stream]]
    share = VideoShare(len(info.timeline), units)
    for crops in dict.fromkeys(stream.spec.crops for stream in lacking):
        group = [stream for stream in lacking if stream.spec.crops == crops]
        if crops is None:
            owners = {task.video.id: _heard(info)}
            blocks = watch.all_of(_audio_blocks(task, group, info))
        else:
            subjects = _subjects(task, group)
            owners, surplus = _seen(info, crops, subjects, settings.crops_dir)
            notes += surplus
            blocks = watch.all_of(_visual_blocks(task, settings, group, crops, info, make_detector))
            if settings.crops_dir is not None:
                blocks = _checked_crops(blocks, settings.crops_dir, owners)
        blocks = share.count(group[0].spec.modality, blocks)
        said, lost = _write(task, settings, group, info, source, owners, blocks)
        notes, problems = [*notes, *said], [*problems, *lost]
    return Outcome(
        video=task.video.id,
        status="extracted",
        notes=tuple(dict.fromkeys([*info.damage, *info.choices, *notes])),
        problems=tuple(problems),
        rows=len(info.timeline),
        duration=len(info.timeline) / info.timeline.fps,
        units=sum(len(owners) for owners in task.streams.values()) - len(problems),
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


# Stream, owner, what is stored of n rows beside their codes, codes [n].
_Block = tuple[str, str, dict[str, np.ndarray], np.ndarray]


class _Watch:
    """Sees to it that what is stored was made of the file whose digest stands beside it."""

    def __init__(self, path: Path) -> None:
        """Read the file once."""
        self._path, self._before, self._began_ns = path, _state(path), time.time_ns()
        with timed("digest"):
            self.source = describe_source(path)

    def all_of(self, blocks: Iterator[_Block]) -> Iterator[_Block]:
        """Pass the blocks that are made of the file; at the end it must be as it was."""
        yield from blocks
        self.check()

    def check(self) -> None:
        """Compare the file with what it was.

        Its digest is only made again where anything of it differs, or where it was so new that a
        coarse file system could not tell a change.

        Raises:
            FileChangedError: it has changed.
        """
        recent = self._began_ns - self._before[2] < _COARSE_NS
        try:
            if _state(self._path) == self._before and not recent:
                return
            same = digest_file(self._path) == self.source["sha256"]
        except FileNotFoundError:
            same = False
        if not same:
            raise FileChangedError(self._path)


def _checked_crops(
    blocks: Iterator[_Block], folder: Path, owners: Mapping[str, Mapping[str, str]]
) -> Iterator[_Block]:
    """The same for the crop files of the owners."""
    yield from blocks
    for owner, facts in owners.items():
        if quick_digest(folder, owner) != facts.get("crop_files"):
            raise FileChangedError(folder / owner)


def _state(path: Path) -> tuple[int, int, int, int]:
    """What changes when a file is written to or replaced."""
    facts = path.stat()
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


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
) -> tuple[list[str], list[str]]:
    """Write blocks of rows to the shards of their units.

    Returns:
        Notes on unusable rows, and why units could not be stored; the others are there.
    """
    with ExitStack() as stack:
        units = {
            (stream.spec.stream, owner): _Rows(
                stack, settings, stream, owner, info, {**source, **owners[owner]}
            )
            for stream in streams
            for owner in task.streams[stream.spec.stream]
        }
        for name, owner, arrays, codes in blocks:
            with timed("write"):
                units[name, owner].append(arrays, codes)
    return (
        [note for unit in units.values() for note in unit.notes()],
        [unit.problem for unit in units.values() if unit.problem],
    )


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
        self.problem = ""
        self._shard = stack.enter_context(ExitStack())
        self._writer: ShardWriter = self._shard.enter_context(
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
                versions={**_versions(), **stream.versions},
                faces=spec.finds_faces,
            )
        )

    def append(self, arrays: Mapping[str, np.ndarray], codes: np.ndarray) -> None:
        """Store rows; where they do not fit the precision the unit is given up, it alone."""
        if self.problem:
            return
        self._codes.update(codes.tolist())
        try:
            self._writer.append(**arrays, valid=codes)
        except PrecisionError as error:
            self.problem = str(error)
            self._shard.__exit__(type(error), error, error.__traceback__)

    def notes(self) -> list[str]:
        """What the user should know: how many rows are unusable, and why."""
        rows = self._codes.total()
        if self.problem:
            return []
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


def _visual_blocks(
    task: Task,
    settings: Settings,
    streams: Sequence[Stream],
    crops: CropConfig,
    info: MediaInfo,
    make_detector: Callable[..., FaceDetector],
) -> Iterator[_Block]:
    """Decode once, crop once per subject, feed every visual stream that lacks the subject."""
    subjects = _subjects(task, streams)
    rows = BATCH if settings.device == "cpu" else GPU_BATCH
    batches = read_crops(
        info,
        crops,
        subjects,
        settings.crops_dir,
        settings.device,
        rows=rows,
        make_detector=make_detector,
    )
    for batch in prefetch(batches):
        for stream in streams:
            name = stream.spec.stream
            for owner in task.streams[name]:
                codes = batch.codes[owner]
                arrays = {"features": embed_crops(stream, batch, owner)}
                if crops.finds_faces:
                    arrays |= {"box": batch.boxes[owner], "track": batch.tracks[owner]}
                yield name, owner, arrays, codes


def embed_crops(stream: Stream, batch: CropBatch, owner: str) -> np.ndarray:
    """Features [n, D] float32 of an owner's crops; zeros where there is none to use."""
    encoder, view, crops = stream.encoder, View(stream.spec.view), stream.spec.crops
    assert isinstance(encoder, VisualEncoder)
    assert crops is not None
    use = usable(batch.codes[owner])
    features = np.zeros((len(use), encoder.dim), np.float32)
    if use.any():
        seen = view.apply(batch.crops[owner][use], owner)
        with timed(f"encode {stream.spec.stream}"):
            features[use] = encoder.encode_fitting(seen, margin=view.margin(crops.face_margin))
    return features


def _subjects(task: Task, streams: Sequence[Stream]) -> list[Subject]:
    """The subjects that at least one of the visual streams lacks."""
    owners = {owner for stream in streams for owner in task.streams[stream.spec.stream]}
    return [subject for subject in task.video.subjects if subject.id in owners]


def _audio_blocks(task: Task, streams: Sequence[Stream], info: MediaInfo) -> Iterator[_Block]:
    """Decode the audio once for all streams; its rows belong to the video, not to a subject."""
    encoders = {s.spec.stream: s.encoder for s in streams if isinstance(s.encoder, AudioEncoder)}
    copies = tee(timed_items("decode audio", read_audio(info)), len(encoders))
    running = {
        name: encoder.encode(blocks, info.timeline)
        for (name, encoder), blocks in zip(encoders.items(), copies, strict=True)
    }
    rows = dict.fromkeys(running, 0)
    while rows:
        name = min(rows, key=rows.__getitem__)  # farthest behind, so that few blocks wait for it
        with timed(f"encode {name}"):
            part = next(running[name], None)
        if part is None:
            del rows[name]
            continue
        features, codes = part
        rows[name] += len(codes)
        yield name, task.video.id, {"features": features}, codes
