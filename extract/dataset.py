"""Finds the videos and subjects below a folder, and what annotates them; reads no media."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ..cache.durable import digest_file
from ..cache.labels import composed
from ..errors import ConfigError, counted
from .annotations.find import find_annotations, require_folder
from .annotations.places import find_folder, narrowed
from .annotations.reader import Annotation, Reader
from .annotations.reading import Reading
from .video_files import VIDEO_SUFFIXES, video_entries

_LISTED = 5  # endings named in one message
_OTHER_SIDE: dict[str, Literal["left", "right"]] = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Subject:
    """One person to follow: the item id, and the side of the image when there are two."""

    id: str
    side: Literal["left", "right"] | None = None


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
        labels: the folder of annotations, None where none was found.
        looked_at: the folder of annotations and the split file, whether they are there or not.
        unused: (path, reason) of files beside the annotations that are none of these videos.
        reader: of the annotations, as the user said or as they were read before.
        others: ending -> number of files that are neither videos nor annotations.
    """

    videos: tuple[Video, ...]
    annotations: dict[str, Annotation]
    problems: tuple[tuple[str, str], ...]
    layout: str
    root: Path = Path()
    labels: Path | None = None
    looked_at: tuple[Path, ...] = ()
    unused: tuple[tuple[str, str], ...] = ()
    reader: Reader = field(default_factory=lambda: Reader(Reading()))
    others: Mapping[str, int] = field(default_factory=dict)

    def describe_others(self) -> str:
        """In words, what was not looked at; empty where there is nothing."""
        ranked = sorted(self.others.items(), key=lambda pair: (-pair[1], pair[0]))
        listed = [f"{count} {suffix or 'without ending'}" for suffix, count in ranked[:_LISTED]]
        rest = sum(count for _, count in ranked[_LISTED:])
        listed += [f"{rest} more"] if rest else []
        total = sum(self.others.values())
        return f"{counted(total, 'other file')} not looked at: {', '.join(listed)}" if total else ""


def require_videos(root: Path) -> None:
    """Refuse a place where nothing is.

    Raises:
        ConfigError: names it.
    """
    if not root.exists():
        raise ConfigError(f"{root}: no such video or folder of videos")


def find_dataset(
    root: Path,
    *,
    labels: Path | None = None,
    split: Path | None = None,
    ids: Literal["stem", "path"] = "stem",
    reading: Reading | None = None,
    before: Mapping[str, Reading] | None = None,
) -> Dataset:
    """Look for videos below `root` (a folder, or one video file) and for what belongs to them.

    Args:
        root: the folder of videos.
        labels: folder of annotations, or one file; by default what is found below `root` or beside
            it. Where `root` is a file, only beside it: other data sets in folders next to a single
            clip are not its own.
        split: `video,partition` file; by default `split.csv` in `root`.
        ids: name videos by their file stem, or by their path below `root`.
        reading: how annotations are to be read; None reads them as before, or as they say.
        before: folder of annotations -> how they were read.

    Raises:
        ConfigError: nothing there, or several annotation sets to choose from.
        LabelError: the split file is wrong.
    """
    require_videos(root)
    if not (root.is_file() or root.is_dir()):
        raise ConfigError(f"{root}: neither a file nor a folder")
    alone = root.is_file()
    others: Counter[str] = Counter()
    entries = [] if alone else list(video_entries(root, others))
    paths = [root] if alone else [each.path for each in entries if not each.problem]
    problems = [(_text(each.path), each.problem) for each in entries if each.problem]
    if not paths:
        found = "".join(f"\n  {name}: {problem}" for name, problem in problems[:5])
        if any(root.glob("**/*[0-9].[jJpP][pPnN]*[gG]")):
            found += (
                f"\n  of pictures make videos first: vapipe frames {root} --rate 25 --out "
                f"{root.name}-videos"
            )
        raise ConfigError(
            f"{root}: no video in it; looked for {', '.join(sorted(VIDEO_SUFFIXES))} "
            f"in it and below{found}"
        )
    base = root.parent if alone else root
    by_id = defaultdict(list)
    for path in paths:
        if _text(path) == str(path):
            name = path.relative_to(base).with_suffix("").as_posix() if ids == "path" else path.stem
            by_id[composed(name)].append(path)
        else:
            problems.append((_text(path), "its name is not valid UTF-8; rename it"))
    copies: list[tuple[str, str]] = []
    for same in by_id.values():
        if len(same) > 1 and _equal(same):
            copies += [
                (str(path), f"the same file as {same[0]}, which is taken") for path in same[1:]
            ]
            del same[1:]
    problems += [
        (
            str(path),
            f"shares the id `{video}` with {counted(len(same) - 1, 'other file')}; use --ids path",
        )
        for video, same in by_id.items()
        if len(same) > 1
        for path in same
    ]
    single = {video: same[0] for video, same in by_id.items() if len(same) == 1}
    if labels is None:
        folder = find_folder(base, single, alone=alone)
    else:
        require_folder(labels)
        folder = narrowed(labels) if labels.is_dir() else labels
    if reading is None:
        reading = (before or {}).get(str(folder.resolve()) if folder else "", Reading())
    reader = Reader(reading)
    noted = find_annotations(
        base, folder, split, single, reader, alone=alone, chosen=labels is not None
    )
    reader.parts = [part for each in noted.annotations.values() for part in each.parts]
    videos = tuple(
        Video(video, path, subjects_of(video, _own(video, noted.annotations, by_id)))
        for video, path in sorted(single.items())
    )
    followed = {subject.id for video in videos for subject in video.subjects}
    problems += noted.problems
    problems += [
        (item, f"annotation {each.parts[0].path} has no video")
        for item, each in sorted(noted.annotations.items())
        if each.parts and item not in followed
    ]
    if labels is not None and not alone and not any(a.parts for a in noted.annotations.values()):
        names = ", ".join(list(single)[:3])
        problems.append((str(labels), f"no annotation in it of any of the videos ({names} ...)"))
    looked_at = tuple(p.resolve() for p in (folder or base / "labels", split or base / "split.csv"))
    read = {part.path.resolve() for part in reader.parts} | {looked_at[1]}
    read |= {Path(path).resolve() for path, _ in noted.unused}
    others -= Counter(path.suffix.lower() for path in read if base.resolve() in path.parents)
    return Dataset(
        videos,
        noted.annotations,
        tuple(problems),
        noted.layout,
        base.resolve(),
        folder,
        looked_at,
        (*copies, *noted.unused),
        reader,
        others,
    )


def _equal(paths: Sequence[Path]) -> bool:
    """Whether files have one content."""
    if len({path.stat().st_size for path in paths}) > 1 or not paths[0].stat().st_size:
        return False
    return len({digest_file(path) for path in paths}) == 1


def _text(path: Path) -> str:
    """A path, or where it is no text what comes near it."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return ascii(str(path))
    return str(path)


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
