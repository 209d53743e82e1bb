"""Finds the videos, subjects, annotations and splits below a folder; reads no media.

Understands the Aff-Wild2 layout (`VA_Estimation_Challenge/Train_Set/<video>.txt`, `_left` and
`_right` subjects) and own data (`labels/<video>.csv`, `split.csv`).
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..cache.labels import read_split_file
from ..errors import ConfigError
from .video_files import VIDEO_SUFFIXES, video_entries

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
    """Where an item's annotation lies and which partition it belongs to, as far as known.

    Attributes:
        file: its annotation.
        partition: "train", "validation" or "test".
        folder: the folder of annotations that the file is of, as an absolute path.
        split: the same of what named the partition: a folder of annotations, or a split file.
    """

    file: Path | None = None
    partition: str | None = None
    folder: str = ""
    split: str = ""


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
        root: the folder, or the one that holds the video file.
        looked_at: the folder of annotations and the split file, whether they are there or not.
    """

    videos: tuple[Video, ...]
    annotations: dict[str, Annotation]
    problems: tuple[tuple[str, str], ...]
    layout: str
    root: Path = Path()
    looked_at: tuple[Path, ...] = ()


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
    if not (root.is_file() or root.is_dir()):
        raise ConfigError(f"{root}: neither a file nor a folder")
    entries = [] if root.is_file() else list(video_entries(root))
    paths = [root] if root.is_file() else [each.path for each in entries if not each.problem]
    problems = [(_text(each.path), each.problem) for each in entries if each.problem]
    if not paths:
        found = "".join(f"\n  {name}: {problem}" for name, problem in problems[:5])
        raise ConfigError(
            f"{root}: no video in it; looked for {', '.join(sorted(VIDEO_SUFFIXES))} "
            f"in it and below{found}"
        )
    base = root.parent if root.is_file() else root
    places = ("",) if root.is_file() else ("", "*/", "*/*/")
    folder = labels or _default_labels(base, places)
    annotations, layout = _find_annotations(base, folder, split)
    by_id = defaultdict(list)
    for path in paths:
        if _text(path) == str(path):
            by_id[_id(path.stem) if ids == "stem" else _relative_id(path, base)].append(path)
        else:
            problems.append((_text(path), "its name is not valid UTF-8; rename it"))
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
    looked_at = tuple(path.resolve() for path in (folder or base / "labels", _split(base, split)))
    return Dataset(videos, annotations, tuple(problems), layout, base.resolve(), looked_at)


def _text(path: Path) -> str:
    """A path, or where it is no text what comes near it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return ascii(str(path))
    return str(path)


def _id(name: str) -> str:
    """An id: file systems and editors write the same accented letters in two ways (NFC and NFD)."""
    return unicodedata.normalize("NFC", name)


def _relative_id(path: Path, base: Path) -> str:
    return _id(path.relative_to(base).with_suffix("").as_posix())


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
    partitions: dict[str, tuple[str, Path]] = {}
    files: dict[str, Path] = {}
    layout = "no annotations found"
    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(f"--labels {folder}: no such folder")
        sets = [folder / name for name in _PARTITION_FOLDERS if (folder / name).is_dir()]
        for subfolder in sets:
            for file in sorted(subfolder.glob("*.txt")):
                files[_id(file.stem)] = file
                partitions[_id(file.stem)] = _PARTITION_FOLDERS[subfolder.name], folder
        if sets:
            layout = f"Aff-Wild2 annotations in {folder}"
        else:
            candidates = sorted([*folder.rglob("*.csv"), *folder.rglob("*.txt")])
            files = {_relative_id(file, folder): file for file in candidates}
            layout = f"annotations in {folder}"
    split_file = _split(base, split)
    if split or split_file.exists():
        for item, partition in read_split_file(split_file).items():
            partitions[_id(item)] = partition, split_file
        layout += f", partitions from {split_file}"
    return {
        item: _annotation(files.get(item), folder, *partitions.get(item, (None, None)))
        for item in sorted({*files, *partitions})
    }, layout


def _annotation(
    file: Path | None, folder: Path | None, partition: str | None, split: Path | None
) -> Annotation:
    return Annotation(
        file,
        partition,
        str(folder.resolve()) if file and folder else "",
        str(split.resolve()) if split and partition else "",
    )


def _split(base: Path, split: Path | None) -> Path:
    return split or base / "split.csv"


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
