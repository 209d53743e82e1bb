"""Finds faces in single images, many at a time, with MTCNN. Knows nothing of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...device_faults import Batches
from ...numerics import inferring
from .area_means import area_sums
from .boxes import area
from .mtcnn import Cascade, inside

FACE = 14  # numbers per face: the box's 4, then x, y of eyes, nose and corners of the mouth
_SEARCHED = 8  # pictures on the device at a time, and their pixels
_PIXELS = 1 << 20
_REFINED = 64  # boxes whose surroundings are there at a time
_SAME = 0.7  # part of the smaller box that two boxes of one face share
# The third network is given squares this much smaller than its own boxes: among 0.88 to 1.1, boxes
# then agree best with those of all three networks, and faces are lost least.
_TIGHT = 0.94


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces of one image.

    Attributes:
        boxes: [n, 14] float64 in units of the image's height: x0, y0, x1, y1, then x, y of the
            left and right eye, the nose, the left and right corner of the mouth, as seen.
        scores: [n] float64, how sure the detector is, 0..1.
    """

    boxes: np.ndarray
    scores: np.ndarray


NO_FACES = Faces(np.zeros((0, FACE)), np.zeros(0))


class FaceDetector:
    """MTCNN on images of any size; float32 on every device."""

    def __init__(
        self,
        *,
        min_face: int,
        thresholds: tuple[float, float, float],
        device: torch.device | str,
    ) -> None:
        """Load the networks.

        Args:
            min_face: smallest face side looked for, in pixels of the images given.
            thresholds: scores that a face needs in the three stages.
            device: torch device.
        """
        self._min_face, self._held = min_face, _SEARCHED
        self._sure = thresholds[2]
        self._device = torch.device(device)
        self._cascade = Cascade(min_face=min_face, thresholds=thresholds, device=self._device)

    def detect(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of images [h, w, 3] uint8 RGB of one shape, the largest first."""
        if not len(images) or min(images[0].shape[:2]) < self._min_face:  # no face fits in
            return [NO_FACES] * len(images)
        height, width = images[0].shape[:2]
        count = max(1, min(_SEARCHED, _PIXELS // (height * width)))
        batches = Batches("face detector", min(count, self._held), str(self._device))
        found = batches.map(self._search, images)
        self._held = min(self._held, batches.most) if batches.most < count else self._held
        return [faces for part in found for faces in part]

    def _search(self, images: Sequence[np.ndarray]) -> list[Faces]:
        with inferring():
            pixels = torch.from_numpy(np.stack(images)).to(self._device)
            rows = self._cascade.find(pixels).cpu().numpy()
        faces, scores = _faces(rows[:, 1:5], rows[:, 5:])
        found = []
        for picture, image in enumerate(images):
            mine = np.flatnonzero((rows[:, 0] == picture) & (scores > self._sure))
            mine = mine[_distinct(faces[mine], scores[mine])]
            found.append(Faces(faces[mine] / len(image), scores[mine]))
        return found

    def refine(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> Faces:
        """Look again where faces are expected: only the third network, a twentieth of the cost.

        Args:
            images: [h, w, 3] uint8 RGB, one per box.
            boxes: [4 or more] expected places in units of their image's height.

        Returns:
            One face per box; those that are none have low scores.
        """
        heights = np.array([len(image) for image in images], np.float64)
        squares = _squares(np.stack([box[:4] for box in boxes]) * heights[:, None])
        limits = torch.tensor([[image.shape[1], image.shape[0]] for image in images]).int()
        pixels = inside(torch.from_numpy(squares), limits)
        looks = Batches("face detector", _REFINED, str(self._device)).map(
            self._look, images, pixels
        )
        faces, scores = _faces(squares, np.concatenate(looks))
        return Faces(faces / heights[:, None], scores)

    def _look(self, images: Sequence[np.ndarray], pixels: torch.Tensor) -> np.ndarray:
        """What the third network says [n, 15] of pixels [n, 4], one square per image."""
        sides = pixels[:, 2:] - pixels[:, :2]
        width, height = sides.amax(dim=0).tolist()
        squares = np.zeros((len(images), height, width, 3), np.uint8)  # only these are uploaded
        for square, image, (x0, y0, x1, y1) in zip(squares, images, pixels.tolist(), strict=True):
            square[: y1 - y0, : x1 - x0] = image[y0:y1, x0:x1]
        with inferring():
            sums = area_sums(torch.from_numpy(squares).to(self._device))
            places = torch.cat([torch.zeros_like(sides), sides], dim=1).to(self._device)
            picture = torch.arange(len(images), device=self._device)
            return self._cascade.look(sums, picture, places).cpu().numpy()


def _squares(boxes: np.ndarray) -> np.ndarray:
    """The squares [n, 4] around the centres of boxes that the third network is to be given."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2 * _TIGHT
    return np.concatenate([centre - half, centre + half], axis=1)


def _faces(squares: np.ndarray, looks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces [n, 14] in pixels and scores [n] from what the third network says of squares."""
    looks = looks.astype(np.float64)
    low, side = squares[:, :2], squares[:, 2:] - squares[:, :2] + 1
    boxes = squares + looks[:, :4] * np.tile(side, 2)
    points = looks[:, 4:14] * np.tile(side, 5) + np.tile(low, 5) - 1
    proper = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
    return np.concatenate([boxes, points], axis=1), np.where(proper, looks[:, 14], 0.0)


def _distinct(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Indices of the surest of boxes that share most of the smaller one; the largest first."""
    kept: list[int] = []
    sizes = np.prod(boxes[:, 2:4] - boxes[:, :2] + 1, axis=1)
    for index in np.argsort(-scores, kind="stable"):
        low = np.maximum(boxes[index, :2], boxes[kept, :2])
        high = np.minimum(boxes[index, 2:4], boxes[kept, 2:4])
        shared = np.prod(np.clip(high - low + 1, 0, None), axis=1)
        if (shared <= _SAME * np.minimum(sizes[index], sizes[kept])).all():
            kept.append(index)
    return np.array(sorted(kept, key=lambda index: -area(boxes[index])), np.int64)
