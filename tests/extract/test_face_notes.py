"""Faces that may not be those that are meant: what extraction says of them."""

import re

import numpy as np
from clips import PAL, constant_times, write_clip
from PIL import Image

from vapipe.extract.dataset import Subject
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.faces.crops import read_crops
from vapipe.extract.media.probe import probe

SMALL = CropConfig(detection_lines=120, min_face=24, every=5)


def notes(tmp_path, heads, subjects=None):
    """Of a clip of 12 frames with heads at the given columns."""
    image = np.full((160, 320, 3), 60, np.uint8)
    for x, head in heads.items():
        image[20 : 20 + len(head), x : x + len(head)] = head
    times = constant_times(PAL, 12)
    path = tmp_path / "c.mp4"
    write_clip(path, times=times, size=(320, 160), draw=lambda _: image)
    info = probe(path)
    assert len(list(read_crops(info, SMALL, subjects or [Subject("main")]))) == 1
    return info.damage


def turned(head, degrees):
    return np.asarray(Image.fromarray(head).rotate(degrees, Image.Resampling.BILINEAR))


def test_a_face_that_is_sure_and_upright_needs_no_word(tmp_path, portrait):
    assert notes(tmp_path, {100: portrait}) == []


def test_most_faces_lying_or_unsure_are_named(tmp_path, portrait):
    (note,) = notes(tmp_path, {100: turned(portrait, -45)})
    assert re.match(r"main: \d+ of 12 faces are doubtful \(a score below 0.9, or not upright", note)


def test_no_face_at_all_says_what_is_not_looked_for(tmp_path, portrait):
    for head in (turned(portrait, 180), np.zeros_like(portrait)):
        (note,) = notes(tmp_path, {100: head})
        assert note.startswith("main: no face found; those of less than 32 pixels are not looked")


def test_a_second_large_face_is_named_unless_both_are_followed(tmp_path, portrait):
    heads = {10: portrait, 190: portrait}
    (note,) = notes(tmp_path, heads)
    assert note.startswith("12 of 12 frames show a second large face (posters and screens count)")
    assert notes(tmp_path, heads, [Subject("l", "left"), Subject("r", "right")]) == []
