"""Boxes of faces are where the face is in the frame as players show it, however it is stored."""

import numpy as np
import pytest
from clips import PAL, constant_times, write_clip
from extraction import settings_of
from PIL import Image
from remux import MATRICES, set_matrix

from vapipe.cache import FeatureStore
from vapipe.extract.dataset import Subject, find_dataset
from vapipe.extract.faces.crop_config import CropConfig
from vapipe.extract.faces.crops import read_crops
from vapipe.extract.media.probe import probe
from vapipe.extract.options import StreamConfig
from vapipe.extract.run import run_extraction
from vapipe.extract.views import View

SMALL = CropConfig(detection_lines=120, min_face=24, every=5)
ROWS = 12


def scene(head, row):
    image = np.full((160, 320, 3), 60, np.uint8)
    image[20:140, 40 + 4 * row : 160 + 4 * row] = head
    return image


def boxes(path, config=SMALL, item="a"):
    batches = list(read_crops(probe(path), config, [Subject(item)]))
    return np.concatenate([batch.boxes[item] for batch in batches])


def clip(path, draw, size=(320, 160), **options):
    options = {"crf": "5", **options}
    times = constant_times(PAL, ROWS)
    return write_clip(path, times=times, size=size, draw=draw, options=options).path


@pytest.fixture(scope="module")
def plain(portrait, tmp_path_factory):
    """Boxes of an upright clip."""
    path = tmp_path_factory.mktemp("plain") / "c.mp4"
    return boxes(clip(path, lambda row: scene(portrait, row)))


def stored(image, matrix):
    """What a file holds of an image that is shown by x' = a x + c y, y' = b x + d y."""
    a, b, c, d = matrix
    height, width = image.shape[:2]
    size = (height, width) if a else (width, height)
    y, x = np.mgrid[: size[0], : size[1]]
    y, x = 2 * y - size[0] + 1, 2 * x - size[1] + 1
    return image[(b * x + d * y + height - 1) // 2, (a * x + c * y + width - 1) // 2]


def test_the_box_holds_the_face_and_moves_with_it(plain):
    left, top, width, height = plain.T
    assert (np.abs(left - left[0] - 4 * np.arange(ROWS)) < 3).all()
    assert ((width > 35) & (width < 70) & (height > 45) & (height < 85)).all()
    assert np.abs(left + width / 2 - 40 - 4 * np.arange(ROWS) - 62).max() < 6  # as in the portrait
    assert np.abs(top + height / 2 - 20 - 59).max() < 8


@pytest.mark.parametrize("matrix", MATRICES[1:5] + MATRICES[-1:], ids=str)
def test_turned_and_mirrored_clips(portrait, plain, tmp_path, matrix):
    first = stored(scene(portrait, 0), matrix)
    size = (first.shape[1], first.shape[0])
    path = clip(tmp_path / "c.mp4", lambda row: stored(scene(portrait, row), matrix), size)
    set_matrix(path, matrix)
    assert (probe(path).width, probe(path).height) == (320, 160)
    assert np.abs(boxes(path) - plain).max() < 8


@pytest.mark.parametrize(
    ("size", "aspect", "lines"),
    [((160, 160), "2:1", 1080), ((320, 80), "1:2", 1080), ((320, 160), "1:1", 80)],
)
def test_pixels_that_are_not_square_and_frames_that_are_reduced(
    portrait, plain, tmp_path, size, aspect, lines
):
    def draw(row):
        return np.asarray(Image.fromarray(scene(portrait, row)).resize(size))

    path = clip(tmp_path / "c.mp4", draw, size, aspect=aspect)
    info = probe(path)
    found = boxes(path, CropConfig(detection_lines=80, min_face=20, every=5, lines=lines))
    assert np.abs(found * 320 / info.width - plain).max() < 8


def test_what_is_stored_is_the_same_in_every_stream_alone_and_together(portrait, plain, tmp_path):
    path = clip(tmp_path / "a.mp4", lambda row: scene(portrait, row))
    streams = [StreamConfig("onet", "onet"), StreamConfig("logmel", "logmel")]
    streams += [StreamConfig("onet~centre", "onet", view=View("centre"))]
    for cache, runs in (("together", [streams]), ("alone", [[each] for each in streams])):
        for chosen in runs:
            list(run_extraction(find_dataset(path), settings_of(tmp_path / cache, chosen, SMALL)))
        store = FeatureStore.open(tmp_path / cache)
        for stream in ("onet", "onet~centre"):
            np.testing.assert_array_equal(store.boxes("a", stream), plain)
            assert store.tracks("a", stream).tolist() == [1] * ROWS
        assert np.isnan(store.boxes("a", "logmel")).all()


def test_crop_files_and_whole_frames_have_no_boxes(portrait, tmp_path):
    path = clip(tmp_path / "a.mp4", lambda row: scene(portrait, row))
    folder = tmp_path / "crops" / "a"
    folder.mkdir(parents=True)
    for row in range(ROWS):
        Image.fromarray(portrait).save(folder / f"{row + 1:05d}.png")
    for source, crops in (("crops", tmp_path / "crops"), ("frame", None)):
        cache = tmp_path / f"cache-{source}"
        settings = settings_of(cache, "onet", CropConfig(source), crops_dir=crops)
        (outcome,) = run_extraction(find_dataset(path), settings)
        assert outcome.status == "extracted"
        store = FeatureStore.open(cache)
        assert np.isnan(store.boxes("a", "onet")).all()
        assert not store.tracks("a", "onet").any()
        (shard,) = (cache / "features").rglob("a-*.h5")
        assert b'"box"' not in shard.read_bytes()
