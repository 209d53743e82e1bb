"""Finds faces in batches of small images with facenet-pytorch's MTCNN. Knows nothing of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from facenet_pytorch import MTCNN

NETWORKS = ("pnet.pt", "rnet.pt", "onet.pt")  # the detector's weights


@dataclass(frozen=True, eq=False)
class Faces:
    """The faces of one image.

    Attributes:
        boxes: [n, 4] float64 x0, y0, x1, y1 in units of the image's height.
        scores: [n] float64, how sure the detector is, 0..1.
    """

    boxes: np.ndarray
    scores: np.ndarray


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
        self._min_face = min_face
        self._mtcnn = MTCNN(
            min_face_size=min_face,
            thresholds=list(thresholds),
            keep_all=True,
            device=torch.device(device),
        ).eval()
        # Its max-pooling takes most of the time in the default layout, little in this one.
        for network in (self._mtcnn.pnet, self._mtcnn.rnet, self._mtcnn.onet):
            network.to(memory_format=torch.channels_last)

    def detect(self, images: Sequence[np.ndarray]) -> list[Faces]:
        """Find the faces of images [h, w, 3] uint8 RGB; equal sizes in a row run together."""
        found: list[Faces] = []
        for _, group in groupby(images, key=lambda image: image.shape):
            found += self._detect_equal(np.stack(list(group)))
        return found

    def _detect_equal(self, images: np.ndarray) -> list[Faces]:
        height, width = images.shape[1:3]
        if min(height, width) < self._min_face:  # no face fits in, and MTCNN would fail
            return [Faces(np.zeros((0, 4)), np.zeros(0)) for _ in images]
        found = []
        for boxes, scores in zip(*self._mtcnn.detect(images), strict=True):
            # Without a face the detector gives None and [None].
            plain = np.asarray([] if boxes is None else boxes, np.float64).reshape(-1, 4)
            sure = np.asarray([] if boxes is None else scores, np.float64)
            proper = (plain[:, 2:] > plain[:, :2]).all(axis=1)
            found.append(Faces(plain[proper] / height, sure[proper]))
        return found
