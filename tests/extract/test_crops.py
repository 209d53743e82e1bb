"""Crops are of the right face, at the right place, and every row has one or says why not."""

import dataclasses
import json
import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from clips import constant_times, write_clip
from PIL import Image

from vapipe.cache import Valid
from vapipe.cache.timeline import usable
from vapipe.errors import ConfigError, MediaError
from vapipe.extract.dataset import Subject
from vapipe.extract.faces.crop_geometry import cut_aligned, cut_centre, cut_face
from vapipe.extract.faces.crops import BATCH, CropConfig, describe_crop_files, read_crops
from vapipe.extract.faces.official import CropFiles, find_crops, fit_square
from vapipe.extract.media.picture import Picture
from vapipe.extract.media.probe import probe
from vapipe.extract.spec import crop_facts

PAL = Fraction(25)
SMALL = CropConfig(detection_lines=120, min_face=24, every=5)
SEARCHED = CropConfig(detection_lines=120, min_face=24, every=1)
STANDARD = [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366)]
STANDARD += [(41.5493, 92.3655), (70.7299, 92.2041)]
D, T, N = Valid.DETECTED, Valid.TRACKED, Valid.NO_FACE


def whole(image: np.ndarray) -> Picture:
    """An image [H, W, 3] as a decoded picture."""
    return Picture(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24"))


def place(head: np.ndarray, at: list[tuple[int, int]], size=(320, 160)) -> np.ndarray:
    """A dim image [H, W, 3] with heads at the given left upper corners."""
    image = np.full((size[1], size[0], 3), 60, np.uint8)
    for x, y in at:
        image[y : y + len(head), x : x + len(head)] = head
    return image


def clip(tmp_path: Path, draw, rows: int, size=(320, 160)):
    path = tmp_path / "c.mp4"
    times = constant_times(PAL, rows)
    return probe(
        write_clip(path, times=times, size=size, draw=draw, options={"preset": "veryfast"}).path
    )


def collect(info, config, subjects, crops_dir=None):
    """All crops and codes by item; checks the batches."""
    batches = list(read_crops(info, config, subjects, crops_dir))
    starts = np.cumsum([0, *(len(next(iter(b.codes.values()))) for b in batches)])
    assert [batch.start for batch in batches] == starts[:-1].tolist()
    assert starts[-1] == len(info.timeline)
    assert all(np.diff(starts)[:-1] == BATCH)
    crops, codes = {}, {}
    for subject in subjects:
        crops[subject.id] = np.concatenate([batch.crops[subject.id] for batch in batches])
        codes[subject.id] = np.concatenate([batch.codes[subject.id] for batch in batches])
        size = config.size
        assert crops[subject.id].shape == (len(info.timeline), size, size, 3)
        assert crops[subject.id].dtype == codes[subject.id].dtype == np.uint8
        assert not crops[subject.id][codes[subject.id] >= 128].any()
    return crops, codes


def alike(crop: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two images."""
    return float(np.corrcoef(crop.ravel().astype(float), other.ravel().astype(float))[0, 1])


def test_a_face_is_found_followed_and_cut_out(tmp_path, portrait):
    info = clip(tmp_path, lambda row: place(portrait, [(20 + row, 20)]), 70)
    crops, codes = collect(info, SMALL, [Subject("a")])
    assert codes["a"][:65].tolist() == [D, T, T, T, T] * 13
    # The face stays in place inside the crop while it moves through the image.
    likeness = [alike(crop, crops["a"][0]) for crop in crops["a"]]
    assert np.median(likeness) > 0.9
    assert min(likeness) > 0.7


def test_rows_without_a_face_say_so_and_short_gaps_are_bridged(tmp_path, portrait):
    def draw(row):  # dim, lest it be a cut
        return place(portrait // 2, [] if 10 <= row < 14 or row >= 40 else [(60, 20)])

    crops, codes = collect(clip(tmp_path, draw, 60), SMALL, [Subject("a")])
    assert usable(codes["a"]).tolist() == [True] * 40 + [False] * 20
    assert set(codes["a"][40:].tolist()) == {N}
    assert set(codes["a"][10:14].tolist()) == {T}
    assert crops["a"][12].std() < 10  # where the face would be, the image is empty
    _, codes = collect(clip(tmp_path, draw, 60), SEARCHED, [Subject("a")])
    assert codes["a"].tolist() == [D] * 10 + [T] * 4 + [D] * 26 + [N] * 20


def test_left_and_right_get_their_own_faces_whoever_is_asked_for(tmp_path, portrait):
    other = np.ascontiguousarray(portrait[:, ::-1])

    def draw(row):
        return place(portrait, [(10, 20)]) // 2 + place(other, [(180, 20)]) // 2

    info = clip(tmp_path, draw, 20)
    left, right = Subject("v_left", "left"), Subject("v_right", "right")
    crops, codes = collect(info, SMALL, [right, left])
    assert set(codes["v_left"].tolist()) == set(codes["v_right"].tolist()) == {D, T}
    assert alike(crops["v_left"][3], crops["v_right"][3][:, ::-1]) > 0.8
    assert alike(crops["v_left"][3], crops["v_right"][3]) < 0.8
    for subject in (left, right):
        alone, _ = collect(info, SMALL, [subject])
        np.testing.assert_array_equal(alone[subject.id], crops[subject.id])


def test_the_same_bits_every_time_in_batches_of_any_size(tmp_path, portrait):
    info = clip(tmp_path, lambda row: place(portrait, [(20 + 3 * row, 20)]), 20)
    first, _ = collect(info, SMALL, [Subject("a")])
    batches = list(read_crops(info, SMALL, [Subject("a")], rows=8))
    assert [len(batch.crops["a"]) for batch in batches] == [8, 8, 4]
    np.testing.assert_array_equal(first["a"], np.concatenate([b.crops["a"] for b in batches]))


def test_whole_frames_need_no_face(tmp_path):
    ramp = np.repeat(np.arange(320, dtype=float)[None, :, None], 160, 0).repeat(3, 2) * 0.7
    info = clip(tmp_path, lambda row: ramp.astype(np.uint8), 5)
    crops, codes = collect(info, CropConfig(source="frame", size=64), [Subject("a"), Subject("b")])
    assert set(codes["a"].tolist()) == {Valid.IMAGE}
    np.testing.assert_array_equal(crops["a"], crops["b"])
    expected = 0.7 * (80 + (np.arange(64) + 0.5) * 160 / 64 - 0.5)  # the centre square
    assert np.abs(crops["a"][0][32, :, 0] - expected).max() < 4


@pytest.mark.parametrize("source", ["detect", "frame"])
def test_rows_that_cannot_be_decoded_say_so(tmp_path, portrait, source):
    info = probe(
        write_clip(
            tmp_path / "c.mp4",
            times=constant_times(PAL, 30),
            size=(320, 160),
            draw=lambda row: place(portrait, [(60, 20)]),
            codec="mjpeg",
            pixels="yuvj420p",
        ).path
    )
    data = bytearray(info.path.read_bytes())
    starts = [at for at in range(len(data) - 3) if data[at : at + 3] == b"\xff\xd8\xff"]
    data[starts[11] : starts[13]] = bytes(starts[13] - starts[11])
    info.path.write_bytes(data)
    _, codes = collect(info, CropConfig(source, detection_lines=120, every=1), [Subject("a")])
    good = Valid.DETECTED if source == "detect" else Valid.IMAGE
    assert codes["a"].tolist() == [good] * 11 + [Valid.DECODE_ERROR] * 2 + [good] * 17


def write_crops(folder: Path, numbers, size=(112, 112)):
    folder.mkdir(parents=True)
    for number in numbers:
        image = np.full((size[1], size[0], 3), number % 256, np.uint8)
        Image.fromarray(image).save(folder / f"{number:05d}.jpg", quality=95)


def test_crop_files_belong_to_the_rows_of_their_numbers(tmp_path):
    info = clip(tmp_path, lambda row: place(np.zeros((1, 1, 3)), []), 80)
    write_crops(tmp_path / "crops" / "v", [n for n in range(1, 84) if n not in (4, 5, 70)])
    crops, codes = collect(info, CropConfig("crops"), [Subject("v")], tmp_path / "crops")
    gaps = np.flatnonzero(codes["v"] != Valid.CROPPED)
    assert gaps.tolist() == [3, 4, 69]
    assert set(codes["v"][gaps].tolist()) == {Valid.NO_CROP}
    rows = np.flatnonzero(codes["v"] == Valid.CROPPED)
    np.testing.assert_allclose(crops["v"][rows].mean(axis=(1, 2, 3)), rows + 1, atol=1.5)
    digests, notes = describe_crop_files(
        info, CropConfig("crops"), [Subject("v")], tmp_path / "crops"
    )
    assert len(digests["v"]["crops"]) == 64
    assert notes == [
        f"{tmp_path / 'crops' / 'v'}: 3 crops numbered above the video's 80 frames left out"
    ]


def test_crop_files_of_another_size_are_fitted_and_damaged_ones_are_marked(tmp_path):
    info = clip(tmp_path, lambda row: place(np.zeros((1, 1, 3)), []), 3)
    write_crops(tmp_path / "crops" / "v", [1, 3], size=(90, 90))
    (tmp_path / "crops" / "v" / "00002.jpg").write_bytes(b"not a picture")
    crops, codes = collect(info, CropConfig("crops"), [Subject("v")], tmp_path / "crops")
    assert codes["v"].tolist() == [Valid.CROPPED, Valid.DECODE_ERROR, Valid.CROPPED]
    assert crops["v"][2].mean() == pytest.approx(3, abs=1)


def test_the_digest_of_crop_files_follows_their_contents(tmp_path):
    info = clip(tmp_path, lambda row: place(np.zeros((1, 1, 3)), []), 3)
    config, subjects = CropConfig("crops"), [Subject("v")]
    write_crops(tmp_path / "crops" / "v", [1, 2])
    before, _ = describe_crop_files(info, config, subjects, tmp_path / "crops")
    (tmp_path / "crops" / "v" / "00002.jpg").rename(tmp_path / "crops" / "v" / "00003.jpg")
    after, _ = describe_crop_files(info, config, subjects, tmp_path / "crops")
    assert before != after


def test_crop_folders_that_cannot_be_used_are_refused(tmp_path):
    info = clip(tmp_path, lambda row: place(np.zeros((1, 1, 3)), []), 3)
    folder = tmp_path / "crops"

    def read():
        return list(read_crops(info, CropConfig("crops"), [Subject("v")], folder))

    with pytest.raises(MediaError, match="no such folder of face crops; there must be one per"):
        read()
    (folder / "v").mkdir(parents=True)
    with pytest.raises(MediaError, match=r"holds no image named like 00001\.jpg"):
        read()
    (folder / "v" / "00000.jpg").touch()
    with pytest.raises(MediaError, match=r"00000\.jpg: crops are numbered from 00001"):
        read()
    with pytest.raises(ConfigError, match="source `crops` needs the folder of the crops"):
        list(read_crops(info, CropConfig("crops"), [Subject("v")]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"source": "face"}, "source `face` is none of detect, frame, crops"),
        ({"size": 8}, "size must be at least 16, got 8"),
        ({"lines": 0}, "lines must be at least 16, got 0"),
        ({"detection_lines": 3}, "detection_lines must be at least 16, got 3"),
        ({"min_face": 5}, "min_face must be at least 12, got 5"),
        ({"min_face": 300}, r"min_face \(300\) must not exceed detection_lines \(240\)"),
        ({"margin": -0.1}, "margin must be in 0..2, got -0.1"),
        ({"thresholds": (0.5, 0.5)}, r"three numbers between 0 and 1, got \(0.5, 0.5\)"),
        ({"acquire": 1.0}, "acquire must be in 0..1, got 1.0"),
        ({"patience": 9}, "patience must be in 0..5 seconds, got 9"),
        ({"align": "eyes"}, "align `eyes` is none of box, points"),
        ({"every": 0}, r"every must be in 1..32 frames, got 0"),
        ({"every": 100}, r"every must be in 1..32 frames, got 100"),
        ({"smooth": -0.1}, r"smooth must be in 0..1 seconds, got -0.1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        CropConfig(**options)


def test_a_specification_tells_what_decides_the_pixels():
    assert crop_facts(CropConfig()) == crop_facts(CropConfig())
    others = {
        "size": 96,
        "margin": 0.5,
        "lines": 360,
        "detection_lines": 200,
        "min_face": 20,
        "thresholds": (0.5, 0.6, 0.7),
        "acquire": 0.8,
        "patience": 0.4,
        "every": 1,
        "smooth": 0.0,
        "align": "points",
    }
    assert {"source", *others} == {option.name for option in dataclasses.fields(CropConfig)}
    found = [CropConfig(), *(CropConfig(**{name: value}) for name, value in others.items())]
    assert len({json.dumps(crop_facts(config)) for config in found}) == len(found)
    assert len(crop_facts(CropConfig())["detector"]["onet.pt"]) == 64
    assert crop_facts(CropConfig("crops")) == crop_facts(CropConfig("crops", min_face=50))
    assert crop_facts(CropConfig("frame")) != crop_facts(CropConfig("crops"))
    assert (CropConfig().face_margin, CropConfig("crops").face_margin) == (0.3, 0.0)
    assert CropConfig(align="points", margin=1.0).face_margin == 0.03


def test_a_square_over_the_border_continues_the_edge_pixels():
    image = np.full((40, 60, 3), 50, np.uint8)
    image[:, 0] = 200
    crop = cut_face(whole(image), np.array([-20.0, 10, 20, 30]), margin=0.0, size=40)
    assert (crop[:, :19] == 200).all()
    assert (crop[:, 23:] == 50).all()
    outside = cut_face(whole(image), np.array([-90.0, -90, -60, -60]), margin=0.3, size=16)
    assert (outside == 200).all()


@pytest.mark.parametrize("scale", [0.6, 1.0, 3.3])
@pytest.mark.parametrize("degrees", [0, -25, 140])
def test_points_come_to_their_standard_places_whatever_turn_and_scale(degrees, scale):
    standard = np.array(STANDARD)
    turn = np.exp(1j * np.radians(degrees)) * scale
    moved = turn * ((standard[:, 0] - 56) + 1j * (standard[:, 1] - 56)) + 300.3 + 290.6j
    y, x = np.mgrid[:600, :600] + 0.5
    image = np.zeros((600, 600, 3))
    for at in moved:  # a blob at each point
        far = (x - at.real) ** 2 + (y - at.imag) ** 2
        image += 250 * np.exp(-far / (2 * (3 * scale) ** 2))[..., None]
    points = np.stack([moved.real, moved.imag], axis=1)
    crop = cut_aligned(whole(image.clip(0, 255).astype(np.uint8)), points, size=112)[..., 0].astype(
        float
    )
    y, x = np.mgrid[:112, :112] + 0.5
    for px, py in standard:
        near = crop * ((x - px) ** 2 + (y - py) ** 2 < 8**2)
        centre = (near * x).sum() / near.sum(), (near * y).sum() / near.sum()
        np.testing.assert_allclose(centre, (px, py), atol=0.15)


def test_aligned_crops_of_a_tilted_head_equal_those_of_an_upright_one(tmp_path, portrait):
    config = dataclasses.replace(SMALL, align="points")
    tilted = np.asarray(Image.fromarray(portrait).rotate(15, Image.Resampling.BICUBIC))
    heads = (portrait, tilted)
    crops = [
        collect(
            clip(tmp_path, lambda row, head=head: place(head, [(60, 20)]), 6),
            config,
            [Subject("a")],
        )
        for head in heads
    ]
    plain = [
        collect(
            clip(tmp_path, lambda row, head=head: place(head, [(60, 20)]), 6), SMALL, [Subject("a")]
        )
        for head in heads
    ]
    middle = slice(25, 90)

    def like(pair):
        return alike(pair[0][0]["a"][2][middle, middle], pair[1][0]["a"][2][middle, middle])

    assert like(crops) > 0.85
    assert like(crops) > like(plain) + 0.1


def test_squares_are_cut_at_fractions_of_a_pixel():
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)
    for x in (60.0, 60.25, 60.5):
        crop = cut_face(whole(ramp), np.array([x, 30, x + 40, 70]), margin=0.3, size=26)
        expected = x + 20 - 26 + 2 * np.arange(26) + 0.5  # 52 pixels reduced by two
        assert np.abs(crop[13, :, 0].astype(float) - expected).max() <= 0.76


def test_the_longer_side_decides_and_centres_stay():
    image = np.zeros((100, 100, 3), np.uint8)
    image[45:55, 45:55] = 255
    crop = cut_face(whole(image), np.array([40.0, 30, 60, 70]), margin=0.0, size=40)
    assert (crop[16:24, 16:24] > 250).all()
    assert crop[:10].max() == 0
    assert cut_centre(whole(image), size=50)[25, 25].min() > 250
    assert fit_square(image, size=100) is image


# -- where crops lie, and how they are numbered ----------------------------------------------------


def put(folder, names):
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).write_text(name)


@pytest.mark.parametrize("given", ["cropped_aligned", "."])
def test_crops_lie_in_a_folder_and_in_those_that_it_grew_by(tmp_path, given):
    put(tmp_path / "cropped_aligned/a", ["00001.jpg"])
    put(tmp_path / "cropped_aligned_new_50_vids/b", ["00001.jpg"])
    for item, folder in (("a", "cropped_aligned"), ("b", "cropped_aligned_new_50_vids")):
        assert find_crops(tmp_path / given, item).resolve() == tmp_path / folder / item
    assert find_crops(tmp_path / given, "c") == tmp_path / given / "c"
    put(tmp_path / "cropped_aligned_more/a", ["00001.jpg"])
    with pytest.raises(MediaError, match=r"cropped_aligned/a and .*aligned_more/a both hold crops"):
        find_crops(tmp_path / given, "a")


@pytest.mark.parametrize(
    "names",
    [["00000.jpg", "00001.jpg", "00007.png"], ["0001.jpg", "0002.jpg", "0008.png"], ["1.jpg"]],
)
def test_crops_that_are_numbered_otherwise_are_refused_with_what_renames_them(tmp_path, names):
    put(tmp_path / "v", names)
    with pytest.raises(MediaError, match="rename them: cd ") as refused:
        CropFiles(tmp_path / "v")
    command = str(refused.value).partition("rename them: ")[2]
    subprocess.run(["bash", "-c", command], check=True)
    files = CropFiles(tmp_path / "v").files
    assert list(files) == [1, 2, 8][: len(names)]
    assert [path.read_text() for path in files.values()] == names
