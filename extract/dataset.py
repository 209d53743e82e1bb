"""Finds the videos, subjects, annotations and splits below a folder; reads no media.

Understands the Aff-Wild2 layout (`VA_Estimation_Challenge/Train_Set/<video>.txt`, `_left` and
`_right` subjects) and own data (`labels/<video>.csv`, `split.csv`).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..cache.labels import read_split_file
from ..cache.layout import MARKER
from ..errors import ConfigError

_MP4 = (".mp4", ".m4v", ".mov", ".3gp")
_OTHERS = (".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".mts", ".ogv")
VIDEO_SUFFIXES = frozenset(_MP4 + _OTHERS)
_ANNOTATION_ROOTS = ("VA_Estimation_Challenge", "VA_Set")
_PARTITION_FOLDERS = {"Train_Set": "train", "Validation_Set": "validation", "Test_Set": "test"}
_OTHER_SIDE: dict[str, Literal["left", "right"]] = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Subject:
    """One person to follow: the item id, and the side of the image when there are two."""

    id: str
    side: Literal["left", "right"] | None = None


@dataclass(frozen=True)
class Annotation:
    """Where an item's annotation lies and which partition it belongs to, as far as known."""

    file: Path | None = None
    partition: str | None = None


@dataclass(frozen=True)
class Video:
    """A media file, its id and the subjects in it."""

    id: str
    path: Path
    subjects: tuple[Subject, ...]


@dataclass(frozen=True)
class Dataset:
    """What was found.

    Attributes:
        videos: sorted by id.
        annotations: item id -> annotation.
        problems: (path or id, reason) of what was found but cannot be used.
        layout: in words, where the annotations came from.
    """

    videos: tuple[Video, ...]
    annotations: dict[str, Annotation]
    problems: tuple[tuple[str, str], ...]
    layout: str


def find_dataset(
    root: Path,
    *,
    labels: Path | None = None,
    split: Path | None = None,
    ids: Literal["stem", "path"] = "stem",
) -> Dataset:
    """Look for videos below `root` (a folder, or one video file) and for what belongs to them.

    Args:
        root: the folder of videos.
        labels: folder of annotations; by default what is found below `root`, or beside it where
            it is a file: other data sets in folders next to a single clip are not its own.
        split: `video,partition` file; by default `split.csv` in `root`.
        ids: name videos by their file stem, or by their path below `root`.

    Raises:
        ConfigError: nothing there, or several annotation sets to choose from.
        LabelError: the split file is wrong.
    """
    if not root.exists():
        raise ConfigError(f"{root}: no such video or folder of videos")
    paths = [root] if root.is_file() else list(video_files(root))
    if not paths:
        raise ConfigError(
            f"{root}: no video in it; looked for {', '.join(sorted(VIDEO_SUFFIXES))} "
            "in it and below"
        )
    base = root.parent if root.is_file() else root
    places = ("",) if root.is_file() else ("", "*/", "*/*/")
    annotations, layout = _find_annotations(base, labels or _default_labels(base, places), split)
    by_id = defaultdict(list)
    problems = []
    for path in paths:
        if _is_text(path):
            by_id[path.stem if ids == "stem" else _relative_id(path, base)].append(path)
        else:
            problems.append((ascii(str(path)), "its name is not valid UTF-8; rename it"))
    problems += [
        (str(path), f"shares the id `{video}` with {len(same) - 1} other file(s); use --ids path")
        for video, same in by_id.items()
        if len(same) > 1
        for path in same
    ]
    single = {video: same[0] for video, same in by_id.items() if len(same) == 1}
    videos = tuple(
        Video(video, path, subjects_of(video, _own(video, annotations, by_id)))
        for video, path in sorted(single.items())
    )
    followed = {subject.id for video in videos for subject in video.subjects}
    problems += [
        (item, f"annotation {annotation.file} has no video")
        for item, annotation in sorted(annotations.items())
        if annotation.file and item not in followed
    ]
    return Dataset(videos, annotations, tuple(problems), layout)


def video_files(root: Path) -> Iterator[Path]:
    """Videos below `root`, sorted; hidden folders and vapipe's own caches are passed over."""
    for folder, names, files in os.walk(root):
        names[:] = sorted(
            name
            for name in names
            if not name.startswith(".") and not (Path(folder) / name / MARKER).exists()
        )
        for name in sorted(files):
            if Path(name).suffix.lower() in VIDEO_SUFFIXES and not name.startswith("."):
                yield Path(folder) / name


def _is_text(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _relative_id(path: Path, base: Path) -> str:
    return path.relative_to(base).with_suffix("").as_posix()


def _own(video: str, annotated: Collection[str], videos: Collection[str]) -> set[str]:
    """The annotated items that can be of a video: its id, or its id with a side."""
    sided = [f"{video}_{side}" for side in _OTHER_SIDE]
    names = [video, *(name for name in sided if name not in videos)]
    return {name for name in names if name in annotated}


def subjects_of(video: str, annotated: Collection[str]) -> tuple[Subject, ...]:
    """The subjects that annotations name; without any, one subject called like the video.

    Where an unsuffixed main subject stands beside a suffixed one, it is on the other side.
    """
    sided: list[Literal["left", "right"]] = [
        side for side in ("left", "right") if f"{video}_{side}" in annotated
    ]
    subjects = [Subject(f"{video}_{side}", side) for side in sided]
    if not sided or video in annotated:
        subjects.insert(0, Subject(video, _OTHER_SIDE[sided[0]] if len(sided) == 1 else None))
    return tuple(subjects)


def _find_annotations(
    base: Path, folder: Path | None, split: Path | None
) -> tuple[dict[str, Annotation], str]:
    partitions: dict[str, str] = {}
    files: dict[str, Path] = {}
    layout = "no annotations found"
    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(f"--labels {folder}: no such folder")
        sets = [folder / name for name in _PARTITION_FOLDERS if (folder / name).is_dir()]
        for subfolder in sets:
            for file in sorted(subfolder.glob("*.txt")):
                files[file.stem] = file
                partitions[file.stem] = _PARTITION_FOLDERS[subfolder.name]
        if sets:
            layout = f"Aff-Wild2 annotations in {folder}"
        else:
            candidates = sorted([*folder.rglob("*.csv"), *folder.rglob("*.txt")])
            files = {_relative_id(file, folder): file for file in candidates}
            layout = f"annotations in {folder}"
    split_file = split or (base / "split.csv" if (base / "split.csv").is_file() else None)
    if split_file is not None:
        partitions |= read_split_file(split_file)
        layout += f", partitions from {split_file}"
    return {
        item: Annotation(files.get(item), partitions.get(item))
        for item in sorted({*files, *partitions})
    }, layout


def _default_labels(base: Path, places: Sequence[str]) -> Path | None:
    """The one annotation folder in `base`, or in folders of it that match the places, if any."""
    found = [
        path
        for pattern in places
        for name in _ANNOTATION_ROOTS
        for path in base.glob(pattern + name)
        if any((path / folder).is_dir() for folder in _PARTITION_FOLDERS)
    ]
    if len(found) > 1:
        listed = ", ".join(str(path) for path in found)
        raise ConfigError(f"{base} holds several annotation sets: {listed}; choose with --labels")
    if found:
        return found[0]
    own = base / "labels"
    return own if own.is_dir() else None
