"""Finds faces in single images with facenet-pytorch's MTCNN. Knows nothing of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

NETWORKS = ("pnet.pt", "rnet.pt", "onet.pt")  # the detector's weights
FACE = 14  # numbers per face: the box's 4, then x, y of eyes, nose and corners of the mouth
_FIELD = 48  # side of the third network's input
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
    """MTCNN on images of any size (Zhang et al. 2016; facenet-pytorch's weights)."""

    def __init__(
        self,
        *,
        min_face: int,
        thresholds: tuple[float, float, float],
        device: torch.device | str,
    ) -> None:
        """Load the three networks.

        Args:
            min_face: smallest face side looked for, in pixels of the images given.
            thresholds: scores that a face needs in the three stages.
            device: torch device.
        """
        from facenet_pytorch import MTCNN  # takes seconds, which listing and planning need not

        self._min_face = min_face
        self._device = torch.device(device)
        self._mtcnn = MTCNN(
            min_face_size=min_face,
            thresholds=list(thresholds),
            keep_all=True,
            device=self._device,
        ).eval()
        # Its max-pooling takes most of the time in the default layout, little in this one.
        for network in (self._mtcnn.pnet, self._mtcnn.rnet, self._mtcnn.onet):
            network.to(memory_format=torch.channels_last)

    def detect(self, image: np.ndarray) -> Faces:
        """Find the faces of an image [h, w, 3] uint8 RGB."""
        height, width = image.shape[:2]
        if min(height, width) < self._min_face:  # no face fits in, and MTCNN would fail
            return NO_FACES
        boxes, scores, points = self._mtcnn.detect(image, landmarks=True)
        if boxes is None:
            return NO_FACES
        faces = np.concatenate([boxes, points.reshape(len(boxes), -1)], axis=1).astype(np.float64)
        proper = (faces[:, 2:4] > faces[:, :2]).all(axis=1)
        return Faces(faces[proper] / height, np.asarray(scores, np.float64)[proper])

    @torch.inference_mode()
    def refine(self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray]) -> Faces:
        """Look again where faces are expected: only the third network, a twentieth of the cost.

        Args:
            images: [h, w, 3] uint8 RGB, one per box.
            boxes: [4 or more] expected places in units of their image's height.

        Returns:
            One face per box; those that are none have low scores.
        """
        squares = [_square(box[:4] * len(im)) for im, box in zip(images, boxes, strict=True)]
        crops = [self._crop(im, square) for im, square in zip(images, squares, strict=True)]
        x = (torch.cat(crops) - 127.5) * 0.0078125  # [n, 3, 48, 48]
        shift, points, chance = (
            out.cpu().numpy().astype(np.float64) for out in self._mtcnn.onet(x)
        )  # [n, 4], [n, 10] all x before all y, [n, 2]
        low = np.stack(squares)[:, :2]
        sides = np.stack(squares)[:, 2:] - low + 1
        # The same arithmetic as behind the detector's own third stage.
        refined = np.stack(squares) + shift * np.tile(sides, 2)
        marks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * sides[:, None] + low[:, None] - 1
        faces = np.concatenate([refined, marks.reshape(-1, 10)], axis=1)
        heights = np.array([len(image) for image in images], np.float64)
        proper = (faces[:, 2:4] > faces[:, :2]).all(axis=1)
        return Faces(faces / heights[:, None], np.where(proper, chance[:, 1], 0.0))

    def _crop(self, image: np.ndarray, square: np.ndarray) -> torch.Tensor:
        """A square of an image as [1, 3, 48, 48] in 0..255; what lies outside is left out."""
        height, width = image.shape[:2]
        x0, y0, x1, y1 = np.trunc(square).astype(int)
        left, top = min(max(x0, 1), width) - 1, min(max(y0, 1), height) - 1
        right, bottom = max(min(x1, width), left + 1), max(min(y1, height), top + 1)
        pixels = torch.from_numpy(image[top:bottom, left:right]).to(self._device)
        pixels = pixels.permute(2, 0, 1)[None].float()
        return functional.interpolate(pixels, size=(_FIELD, _FIELD), mode="area")


def _square(box: np.ndarray) -> np.ndarray:
    """The square around the centre of a box [4] that the third network is to be given."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]).max() / 2 * _TIGHT
    return np.concatenate([centre - half, centre + half])
