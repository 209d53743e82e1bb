"""Measures tracked faces against facenet-pytorch's MTCNN with its defaults on full-size frames.

Prints a Markdown table per clip of a folder. Times are processor time of the faces part alone, in
one thread. Run: `python benchmarks/faces.py [FOLDER] [EVERY]`, some 5 min.
"""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from facenet_pytorch import MTCNN

from vapipe.cache import Valid
from vapipe.extract.dataset import Subject
from vapipe.extract.faces.boxes import overlap
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.faces.detector import FaceDetector
from vapipe.extract.faces.finder import FaceFinder
from vapipe.extract.faces.follow import FaceRow
from vapipe.extract.faces.subject_tracks import SubjectTracks
from vapipe.extract.media.frames import Frame, read_frames
from vapipe.extract.media.probe import MediaInfo, probe

MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
SMALL = 640 * 360  # pixels; of larger frames fewer are compared, for they take long
ROWS = 300  # compared at most
GOOD = 0.8  # overlap (intersection over union)
COLUMNS = (
    "clip",
    "size",
    "full size, frames/s",
    "every frame, frames/s",
    "tracked, frames/s",
    "searched",
    "compared",
    "IoU >= 0.8, every frame, unsmoothed",
    "IoU >= 0.8, tracked",
    "missed",
    "false",
    "detector against itself",
)


@dataclass
class Reference:
    """Sure faces of some rows, found in full-size frames, with the seconds per frame."""

    boxes: dict[int, np.ndarray]
    seconds: float
    itself: str


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MEDIA
    every = int(sys.argv[2]) if len(sys.argv) > 2 else CropConfig().every
    torch.set_num_threads(1)
    print("| " + " | ".join(COLUMNS) + " |")
    print("|" + "---|" * len(COLUMNS))
    good = both = 0
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".mp4", ".mov")):
        info = probe(path)
        reference = look(info)
        frames = [
            Frame(frame.row, None, frame.reduced)
            for frame in read_frames(info, reduced_lines=CropConfig().detection_lines)
        ]
        _, searched_speed, _ = follow(info, frames, CropConfig(every=1))
        plain, _, _ = follow(info, frames, CropConfig(every=1, smooth=0))
        tracked, speed, share = follow(info, frames, CropConfig(every=every))
        before, (overlaps, missed, false) = compare(plain, reference), compare(tracked, reference)
        good, both = good + int((overlaps >= GOOD).sum()), both + len(overlaps)
        cells = (
            path.name,
            f"{info.width}x{info.height}",
            f"{1 / reference.seconds:.1f}",
            f"{searched_speed:.0f}",
            f"{speed:.0f}",
            f"{share:.2f}",
            str(len(overlaps)),
            percent(before[0]),
            percent(overlaps),
            str(missed),
            str(false),
            reference.itself,
        )
        print("| " + " | ".join(cells) + " |", flush=True)
    print(f"\nAll clips: IoU >= 0.8 on {100 * good / max(both, 1):.1f} % of {both} frames.")


def look(info: MediaInfo) -> Reference:
    """Search full-size frames with the detector's defaults; and small ones at other scales too."""
    mtcnn, other = MTCNN(keep_all=True), MTCNN(keep_all=True, min_face_size=23)
    for network in (mtcnn.pnet, mtcnn.rnet, mtcnn.onet):
        network.to(memory_format=torch.channels_last)
    pixels = info.width * info.height
    step = max(math.ceil(pixels / SMALL), math.ceil(len(info.timeline) / ROWS))
    boxes: dict[int, np.ndarray] = {}
    overlaps: list[float] = []
    spent = 0.0
    for frame in read_frames(info):
        if frame.row % step or frame.image is None:
            continue
        began = time.process_time()
        boxes[frame.row] = sure(mtcnn, frame.image)
        spent += time.process_time() - began
        if pixels <= SMALL and len(boxes[frame.row]):
            again = sure(other, frame.image)
            main = max(boxes[frame.row], key=lambda box: float(np.prod(box[2:] - box[:2])))
            overlaps += [max(overlap(main, box) for box in again)] if len(again) else []
    return Reference(boxes, spent / len(boxes), percent(np.array(overlaps)))


def sure(mtcnn: MTCNN, image: np.ndarray) -> np.ndarray:
    """Faces [n, 4] in image heights that are sure enough to be followed."""
    boxes, scores = mtcnn.detect(image)
    if boxes is None:
        return np.zeros((0, 4))
    return boxes[scores.astype(float) >= CropConfig().acquire].astype(float) / len(image)


def follow(
    info: MediaInfo, frames: list[Frame], config: CropConfig
) -> tuple[list[FaceRow], float, float]:
    """Places of the main face, frames per second, share of frames searched as a whole."""
    detector = FaceDetector(min_face=config.min_face, thresholds=config.thresholds, device="cpu")
    finder = FaceFinder(
        detector, every=config.every, track_score=config.thresholds[2], acquire=config.acquire
    )
    tracks = SubjectTracks(
        info,
        finder,
        [Subject("main")],
        patience=config.patience,
        acquire=config.acquire,
        smooth=config.smooth,
    )
    began = time.process_time()
    places = [place for frame in frames for _, place in tracks.push(frame)]
    places += [place for _, place in tracks.finish()]
    seconds = time.process_time() - began
    return places, len(frames) / seconds, finder.searches / len(frames)


def compare(places: list[FaceRow], reference: Reference) -> tuple[np.ndarray, int, int]:
    """Overlaps with the nearest face where both see one; rows missed; rows with a face too many."""
    overlaps, missed, false = [], 0, 0
    for row, boxes in reference.boxes.items():
        box = places[row].box
        assert (box is None) == (places[row].code == Valid.NO_FACE)
        if box is None:
            missed += len(boxes) > 0
        elif not len(boxes):
            false += 1
        else:
            overlaps.append(max(overlap(box, other) for other in boxes))
    return np.array(overlaps), missed, false


def percent(overlaps: np.ndarray) -> str:
    return f"{100 * (overlaps >= GOOD).mean():.1f} %" if len(overlaps) else "–"


if __name__ == "__main__":
    main()
