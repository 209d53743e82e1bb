"""Square crops of every row of a video, by subject: detected faces, whole frames, or crop files.

What decides the pixels is in `CropConfig`; one call serves all visual streams of a video.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...cache.timeline import Valid
from ...errors import ConfigError, counted
from ..dataset import Subject
from ..media.frames import Frame, read_frames
from ..media.picture import Picture
from ..media.probe import MediaInfo
from ..stages import timed
from .crop_config import CropConfig
from .crop_geometry import cut_aligned, cut_centre, cut_face
from .detector import FaceDetector
from .finder import FaceFinder
from .follow import FaceRow
from .identity import PeopleNumbers
from .official import OfficialCrops, find_crops
from .subject_tracks import SubjectTracks

BATCH = 64  # rows per CropBatch, enough for a processor ...
GPU_BATCH = 256  # ... and for a GPU
_OTHERS = 0.1  # of the faces that may be another person's without a word


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Successive rows.

    Attributes:
        start: first row.
        crops: item id -> [n, S, S, 3] uint8 RGB; zeros where the row is not usable.
        codes: item id -> [n] uint8 codes of `cache.timeline.Valid`.
        boxes: item id -> [n, 4] float32, left, top, width and height of the face in pixels of the
            displayed frame; NaN where there is none, or none was looked for.
        tracks: item id -> [n] uint16, see `PeopleNumbers`; 0 where there is no box.
    """

    start: int
    crops: dict[str, np.ndarray]
    codes: dict[str, np.ndarray]
    boxes: dict[str, np.ndarray]
    tracks: dict[str, np.ndarray]


def read_crops(
    info: MediaInfo,
    config: CropConfig,
    subjects: Sequence[Subject],
    crops_dir: Path | None = None,
    device: torch.device | str = "cpu",
    *,
    rows: int = BATCH,
    make_detector: Callable[..., FaceDetector] = FaceDetector,
    frames: Callable[..., Iterator[Frame]] = read_frames,
) -> Iterator[CropBatch]:
    """Crop every row of a video once for each subject.

    A subject's crops do not depend on which other subjects are asked for.

    Args:
        info: the probed video.
        config: how crops are made.
        subjects: whom to follow; `side` is as seen in the image.
        crops_dir: for source "crops": holds one folder per item; else unused.
        device: torch device of the face detector.
        rows: per batch; 1 holds none back for the sake of speed.
        make_detector: in place of one in this process.
        frames: gives the pictures.

    Yields:
        Batches of `rows` rows (the last may be shorter), T rows in all.

    Raises:
        MediaError: the file cannot be opened any more, or crop files are not as they should be.
        ConfigError: source "crops" without a folder.
    """
    items = [subject.id for subject in subjects]
    if config.source == "crops":
        return _batches(_read_files(info, config, items, crops_dir), items, rows)
    if config.source == "frame":
        return _batches(_read_whole(info, config, items, frames), items, rows)
    detector = make_detector(min_face=config.min_face, thresholds=config.thresholds, device=device)
    ahead = {"ahead": 1} if rows == 1 else {}
    return _batches(_read_faces(info, config, subjects, detector, frames, ahead), items, rows)


def describe_crop_files(
    info: MediaInfo, config: CropConfig, subjects: Sequence[Subject], crops_dir: Path | None
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Digests of each item's crop files, and in words what of them is left out.

    Raises:
        MediaError: crop files are not as they should be.
        ConfigError: no folder given.
    """
    rows, notes = len(info.timeline), []
    digests: dict[str, dict[str, str]] = {}
    for subject in subjects:
        crops = _open_files(info, config, subject.id, crops_dir)
        digests[subject.id] = {"crops": crops.digest(), "crop_files": crops.quick_digest()}
        if crops.surplus:
            notes.append(
                f"{crops.folder}: {counted(crops.surplus, 'crop')} numbered above the video's "
                f"{rows} frames left out"
            )
    return digests, notes


@dataclass(eq=False, slots=True)
class _Crop:
    """One row of an item, as in `CropBatch`; the track is filled in when it is known."""

    pixels: np.ndarray
    code: Valid
    box: tuple[float, ...] = (math.nan,) * 4
    track: int = 0


_Crops = Iterator[tuple[str, _Crop]]  # with item ids; rows of an item in order


def _batches(crops: _Crops, items: Sequence[str], count: int) -> Iterator[CropBatch]:
    waiting: dict[str, list[_Crop]] = {item: [] for item in items}
    start = 0

    def take() -> CropBatch:
        nonlocal start
        first = {item: rows[:count] for item, rows in waiting.items()}
        for rows in waiting.values():
            del rows[:count]

        def all_of(name: str, dtype: type[np.generic]) -> dict[str, np.ndarray]:
            return {i: np.array([getattr(r, name) for r in own], dtype) for i, own in first.items()}

        batch = CropBatch(
            start,
            all_of("pixels", np.uint8),
            all_of("code", np.uint8),
            all_of("box", np.float32),
            all_of("track", np.uint16),
        )
        start += len(first[items[0]])
        return batch

    for item, crop in crops:
        waiting[item].append(crop)
        if min(len(rows) for rows in waiting.values()) == count:
            yield take()
    if waiting[items[0]]:
        yield take()


def _read_files(
    info: MediaInfo, config: CropConfig, items: Sequence[str], crops_dir: Path | None
) -> _Crops:
    folders = {item: _open_files(info, config, item, crops_dir) for item in items}
    for row in range(len(info.timeline)):
        for item, crops in folders.items():
            yield item, _Crop(*crops.read(row))


def _open_files(
    info: MediaInfo, config: CropConfig, item: str, crops_dir: Path | None
) -> OfficialCrops:
    if crops_dir is None:
        raise ConfigError("crops: source `crops` needs the folder of the crops; give crops_dir")
    return OfficialCrops(find_crops(crops_dir, item), rows=len(info.timeline), size=config.size)


def _read_whole(
    info: MediaInfo,
    config: CropConfig,
    items: Sequence[str],
    frames: Callable[..., Iterator[Frame]],
) -> _Crops:
    empty = np.zeros((config.size, config.size, 3), np.uint8)
    for frame in frames(info, lines=config.lines):
        crop = _Crop(empty, Valid.DECODE_ERROR)
        if frame.picture is not None:
            with timed("crop"):
                crop = _Crop(cut_centre(frame.picture, size=config.size), Valid.IMAGE)
        for item in items:
            yield item, crop


def _read_faces(
    info: MediaInfo,
    config: CropConfig,
    subjects: Sequence[Subject],
    detector: FaceDetector,
    frames: Callable[..., Iterator[Frame]],
    ahead: Mapping[str, int],
) -> _Crops:
    finder = FaceFinder(
        detector,
        every=config.every,
        track_score=config.thresholds[2],
        acquire=config.acquire,
        **ahead,
    )
    tracks = SubjectTracks(
        info,
        finder,
        subjects,
        patience=config.patience,
        acquire=config.acquire,
        smooth=config.smooth,
    )
    pictures: dict[int, Picture | None] = {}  # frames that still wait for a place
    doubts = {item: _Doubt(info, config) for item in tracks.items}
    people = {item: PeopleNumbers[_Crop]() for item in tracks.items}

    def cut(places: Iterable[tuple[str, FaceRow]]) -> _Crops:
        for item, place in places:
            doubts[item].add(place)
            with timed("crop"):
                crop = _crop(pictures[place.row], place, config, info.height)
            with timed("number people"):
                looked = crop.pixels if place.seen and crop.code != Valid.DECODE_ERROR else None
                time = float(info.timeline.pts[place.row])
                numbered = list(people[item].push(crop, place.path, looked, time))
            yield from number(item, numbered)

    def number(item: str, crops: Iterable[tuple[_Crop, int]]) -> _Crops:
        for crop, track in crops:
            if not math.isnan(crop.box[0]):
                crop.track = track
                doubts[item].count(track)
            yield item, crop

    for frame in frames(info, lines=config.lines, reduced_lines=config.detection_lines):
        pictures[frame.row] = frame.picture
        yield from cut(tracks.push(frame))
        while pictures and next(iter(pictures)) < tracks.settled:
            del pictures[next(iter(pictures))]
    yield from cut(tracks.finish())
    for item, numbers in people.items():
        yield from number(item, numbers.finish())
    info.damage.extend(note for item, doubt in doubts.items() for note in doubt.notes(item))
    if tracks.rivalled > len(info.timeline) / 2 and None in tracks.items.values():
        info.damage.append(
            f"{tracks.rivalled} of {counted(len(info.timeline), 'frame')} show a second large face "
            "(posters and screens count): the most prominent one is followed; look at the crops"
        )


class _Doubt:
    """Counts the faces of an item that are not sure or not upright, and whose they are."""

    def __init__(self, info: MediaInfo, config: CropConfig) -> None:
        self._sure = config.acquire
        lines = min(info.width, info.height)
        self._least = config.min_face * max(1.0, lines / config.detection_lines)
        self._faces = self._doubtful = 0
        self._tracks = Counter[int]()

    def add(self, place: FaceRow) -> None:
        """Look at the next row."""
        if place.box is not None:
            points, score = place.box[4:14].reshape(5, 2), place.box[14]
            right, down = points[3:].mean(axis=0) - points[:2].mean(axis=0)
            self._faces += 1
            self._doubtful += bool(score < self._sure or down < abs(right))

    def count(self, track: int) -> None:
        """Take the number of the person whom a row shows."""
        self._tracks[track] += 1

    def notes(self, item: str) -> Iterator[str]:
        """What the user should know; nothing where most faces are sure and of one person."""
        if not self._faces:
            yield (
                f"{item}: no face found; those of less than {self._least:.0f} pixels are not "
                "looked for (min_face, detection_lines), those upside down or lying not found"
            )
        if 2 * self._doubtful > self._faces:
            yield (
                f"{item}: {self._doubtful} of {self._faces} faces are doubtful (a score below "
                f"{self._sure}, or not upright): look at the crops"
            )
        rows = self._tracks.total()
        others = rows - max(self._tracks.values(), default=0)
        if others > _OTHERS * rows:
            yield (
                f"{item}: {others} of {rows} faces are not recognised as the person of most rows "
                "(cuts, other people); look at the crops, `track` numbers them"
            )


def _crop(picture: Picture | None, place: FaceRow, config: CropConfig, height: int) -> _Crop:
    """Cut a row's face, of a frame that is displayed with so many lines."""
    empty = np.zeros((config.size, config.size, 3), np.uint8)
    if picture is None:
        return _Crop(empty, Valid.DECODE_ERROR)
    if place.box is None:
        return _Crop(empty, place.code)
    x0, y0, x1, y1 = (each * height for each in place.box[:4].tolist())
    if config.align == "points":
        points = place.box[4:14].reshape(5, 2) * picture.height
        pixels = cut_aligned(picture, points, size=config.size)
    else:
        box = place.box[:4] * picture.height
        pixels = cut_face(picture, box, margin=config.margin, size=config.size)
    return _Crop(pixels, place.code, (x0, y0, x1 - x0, y1 - y0))
