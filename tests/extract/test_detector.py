"""The batched detector finds what facenet-pytorch's own form finds, alone or beside others."""

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from PIL import Image
from torch.nn.functional import interpolate
from torch.utils._python_dispatch import TorchDispatchMode

from vapipe.extract.faces import mtcnn
from vapipe.extract.faces.area_means import area_lookups, area_means, area_sums
from vapipe.extract.faces.boxes import overlap
from vapipe.extract.faces.detector import FaceDetector

THRESHOLDS = (0.6, 0.7, 0.7)


@pytest.fixture(scope="module")
def detector():
    return FaceDetector(min_face=30, thresholds=THRESHOLDS, device="cpu")


@pytest.fixture(scope="module")
def pictures(portrait):
    """[6, 160, 300, 3]: one face, two, one at the border, turned, none, noise."""
    rng = np.random.default_rng(0)
    made = np.full((6, 160, 300, 3), 60, np.uint8)
    made[0, 20:140, 90:210] = portrait
    made[1, 20:140, 10:130], made[1, 30:150, 160:280] = portrait, portrait[:, ::-1]
    made[2, 0:120, 0:90] = portrait[:, 30:]
    made[3, 20:140, 90:210] = np.asarray(Image.fromarray(portrait).rotate(25))
    made[5] = rng.integers(0, 256, made[5].shape)
    return made


def same(one, other, *, atol=1e-4):
    np.testing.assert_allclose(one.boxes, other.boxes, atol=atol)
    np.testing.assert_allclose(one.scores, other.scores, atol=atol)


def test_it_finds_what_facenet_pytorch_finds(detector, pictures):
    mtcnn = MTCNN(min_face_size=30, thresholds=list(THRESHOLDS), keep_all=True)
    counts = []
    for picture, found in zip(pictures, detector.detect(pictures), strict=True):
        boxes, scores, points = mtcnn.detect(picture, landmarks=True)
        counts.append(len(found.boxes))
        assert counts[-1] == (0 if boxes is None else len(boxes))
        if counts[-1]:
            theirs = np.concatenate([boxes, points.reshape(len(boxes), 10)], axis=1).astype(float)
            np.testing.assert_allclose(found.boxes * 160, theirs, atol=0.01)
            np.testing.assert_allclose(found.scores, scores.astype(float), atol=1e-4)
    assert counts[:3] == [1, 2, 1]
    assert counts[4:] == [0, 0]


def test_pictures_alone_and_in_any_order_give_the_same(detector, pictures):
    many = np.concatenate([pictures, pictures[:5]])  # more than go into one batch
    together = detector.detect(many)
    order = np.random.default_rng(1).permutation(len(many))
    for place, found in zip(order, detector.detect(many[order]), strict=True):
        same(found, together[place])
    for picture, found in zip(many, together, strict=True):
        same(found, detector.detect([picture])[0])


def test_the_same_bits_every_time(detector, pictures):
    for one, other in zip(detector.detect(pictures), detector.detect(pictures), strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("shape", [(1, 1), (12, 12), (20, 200), (30, 30), (31, 33), (64, 500)])
def test_pictures_of_any_size_and_of_one_colour_have_no_face(detector, shape):
    for level in (0, 128, 255):
        (found,) = detector.detect([np.full((*shape, 3), level, np.uint8)])
        assert found.boxes.shape == (0, 14)
        assert found.scores.shape == (0,)
    assert detector.detect([]) == []


def test_a_look_at_the_place_found_finds_it_again(detector, pictures):
    found = detector.detect(pictures)
    places = [(picture, box) for picture, f in enumerate(found) for box in f.boxes]
    images, boxes = [pictures[picture] for picture, _ in places], [box for _, box in places]
    again = detector.refine(images, boxes)
    assert (again.scores > 0.9).all()
    assert min(overlap(*pair) for pair in zip(again.boxes, boxes, strict=True)) > 0.8
    assert np.abs(again.boxes[:, 4:] - np.stack(boxes)[:, 4:]).max() < 0.05
    for image, box, row in zip(images, boxes, again.boxes, strict=True):
        np.testing.assert_allclose(detector.refine([image], [box]).boxes[0], row, atol=1e-4)
    wider = [np.pad(image, ((0, 0), (0, 40), (0, 0))) for image in images]  # of other shapes, too
    mixed = detector.refine([*images, *wider], [*boxes, *boxes])
    np.testing.assert_allclose(mixed.boxes[: len(boxes)], again.boxes, atol=1e-4)


def test_means_are_those_of_area_interpolation():
    rng = np.random.default_rng(2)
    images = torch.from_numpy(rng.integers(0, 256, (2, 40, 61, 3), np.uint8))
    boxes = torch.tensor([[0, 0, 61, 40], [3, 5, 30, 7], [60, 39, 61, 40]], dtype=torch.int32)
    picture = torch.tensor([[0], [1], [0]], dtype=torch.int32)
    lookups, areas = area_lookups(boxes, (9, 24), 62, picture * (41 * 62))
    means = area_means(area_sums(images).flatten(0, 2)[None], lookups, areas)[0]
    for number, (mean, (x0, y0, x1, y1)) in enumerate(zip(means, boxes.tolist(), strict=True)):
        part = images[picture[number, 0], y0:y1, x0:x1].permute(2, 0, 1)[None].double()
        true = (interpolate(part, size=(9, 24), mode="area")[0] - 127.5) / 128
        np.testing.assert_allclose(mean.T.reshape(3, 9, 24), true, atol=1e-6)


class Calls(TorchDispatchMode):
    """Counts operator calls, and those for which a GPU would be waited for."""

    waits = ("aten.nonzero", "aten._local_scalar_dense", "torchvision.nms", "aten.masked_select")

    def __init__(self):
        super().__init__()
        self.all = self.waiting = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.all += 1
        masks = [a for a in args if isinstance(a, (list, tuple))]
        by_mask = str(func).startswith("aten.index.") and any(
            isinstance(m, torch.Tensor) and m.dtype == torch.bool for m in masks[0]
        )
        self.waiting += by_mask or str(func).startswith(self.waits)
        return func(*args, **(kwargs or {}))


def test_a_search_waits_five_times_and_calls_few_operators_for_any_number_of_pictures(
    detector, pictures, monkeypatch
):
    monkeypatch.setattr(mtcnn, "_AT_ONCE", {})  # as on a GPU, where parts need not fit into a cache
    for count in (1, 6, 8):
        batch = np.concatenate([pictures, pictures])[:count]
        detector.detect(batch)  # what is made once
        with Calls() as calls:
            detector.detect(batch)
        assert calls.waiting == 5  # and the copy of what is found
        assert calls.all <= 400
    face = detector.detect(pictures[:1])[0].boxes[0]
    for count in (1, 8):
        with Calls() as calls:
            detector.refine([pictures[0]] * count, [face] * count)  # two looks
        assert calls.waiting == 0  # but for the copies
        assert calls.all <= 250
