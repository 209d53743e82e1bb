"""Numbers of people: another one for another person, the same one for the same, come what may."""

import numpy as np
import pytest
from clips import PAL, constant_times, write_clip
from PIL import Image, ImageFilter

from vapipe.extract.dataset import Subject
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.faces.crops import read_crops
from vapipe.extract.faces.identity import PeopleNumbers, levels, look
from vapipe.extract.media.frames import read_frames
from vapipe.extract.media.probe import probe

SMALL = CropConfig(detection_lines=120, min_face=24, every=5)
SIZE = (320, 160)


class Person:
    """A made-up face: blobs at places of its own; moves, turns and is lit."""

    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        noise = Image.fromarray(rng.integers(0, 255, (150, 150, 3), dtype=np.uint8))
        wide = np.asarray(noise.filter(ImageFilter.GaussianBlur(6)), float)
        self.wide = Image.fromarray(np.clip((wide - 127) * 8 + 127, 0, 255).astype(np.uint8))

    def crop(self, row=0, light=1.0):
        """As followed at 25 frames per second: it sways by some pixels and degrees."""
        turned = self.wide.rotate(8 * np.sin(row / 5), Image.Resampling.BILINEAR)
        x, y = 19 + 5 * np.sin(row / 4), 19 + 4 * np.cos(row / 6)
        cut = turned.crop((round(x), round(y), round(x) + 112, round(y) + 112))
        return np.clip(np.asarray(cut, float) * light, 0, 255).astype(np.uint8)


def numbers(crops, paths=None, step=0.04):
    """Of rows, None where there is no face, "?" where it is only supposed."""
    people, out = PeopleNumbers[int](), []
    for row, crop in enumerate(crops):
        path = None if crop is None else (paths[row] if paths else (0, 0))
        seen = crop if isinstance(crop, np.ndarray) else None
        out += people.push(row, path, seen, row * step)
    out += people.finish()
    assert [row for row, _ in out] == list(range(len(crops)))
    return [number for _, number in out]


@pytest.mark.parametrize("seed", range(5))
def test_another_person_in_the_place_of_the_first_gets_another_number_at_once(seed):
    rng = np.random.default_rng(seed)
    one, other = Person(2 * seed), Person(2 * seed + 1)
    cut, rows = int(rng.integers(5, 40)), 60
    crops = [(one if row < cut else other).crop(row) for row in range(rows)]
    assert numbers(crops) == [1] * cut + [2] * (rows - cut)
    there_and_back = crops + [one.crop(row) for row in range(20)]
    paths = [(0, 0)] * rows + [(1, 1)] * 20
    assert numbers(there_and_back, paths) == [1] * cut + [2] * (rows - cut) + [1] * 20


@pytest.mark.parametrize("seed", range(3))
def test_one_person_keeps_the_number_in_motion_in_any_light_and_behind_a_hand(seed):
    one, rng = Person(seed), np.random.default_rng(seed)
    lights = np.concatenate([np.ones(10), [0.3, 2.0], np.full(10, 0.5), rng.uniform(0.4, 1.8, 30)])
    crops = [one.crop(row, light) for row, light in enumerate(lights)]
    for row in (15, 16, 30):  # a hand or a blur of a row or two
        crops[row] = np.full_like(crops[row], 128)
    crops[40:44] = ["?"] * 4  # lost and bridged
    assert numbers(crops) == [1] * len(crops)


def test_a_cut_alone_or_an_absence_is_no_other_person_but_who_is_not_recognised_is_new():
    one, other = Person(0), Person(1)
    crops = [one.crop(row) for row in range(20)]
    paths = [(0, 0)] * 8 + [(0, 1)] * 6 + [(1, 1)] * 6
    assert numbers(crops, paths) == [1] * 20  # cuts, and a face that was lost
    assert numbers([*crops[:9], None, None, *crops[9:]]) == [1] * 9 + [0, 0] + [1] * 11
    early = [one.crop(0), one.crop(1), *(other.crop(row) for row in range(2, 9))]
    assert numbers(early) == [1] * 2 + [2] * 7  # before it is sure who is there
    glimpse = [*crops[:9], other.crop(9), other.crop(10), None, *(other.crop(r) for r in range(9))]
    assert numbers(glimpse) == [1] * 11 + [0] + [2] * 9  # too short to tell, and not remembered
    short = [one.crop(), other.crop(), other.crop()]  # an end before it is sure: two shots
    assert numbers(short, [(0, 0), (1, 1), (1, 1)]) == [1, 2, 2]
    assert numbers([None, "?", None, one.crop()]) == [0, 1, 0, 2]
    assert numbers([]) == []


def test_a_look_is_of_length_1_and_without_an_edge_is_nothing():
    for size in (16, 48, 112, 224):
        crop = np.asarray(Image.fromarray(Person(0).crop()).resize((size, size)))
        seen = look(levels(crop))
        assert np.linalg.norm(seen) == pytest.approx(1, abs=1e-5)
        assert seen @ look(levels(crop // 2)) > 0.9
        assert not look(levels(np.full_like(crop, 200))).any()


def tracks(tmp_path, draw, rows, size=SIZE, config=SMALL):
    path = write_clip(
        tmp_path / "c.mp4", times=constant_times(PAL, rows), size=size, draw=draw
    ).path
    info = probe(path)
    batches = list(read_crops(info, config, [Subject("a")]))
    boxes = np.concatenate([batch.boxes["a"] for batch in batches])
    found = np.concatenate([batch.tracks["a"] for batch in batches])
    assert (np.isnan(boxes).all(axis=1) == (found == 0)).all()
    return boxes, found.tolist(), info.damage


def placed(head, x=90, light=1.0, wall=60):
    image = np.full((SIZE[1], SIZE[0], 3), wall, float)
    image[20 : 20 + len(head), x : x + head.shape[1]] = head
    return np.clip(image * light, 0, 255).astype(np.uint8)


def test_a_clip_of_two_people_in_one_place_tells_them_apart(tmp_path, portrait):
    """With a cut that is seen in the pictures, and where only the face is another."""
    heads = portrait, portrait[:, ::-1]
    for wall in (60, 160):
        _, found, damage = tracks(
            tmp_path, lambda r, w=wall: placed(heads[r >= 14], wall=60 if r < 14 else w), 30
        )
        assert found == [1] * 14 + [2] * 16
        (note,) = damage
        assert note.startswith("a: 14 of 30 faces are not recognised as the person of most rows")


def test_a_clip_of_one_person_has_one_number(tmp_path, portrait):
    """Fast from one side to the other, in light that flickers."""

    def draw(row):
        return placed(portrait, 20 + abs(8 * (row % 40) - 160), (1.0, 0.45, 1.5)[row // 4 % 3])

    boxes, found, damage = tracks(tmp_path, draw, 40)
    assert found == [1] * 40
    assert damage == []
    left = np.array([20 + abs(8 * (row % 40) - 160) for row in range(40)])
    centres = boxes[:, 0] + boxes[:, 2] / 2 - left  # of the face in its picture
    assert np.abs(centres - np.median(centres)).max() < 6


def test_real_clips_one_after_the_other_change_number_where_they_meet(tmp_path, real_clips):
    size, rows, parts = (320, 180), 16, []
    for name, first in (
        ("pyfeat_WolfgangLanger_Pexels.mp4", 0),
        ("short_hamilton_clip.mp4", 100),
        ("pyfeat_single_face.mp4", 0),
    ):
        for frame in read_frames(probe(real_clips / name), lines=180):
            if first <= frame.row < first + rows:
                parts.append(frame.image)
            if frame.row == first + rows:
                break
    _, found, _ = tracks(tmp_path, lambda row: parts[row], 3 * rows, size, CropConfig())
    assert found == [1] * rows + [2] * rows + [3] * rows


@pytest.mark.slow  # half a minute: all rows of the real clips
@pytest.mark.parametrize(
    ("name", "runs"),
    [
        ("short_hamilton_clip.mp4", [(1, 20), (2, 23), (0, 39), (3, 129), (4, 64)]),
        ("latentsync_demo1_video.mp4", [(1, 250)]),
        ("latentsync_demo2_video.mp4", [(1, 502)]),
        ("pyfeat_WolfgangLanger_Pexels.mp4", [(1, 472)]),
        ("pyfeat_face_noface.mov", [(1, 72), (0, 97)]),
        ("pyfeat_single_face.mp4", [(1, 72)]),
        ("torchcodec_nasa_13013.mp4", [(0, 390)]),
    ],
)
def test_real_clips_change_number_where_people_do(real_clips, name, runs):
    """The first and the third of short_hamilton_clip are one man, who is not recognised."""
    batches = read_crops(probe(real_clips / name), CropConfig(), [Subject("a")])
    found = np.concatenate([batch.tracks["a"] for batch in batches])
    at = np.flatnonzero(np.diff(found, prepend=found[0] + 1))
    lengths = np.diff([*at, len(found)])
    close = [(int(found[i]), n) for i, n in zip(at, lengths, strict=True)]
    assert [number for number, _ in close] == [number for number, _ in runs]
    assert np.abs(lengths - [count for _, count in runs]).max() <= 2
