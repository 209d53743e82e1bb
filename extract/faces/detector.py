"""Finds faces in single images, many at a time, with MTCNN. Knows nothing of time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from .boxes import area
from .mtcnn import Cascade, inside

FACE = 14  # numbers per face: the box's 4, then x, y of eyes, nose and corners of the mouth
_SAME = 0.7  # part of the smaller box that two boxes of one face share
# The third network is given squares this much smaller than its own boxes: among 0.88 to 1.1, boxes
# then agree best with those of all three networks, and faces are lost least.
_TIGHT = 0.94
_WORTH = 0.3  # score of a first look that a second one is worth


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


class Networks(Protocol):
    """What a detector needs of MTCNN's networks, wherever they are: see `mtcnn.Cascade`."""

    def search(self, images: np.ndarray) -> np.ndarray: ...  # noqa: D102

    def look(self, images: np.ndarray, sides: np.ndarray) -> np.ndarray: ...  # noqa: D102


class FaceDetector:
    """MTCNN on images of any size; float32 on every device."""

    def __init__(
        self,
        *,
        min_face: int,
        thresholds: tuple[float, float, float],
        device: torch.device | str,
        make_cascade: Callable[..., Networks] = Cascade,
    ) -> None:
        """Load the networks.

        Args:
            min_face: smallest face side looked for, in pixels of the images given.
            thresholds: scores that a face needs in the three stages.
            device: torch device.
            make_cascade: in place of networks in this process.
        """
        self._min_face = min_face
        self._sure = thresholds[2]
        self._cascade = make_cascade(
            min_face=min_face, thresholds=thresholds, device=torch.device(device)
        )

    def detect(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of images [h, w, 3] uint8 RGB of one shape, the largest first."""
        if not len(images) or min(images[0].shape[:2]) < self._min_face:  # no face fits in
            return [NO_FACES] * len(images)
        rows = self._cascade.search(np.stack(images))
        faces, scores = _faces(rows[:, 1:5], rows[:, 5:])
        found = []
        for picture, image in enumerate(images):
            mine = np.flatnonzero((rows[:, 0] == picture) & (scores > self._sure))
            mine = mine[_distinct(faces[mine], scores[mine])]
            found.append(Faces(faces[mine] / len(image), scores[mine]))
        return found

    def refine(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> Faces:
        """Look again where faces are expected: only the third network, a tenth of the cost.

        The mean of two looks, the second where the first saw it: boxes are steadier, scores truer.

        Args:
            images: [h, w, 3] uint8 RGB, one per box.
            boxes: [4 or more] expected places in units of their image's height.

        Returns:
            One face per box; those that are none have low scores.
        """
        first = self._look(images, np.stack([box[:4] for box in boxes]))
        worth = np.flatnonzero(first.scores >= _WORTH)
        if not len(worth):
            return first
        second = self._look([images[index] for index in worth.tolist()], first.boxes[worth])
        first.boxes[worth] = (first.boxes[worth] + second.boxes) / 2
        first.scores[worth] = (first.scores[worth] + second.scores) / 2
        return first

    def _look(self, images: Sequence[np.ndarray], boxes: np.ndarray) -> Faces:
        """What the third network says of boxes [n, 4 or more], one per image."""
        heights = np.array([[len(image)] for image in images], np.float64)
        squares = _squares(boxes[:, :4] * heights)
        limits = torch.tensor([[image.shape[1], image.shape[0]] for image in images]).int()
        pixels = inside(torch.from_numpy(squares), limits).numpy()
        sides = pixels[:, 2:] - pixels[:, :2]
        width, height = sides.max(axis=0)
        parts = np.zeros((len(images), height, width, 3), np.uint8)  # only these go to the device
        for part, image, (x0, y0, x1, y1) in zip(parts, images, pixels.tolist(), strict=True):
            part[: y1 - y0, : x1 - x0] = image[y0:y1, x0:x1]
        faces, scores = _faces(squares, self._cascade.look(parts, sides))
        return Faces(faces / heights, scores)


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
