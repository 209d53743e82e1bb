"""Who is followed where faces are turned, tiny, several, printed, or none: made of real pictures.

Prints a Markdown table. Heads are of scikit-image's astronaut and of a folder of clips (as in
`faces.py`). Run: `python benchmarks/hard_faces.py [FOLDER]`, about a minute.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw
from skimage import data

from vapipe.cache import Valid
from vapipe.extract.dataset import Subject
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.faces.detector import FaceDetector
from vapipe.extract.faces.finder import FaceFinder
from vapipe.extract.faces.follow import FaceRow
from vapipe.extract.faces.subject_tracks import SubjectTracks
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import MediaInfo, probe

MEDIA = Path(__file__).resolve().parents[2] / "shared" / "media"
SIZE = (640, 360)
ROWS = 90
FINE = CropConfig(detection_lines=360, min_face=15)
Where = Callable[[int], "float | None"]
Layer = tuple[Image.Image, int, Where, int]  # head, side in pixels, x by row (None: away), y


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else MEDIA
    one = Image.fromarray(data.astronaut()[0:240, 100:340])
    two, three = (
        cut_head(folder / name) for name in ("pyfeat_single_face.mp4", "facenet_video.mp4")
    )
    cat = Image.fromarray(data.chelsea()).resize(SIZE)
    print("| scene | rows with a face | of them of another person or none |")
    print("|---|---|---|")
    for degrees in (0, 45, 90, 180, 270):
        measure(f"one face, turned by {degrees} degrees", [(one.rotate(degrees), 240, at(200), 60)])
    for side, pixels in ((98, 45), (65, 30), (43, 20)):
        measure(f"one face of {pixels} pixels", [(one, side, at(300), 150)])
    small = [(one, 43, at(300), 150)]
    measure("the same, detection_lines = 360, min_face = 15", small, config=FINE)
    third = [(two, 110, at(40), 120), (three, 110, at(480), 120), (one, 190, sway(220), 110)]
    measure("three people, one of them larger", third, followed=2)
    for side, name in ((90, "smaller"), (180, "as large"), (240, "larger")):
        layers = [(two, side, at(30), 60), (one, 180, sway(400), 120)]
        measure(f"a poster behind a person, {name}", layers, followed=1)
    leaving = (one, 200, lambda row: 200.0 + max(0, row - 20) * 25 if row < 40 else None, 100)
    coming = (two, 200, lambda row: -200.0 + min(300, (row - 45) * 25) if row > 45 else None, 100)
    measure("one leaves, another enters", [leaving, coming], followed=None)
    measure("a cat", [(cat, 0, at(0), 0)], followed=-1)
    measure("a cartoon", [(cartoon(), 0, at(0), 0)], followed=-1)
    measure("things, no face", [], followed=-1)


def at(x: float) -> Where:
    return lambda row: x + row % 3


def sway(x: float) -> Where:
    return lambda row: x + 20 * np.sin(row / 8)


def measure(
    name: str, layers: list[Layer], *, followed: int | None = 0, config: CropConfig | None = None
) -> None:
    """Follow the main face; `followed` is the layer that is meant, None for any, -1 for none."""
    config = config or CropConfig()
    with tempfile.TemporaryDirectory() as folder:
        info = write(Path(folder) / "clip.mp4", layers)
        places = follow(info, config)
    meant = layers if followed is None else layers[followed : followed + 1] if followed >= 0 else []
    seen = [place for place in places if place.code in (Valid.DETECTED, Valid.TRACKED)]
    wrong = sum(not any(is_at(place, layer) for layer in meant) for place in seen)
    share = f"{100 * wrong / len(seen):.0f} %" if seen else "–"
    print(f"| {name} | {100 * len(seen) / ROWS:.0f} % | {share} |", flush=True)


def is_at(place: FaceRow, layer: Layer) -> bool:
    """Whether a face lies in a head."""
    _, side, where, y = layer
    x = where(place.row)
    if x is None or place.box is None:
        return False
    centre = (place.box[:2] + place.box[2:4]) / 2 * SIZE[1]
    return bool((np.abs(centre - (x + side / 2, y + side / 2)) < side / 3).all())


def write(path: Path, layers: list[Layer]) -> MediaInfo:
    """A clip of heads before a still life."""
    back = Image.fromarray(data.coffee()).resize(SIZE)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=Fraction(25), options={"crf": "18"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for row in range(ROWS):
            image = back.copy()
            for head, side, where, y in layers:
                if (x := where(row)) is not None:
                    image.paste(head.resize((side, side)) if side else head, (int(x), y))
            file.mux(stream.encode(av.VideoFrame.from_image(image)))
        file.mux(stream.encode(None))
    return probe(path)


def follow(info: MediaInfo, config: CropConfig) -> list[FaceRow]:
    """Places of the main face."""
    tracks = SubjectTracks(
        info,
        FaceFinder(
            detector(config),
            every=config.every,
            track_score=config.thresholds[2],
            acquire=config.acquire,
        ),
        [Subject("main")],
        patience=config.patience,
        acquire=config.acquire,
        smooth=config.smooth,
    )
    frames = read_frames(info, reduced_lines=config.detection_lines)
    places = [place for frame in frames for _, place in tracks.push(frame)]
    return places + [place for _, place in tracks.finish()]


def detector(config: CropConfig) -> FaceDetector:
    return FaceDetector(min_face=config.min_face, thresholds=config.thresholds, device="cpu")


def cut_head(path: Path) -> Image.Image:
    """The largest face of a clip's eleventh frame with what is around it."""
    image = next(f.image for f in read_frames(probe(path), lines=360) if f.row == 10)
    assert image is not None
    boxes = detector(CropConfig()).detect([image])[0].boxes[:, :4] * len(image)
    box = max(boxes, key=lambda b: float(np.prod(b[2:] - b[:2])))
    (x, y), reach = (box[:2] + box[2:]) / 2, 0.9 * float((box[2:] - box[:2]).max())
    return Image.fromarray(image).crop(
        (int(x - reach), int(y - reach), int(x + reach), int(y + reach))
    )


def cartoon() -> Image.Image:
    image = Image.new("RGB", SIZE, (90, 160, 220))
    draw = ImageDraw.Draw(image)
    draw.ellipse((220, 60, 420, 290), fill=(255, 220, 60), outline=(0, 0, 0), width=4)
    for x in (280, 360):
        draw.ellipse((x - 28, 120, x + 28, 176), fill="white", outline="black", width=3)
        draw.ellipse((x - 8, 140, x + 8, 156), fill="black")
    draw.arc((270, 180, 370, 260), 10, 170, fill="black", width=5)
    draw.line((320, 170, 312, 200, 324, 202), fill="black", width=4)
    return image


if __name__ == "__main__":
    main()
