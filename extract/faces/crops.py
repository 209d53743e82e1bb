"""Square crops of every row of a video, by subject: detected faces, whole frames, or crop files.

What decides the pixels is in `CropConfig`; one call serves all visual streams of a video.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ...cache.timeline import Valid
from ...errors import ConfigError, counted
from ..dataset import Subject
from ..media.frames import read_frames
from ..media.picture import Picture
from ..media.probe import MediaInfo
from ..stages import timed
from .crop_config import CropConfig
from .crop_geometry import cut_aligned, cut_centre, cut_face
from .detector import FaceDetector
from .finder import FaceFinder
from .follow import FaceRow
from .official import OfficialCrops, find_crops
from .subject_tracks import SubjectTracks

BATCH = 64  # rows per CropBatch, enough for a processor ...
GPU_BATCH = 256  # ... and for a GPU


@dataclass(frozen=True, eq=False)
class CropBatch:
    """Successive rows.

    Attributes:
        start: first row.
        crops: item id -> [n, S, S, 3] uint8 RGB; zeros where the row is not usable.
        codes: item id -> [n] uint8 codes of `cache.timeline.Valid`.
    """

    start: int
    crops: dict[str, np.ndarray]
    codes: dict[str, np.ndarray]


def read_crops(
    info: MediaInfo,
    config: CropConfig,
    subjects: Sequence[Subject],
    crops_dir: Path | None = None,
    device: torch.device | str = "cpu",
    *,
    rows: int = BATCH,
    make_detector: Callable[..., FaceDetector] = FaceDetector,
) -> Iterator[CropBatch]:
    """Crop every row of a video once for each subject.

    A subject's crops do not depend on which other subjects are asked for.

    Args:
        info: the probed video.
        config: how crops are made.
        subjects: whom to follow; `side` is as seen in the image.
        crops_dir: for source "crops": holds one folder per item; else unused.
        device: torch device of the face detector.
        rows: per batch.
        make_detector: in place of one in this process.

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
        return _batches(_read_whole(info, config, items), items, rows)
    return _batches(_read_faces(info, config, subjects, device, make_detector), items, rows)


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


_Crop = tuple[str, np.ndarray, Valid]  # item id, [S, S, 3], code; rows of an item in order


def _batches(crops: Iterable[_Crop], items: Sequence[str], count: int) -> Iterator[CropBatch]:
    waiting: dict[str, list[tuple[np.ndarray, Valid]]] = {item: [] for item in items}
    start = 0

    def take() -> CropBatch:
        nonlocal start
        first = {item: rows[:count] for item, rows in waiting.items()}
        for rows in waiting.values():
            del rows[:count]
        batch = CropBatch(
            start,
            {item: np.stack([crop for crop, _ in rows]) for item, rows in first.items()},
            {item: np.array([code for _, code in rows], np.uint8) for item, rows in first.items()},
        )
        start += len(first[items[0]])
        return batch

    for item, crop, code in crops:
        waiting[item].append((crop, code))
        if min(len(rows) for rows in waiting.values()) == count:
            yield take()
    if waiting[items[0]]:
        yield take()


def _read_files(
    info: MediaInfo, config: CropConfig, items: Sequence[str], crops_dir: Path | None
) -> Iterator[_Crop]:
    folders = {item: _open_files(info, config, item, crops_dir) for item in items}
    for row in range(len(info.timeline)):
        for item, crops in folders.items():
            yield item, *crops.read(row)


def _open_files(
    info: MediaInfo, config: CropConfig, item: str, crops_dir: Path | None
) -> OfficialCrops:
    if crops_dir is None:
        raise ConfigError("crops: source `crops` needs the folder of the crops; give crops_dir")
    return OfficialCrops(find_crops(crops_dir, item), rows=len(info.timeline), size=config.size)


def _read_whole(info: MediaInfo, config: CropConfig, items: Sequence[str]) -> Iterator[_Crop]:
    empty = np.zeros((config.size, config.size, 3), np.uint8)
    for frame in read_frames(info, lines=config.lines):
        crop, code = empty, Valid.DECODE_ERROR
        if frame.picture is not None:
            with timed("crop"):
                crop, code = cut_centre(frame.picture, size=config.size), Valid.IMAGE
        for item in items:
            yield item, crop, code


def _read_faces(
    info: MediaInfo,
    config: CropConfig,
    subjects: Sequence[Subject],
    device: torch.device | str,
    make_detector: Callable[..., FaceDetector],
) -> Iterator[_Crop]:
    detector = make_detector(min_face=config.min_face, thresholds=config.thresholds, device=device)
    finder = FaceFinder(
        detector,
        every=config.every,
        track_score=config.thresholds[2],
        acquire=config.acquire,
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
    for frame in read_frames(info, lines=config.lines, reduced_lines=config.detection_lines):
        pictures[frame.row] = frame.picture
        for item, place in tracks.push(frame):
            doubts[item].add(place)
            with timed("crop"):
                crop, code = _crop(pictures[place.row], place, config)
            yield item, crop, code
        while pictures and next(iter(pictures)) < tracks.settled:
            del pictures[next(iter(pictures))]
    for item, place in tracks.finish():
        doubts[item].add(place)
        with timed("crop"):
            crop, code = _crop(pictures[place.row], place, config)
        yield item, crop, code
    info.damage.extend(note for item, doubt in doubts.items() if (note := doubt.note(item)))
    if tracks.rivalled > len(info.timeline) / 2 and None in tracks.items.values():
        info.damage.append(
            f"{tracks.rivalled} of {counted(len(info.timeline), 'frame')} show a second large face "
            "(posters and screens count): the most prominent one is followed; look at the crops"
        )


class _Doubt:
    """Counts the faces of an item that the detector is not sure of, or that are not upright."""

    def __init__(self, info: MediaInfo, config: CropConfig) -> None:
        self._sure = config.acquire
        lines = min(info.width, info.height)
        self._least = config.min_face * max(1.0, lines / config.detection_lines)
        self._faces = self._doubtful = 0

    def add(self, place: FaceRow) -> None:
        """Look at the next row."""
        if place.box is not None:
            points, score = place.box[4:14].reshape(5, 2), place.box[14]
            right, down = points[3:].mean(axis=0) - points[:2].mean(axis=0)
            self._faces += 1
            self._doubtful += bool(score < self._sure or down < abs(right))

    def note(self, item: str) -> str:
        """What the user should know; empty where most faces are sure."""
        if not self._faces:
            return (
                f"{item}: no face found; those of less than {self._least:.0f} pixels are not "
                "looked for (min_face, detection_lines), those upside down or lying not found"
            )
        if 2 * self._doubtful <= self._faces:
            return ""
        return (
            f"{item}: {self._doubtful} of {self._faces} faces are doubtful (a score below "
            f"{self._sure}, or not upright): look at the crops"
        )


def _crop(picture: Picture | None, place: FaceRow, config: CropConfig) -> tuple[np.ndarray, Valid]:
    empty = np.zeros((config.size, config.size, 3), np.uint8)
    if picture is None:
        return empty, Valid.DECODE_ERROR
    if place.box is None:
        return empty, place.code
    if config.align == "points":
        points = place.box[4:14].reshape(5, 2) * picture.height
        return cut_aligned(picture, points, size=config.size), place.code
    box = place.box[:4] * picture.height
    return cut_face(picture, box, margin=config.margin, size=config.size), place.code
