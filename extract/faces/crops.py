"""Square crops of every row of a video, by subject: detected faces, whole frames, or crop files.

What decides the pixels is in `CropConfig`; one call serves all visual streams of a video.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ...cache.timeline import Valid
from ...errors import ConfigError
from ..dataset import Subject
from ..media.frames import read_frames
from ..media.probe import MediaInfo
from ..weights.wheel import digest_facenet_weights
from .cast import Cast
from .detector import NETWORKS, FaceDetector
from .finder import FaceFinder
from .follow import Place
from .official import OfficialCrops
from .squares import cut_aligned, cut_centre, cut_face

BATCH = 64  # rows per CropBatch
_MAX_EVERY = 32  # frames whose images wait for the next search
_POINTS_MARGIN = 0.03  # of squares by points, whose sides are 1.02 to 1.11 face boxes on real clips
_VERSION = 2  # raised when crops change without any option changing


@dataclass(frozen=True)
class CropConfig:
    """How crops are made. Lines are pixels of an image's shorter side.

    Attributes:
        source: "detect" finds and follows faces, "frame" takes the centre square of the whole
            frame, "crops" reads crop files.
        size: side of a crop in pixels.
        margin: by how much the crop is wider than the face box, as a part of the box.
        lines: frames are reduced to so many lines before cropping.
        detection_lines: frames are reduced to so many lines for detection.
        min_face: smallest face looked for, in pixels of the detection image.
        thresholds: scores that a face needs in the detector's three stages.
        acquire: score that a face needs to be followed; walls and hands reach lower ones.
        patience: seconds for which a lost face is waited for and then bridged.
        every: one of so many frames is searched for faces as a whole; between them faces are
            tracked. 1 searches every frame.
        smooth: seconds over which boxes are smoothed (standard deviation of the weights); 0 for
            boxes as the detector gives them.
        align: "box" cuts the upright square around the face box; "points" turns and scales the
            face so that eyes, nose and mouth lie at their standard places, whatever the margin.
    """

    source: Literal["detect", "frame", "crops"] = "detect"
    size: int = 112
    margin: float = 0.3
    lines: int = 720
    detection_lines: int = 240
    min_face: int = 30
    thresholds: tuple[float, float, float] = (0.6, 0.7, 0.7)
    acquire: float = 0.9
    patience: float = 0.5
    every: int = 10
    smooth: float = 0.04
    align: Literal["box", "points"] = "box"

    def __post_init__(self) -> None:
        """Refuse values that make no crops.

        Raises:
            ConfigError: an unknown source, or a number out of range.
        """
        if self.source not in ("detect", "frame", "crops"):
            raise ConfigError(
                f"crops: source `{self.source}` is none of detect, frame, crops; choose one"
            )
        if self.align not in ("box", "points"):
            raise ConfigError(f"crops: align `{self.align}` is none of box, points; choose one")
        for name in ("size", "lines", "detection_lines"):
            if getattr(self, name) < 16:
                raise ConfigError(f"crops: {name} must be at least 16, got {getattr(self, name)}")
        if self.min_face < 12:  # the first network's field; smaller ones would enlarge the image
            raise ConfigError(f"crops: min_face must be at least 12, got {self.min_face}")
        if self.min_face > self.detection_lines:
            raise ConfigError(
                f"crops: min_face ({self.min_face}) must not exceed detection_lines "
                f"({self.detection_lines}); raise the one or lower the other"
            )
        if not 0 <= self.margin <= 2:
            raise ConfigError(f"crops: margin must be in 0..2, got {self.margin}")
        if len(self.thresholds) != 3 or not all(0 < value < 1 for value in self.thresholds):
            raise ConfigError(
                f"crops: thresholds must be three numbers between 0 and 1, got {self.thresholds}"
            )
        if not 0 <= self.acquire < 1:
            raise ConfigError(f"crops: acquire must be in 0..1, got {self.acquire}")
        if not 0 <= self.patience <= 5:
            raise ConfigError(f"crops: patience must be in 0..5 seconds, got {self.patience}")
        if not 1 <= self.every <= _MAX_EVERY:
            raise ConfigError(f"crops: every must be in 1..{_MAX_EVERY} frames, got {self.every}")
        if not 0 <= self.smooth <= 1:
            raise ConfigError(f"crops: smooth must be in 0..1 seconds, got {self.smooth}")

    @property
    def face_margin(self) -> float:
        """By how much crops exceed the face box; 0 where no box is known (encoders ask)."""
        if self.source != "detect":
            return 0.0
        return self.margin if self.align == "box" else _POINTS_MARGIN

    def identity(self) -> dict[str, Any]:
        """All that determines the crops' pixels, as plain JSON values."""
        common: dict[str, Any] = {"source": self.source, "size": self.size, "version": _VERSION}
        if self.source == "crops":
            return common
        if self.source == "frame":
            return {**common, "lines": self.lines}
        return {
            **common,
            "lines": self.lines,
            "margin": self.margin,
            "detector": "mtcnn",
            "weights": {name: digest_facenet_weights(name) for name in NETWORKS},
            "detection_lines": self.detection_lines,
            "min_face": self.min_face,
            "thresholds": list(self.thresholds),
            "acquire": self.acquire,
            "patience": self.patience,
            "every": self.every,
            "smooth": self.smooth,
            "align": self.align,
        }


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
) -> Iterator[CropBatch]:
    """Crop every row of a video once for each subject.

    A subject's crops do not depend on which other subjects are asked for.

    Args:
        info: the probed video.
        config: how crops are made.
        subjects: whom to follow; `side` is as seen in the image.
        crops_dir: for source "crops": holds one folder per item; else unused.
        device: torch device of the face detector.

    Yields:
        Batches of `BATCH` rows (the last may be shorter), T rows in all.

    Raises:
        MediaError: the file cannot be opened any more, or crop files are not as they should be.
        ConfigError: source "crops" without a folder.
    """
    items = [subject.id for subject in subjects]
    if config.source == "crops":
        return _batches(_read_files(info, config, items, crops_dir), items)
    if config.source == "frame":
        return _batches(_read_whole(info, config, items), items)
    return _batches(_read_faces(info, config, subjects, device), items)


def describe_crop_files(
    info: MediaInfo, config: CropConfig, subjects: Sequence[Subject], crops_dir: Path | None
) -> tuple[dict[str, str], list[str]]:
    """Digest of each item's crop files, and in words what of them is left out.

    Raises:
        MediaError: crop files are not as they should be.
        ConfigError: no folder given.
    """
    rows, digests, notes = len(info.timeline), {}, []
    for subject in subjects:
        crops = _open_files(info, config, subject.id, crops_dir)
        digests[subject.id] = crops.digest()
        if crops.surplus:
            notes.append(
                f"{crops.folder}: {crops.surplus} crop(s) numbered above the video's {rows} "
                "frames are left out"
            )
    return digests, notes


_Crop = tuple[str, np.ndarray, Valid]  # item id, [S, S, 3], code; rows of an item in order


def _batches(crops: Iterable[_Crop], items: Sequence[str]) -> Iterator[CropBatch]:
    waiting: dict[str, list[tuple[np.ndarray, Valid]]] = {item: [] for item in items}
    start = 0

    def take() -> CropBatch:
        nonlocal start
        first = {item: rows[:BATCH] for item, rows in waiting.items()}
        for rows in waiting.values():
            del rows[:BATCH]
        batch = CropBatch(
            start,
            {item: np.stack([crop for crop, _ in rows]) for item, rows in first.items()},
            {item: np.array([code for _, code in rows], np.uint8) for item, rows in first.items()},
        )
        start += len(first[items[0]])
        return batch

    for item, crop, code in crops:
        waiting[item].append((crop, code))
        if min(len(rows) for rows in waiting.values()) == BATCH:
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
    return OfficialCrops(crops_dir / item, rows=len(info.timeline), size=config.size)


def _read_whole(info: MediaInfo, config: CropConfig, items: Sequence[str]) -> Iterator[_Crop]:
    empty = np.zeros((config.size, config.size, 3), np.uint8)
    for frame in read_frames(info, lines=config.lines):
        crop, code = empty, Valid.DECODE_ERROR
        if frame.image is not None:
            crop, code = cut_centre(frame.image, size=config.size), Valid.IMAGE
        for item in items:
            yield item, crop, code


def _read_faces(
    info: MediaInfo, config: CropConfig, subjects: Sequence[Subject], device: torch.device | str
) -> Iterator[_Crop]:
    detector = FaceDetector(min_face=config.min_face, thresholds=config.thresholds, device=device)
    finder = FaceFinder(
        detector,
        every=config.every,
        track_score=config.thresholds[2],
        acquire=config.acquire,
    )
    cast = Cast(
        info,
        finder,
        subjects,
        patience=config.patience,
        acquire=config.acquire,
        smooth=config.smooth,
    )
    images: dict[int, np.ndarray | None] = {}  # frames that still wait for a place
    for frame in read_frames(info, lines=config.lines, reduced_lines=config.detection_lines):
        images[frame.row] = frame.image
        for item, place in cast.push(frame):
            yield item, *_crop(images[place.row], place, config)
        while images and next(iter(images)) < cast.settled:
            del images[next(iter(images))]
    for item, place in cast.finish():
        yield item, *_crop(images[place.row], place, config)


def _crop(image: np.ndarray | None, place: Place, config: CropConfig) -> tuple[np.ndarray, Valid]:
    empty = np.zeros((config.size, config.size, 3), np.uint8)
    if image is None:
        return empty, Valid.DECODE_ERROR
    if place.box is None:
        return empty, place.code
    if config.align == "points":
        points = place.box[4:].reshape(5, 2) * image.shape[0]
        return cut_aligned(image, points, size=config.size), place.code
    box = place.box[:4] * image.shape[0]
    return cut_face(image, box, margin=config.margin, size=config.size), place.code
