"""MTCNN's three networks over batches of pictures (Zhang et al. 2016; facenet-pytorch's weights).

Gives the places and scores of facenet-pytorch's own form, which takes scales and boxes one by one.
Everything stays on the device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ...device_faults import Batches
from ...numerics import inferring
from .area_means import area_lookups, area_means, area_sums

_FACTOR = 0.709  # from scale to scale
_CELL, _STEP = 12, 2  # the first network's field and step, in pixels of a scale
_FIELDS = (24, 48)  # side of the second and third network's input
_NEAR = (0.5, 0.7)  # overlaps above which the less sure box goes: at one scale, in one picture
_AT_ONCE = {"cpu": 64 * 24 * 24}  # pixels for a network at a time: what a core's cache holds
_AT_ONCE_ELSEWHERE = 1024 * 24 * 24

_SEARCHED = 8  # pictures on the device at a time, and their pixels
_PIXELS = 1 << 20
_LOOKED = 64  # images for the third network alone on the device at a time

_Network = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
_Boxes = tuple[torch.Tensor, torch.Tensor]  # picture [n] int64; [n, 4] in pixels


class Cascade:
    """Finds faces on the device of its networks; pictures and answers are arrays of the host."""

    def __init__(
        self, *, min_face: int, thresholds: tuple[float, float, float], device: torch.device
    ) -> None:
        """Load the three networks.

        Args:
            min_face: smallest face side looked for, in pixels.
            thresholds: scores needed in the three stages; the last one is the caller's affair.
            device: torch device.
        """
        from facenet_pytorch.models.mtcnn import ONet, PNet, RNet  # takes a second

        self._finest, self._thresholds, self._device = _CELL / min_face, thresholds, device
        # Max-pooling takes most of the time in the default layout, little in this one.
        self._pnet, self._rnet, self._onet = (
            network().requires_grad_(False).to(device, memory_format=torch.channels_last)
            for network in (PNet, RNet, ONet)
        )
        self._pyramid: _Pyramid | None = None
        self._held = _SEARCHED

    def search(self, images: np.ndarray) -> np.ndarray:
        """Search pictures [N, H, W, 3] uint8. The device is waited for six times per batch.

        Returns:
            [n, 20] float32: picture, square, and what `look` says of it.

        Raises:
            DeviceError: the device's memory does not even hold one.
        """
        count = max(1, min(self._held, _PIXELS // (images.shape[1] * images.shape[2])))
        batches = Batches("face detector", count, str(self._device))
        found = batches.map(self._search, images, np.arange(len(images)))
        if batches.most < count:  # it ran out of memory, which stays so
            self._held = batches.most
        return np.concatenate(found)

    def look(self, images: np.ndarray, sides: np.ndarray) -> np.ndarray:
        """The third network on images [n, H, W, 3] uint8, of which width, height [n, 2] count.

        Returns:
            [n, 15] float32: shift of the image's corners (4) and the landmarks (x, y of 5) as parts
            of its sides, and the score.

        Raises:
            DeviceError: the device's memory does not even hold one.
        """
        batches = Batches("face detector", _LOOKED, str(self._device))
        return np.concatenate(batches.map(self._look_at, images, sides))

    def _search(self, images: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        with inferring():
            sums = area_sums(torch.from_numpy(images).to(self._device))
            pyramid = self._pyramid_of(images.shape[1], images.shape[2])
            found: np.ndarray = self._find(sums, pyramid).cpu().numpy()
        found[:, 0] += numbers[0]
        return found

    def _look_at(self, images: np.ndarray, sides: np.ndarray) -> np.ndarray:
        with inferring():
            sums = area_sums(torch.from_numpy(images).to(self._device))
            pixels = torch.from_numpy(np.concatenate([np.zeros_like(sides), sides], axis=1))
            picture = torch.arange(len(images), device=self._device)
            found: np.ndarray = self._look(sums, picture, pixels.to(self._device)).cpu().numpy()
        return found

    def _pyramid_of(self, height: int, width: int) -> _Pyramid:
        if self._pyramid is None or self._pyramid.shape != (height, width):
            self._pyramid = _Pyramid.of((height, width), self._finest, self._device)
        return self._pyramid

    def _find(self, sums: torch.Tensor, pyramid: _Pyramid) -> torch.Tensor:
        picture, squares = self._propose(sums, pyramid)
        if len(squares):
            picture, squares = self._filter(sums, pyramid.limits, picture, squares)
        if not len(squares):
            return squares.new_zeros(0, 20)
        looks = self._look(sums, picture, inside(squares, pyramid.limits))
        return torch.cat([picture[:, None], squares, looks], dim=1)

    def _look(
        self, sums: torch.Tensor, picture: torch.Tensor, pixels: torch.Tensor
    ) -> torch.Tensor:
        shift, points, chance = _apply(self._onet, sums, picture, pixels, _FIELDS[1])
        points = points.unflatten(1, (2, 5)).transpose(1, 2).flatten(1)  # was all x before all y
        return torch.cat([shift, points, chance[:, 1:]], dim=1)

    def _propose(self, sums: torch.Tensor, pyramid: _Pyramid) -> _Boxes:
        """What may be faces, by the first network at all scales."""
        pixels = area_means(sums.flatten(1, 2), pyramid.lookups, pyramid.areas)  # [N, P, 3]
        outputs = []
        areas = [h * w for h, w in pyramid.sizes]
        for scale, size in zip(pixels.split(areas, dim=1), pyramid.sizes, strict=True):
            shift, chance = self._pnet(scale.unflatten(1, size).permute(0, 3, 1, 2))
            outputs.append(torch.cat([chance[:, 1:], shift], dim=1).flatten(2))
        output = torch.cat(outputs, dim=2)  # [N, 5, cells]
        picture, cell = (output[:, 0] >= self._thresholds[0]).nonzero().unbind(1)
        found, boxes = output[picture, :, cell], pyramid.boxes[cell]
        score, shift = found[:, 0], found[:, 1:]
        group = picture * len(pyramid.sizes) + pyramid.scales[cell]
        kept = _suppress(boxes, score, group, _NEAR[0])
        kept = kept[_suppress(boxes[kept], score[kept], picture[kept], _NEAR[1])]
        return picture[kept], _moved(boxes[kept], shift[kept], extra=0)

    def _filter(
        self, sums: torch.Tensor, limits: torch.Tensor, picture: torch.Tensor, boxes: torch.Tensor
    ) -> _Boxes:
        """Those that the second network takes for faces, at better places."""
        shift, chance = _apply(self._rnet, sums, picture, inside(boxes, limits), _FIELDS[0])
        kept = (chance[:, 1] > self._thresholds[1]).nonzero()[:, 0]
        kept = kept[_suppress(boxes[kept], chance[kept, 1], picture[kept], _NEAR[1])]
        return picture[kept], _moved(boxes[kept], shift[kept], extra=1)


@dataclass(frozen=True, eq=False)
class _Pyramid:
    """What the first network needs of pictures of one shape at all scales.

    Attributes:
        shape: height and width of the pictures.
        limits: [2] width and height.
        sizes: height and width at each scale; P pixels in all.
        lookups, areas: of the P pixels, see `area_lookups`.
        boxes: [C, 4] field of every cell of the network's output, in pixels of the picture.
        scales: [C] index of the cell's scale.
    """

    shape: tuple[int, int]
    limits: torch.Tensor
    sizes: list[tuple[int, int]]
    lookups: torch.Tensor
    areas: torch.Tensor
    boxes: torch.Tensor
    scales: torch.Tensor

    @classmethod
    def of(cls, shape: tuple[int, int], finest: float, device: torch.device) -> _Pyramid:
        """Scales from `finest` down to that at which the shorter side fills one cell."""
        height, width = shape
        scales = []
        while min(shape) * finest >= _CELL:
            scales.append(finest)
            finest *= _FACTOR
        sizes = [(int(height * scale + 1), int(width * scale + 1)) for scale in scales]
        whole = torch.tensor([[0, 0, width, height]], dtype=torch.int32)
        pixels = [area_lookups(whole, size, width + 1) for size in sizes]
        boxes = []
        for scale, size in zip(scales, sizes, strict=True):
            # Behind the network's four convolutions and its pooling of two by two.
            down, right = (torch.arange((n - 1) // 2 - 4) for n in size)
            corner = torch.cartesian_prod(down, right).flip(1).float() * _STEP
            field = torch.cat([corner + 1, corner + _CELL], dim=1)
            boxes.append((field / scale).floor())
        cells = torch.tensor([len(fields) for fields in boxes])
        return cls(
            shape,
            torch.tensor([width, height], dtype=torch.int32, device=device),
            sizes,
            torch.cat([lookups[:, 0] for lookups, _ in pixels], dim=1).to(device),
            torch.cat([areas[0] for _, areas in pixels]).to(device),
            torch.cat(boxes).to(device),
            torch.arange(len(scales)).repeat_interleave(cells).to(device),
        )


def inside(boxes: torch.Tensor, limits: torch.Tensor) -> torch.Tensor:
    """The pixels [n, 4] int32 of boxes [n, 4] that are in pictures of limits width, height [2]."""
    low = boxes[:, :2].int().clamp(min=1).minimum(limits) - 1  # MTCNN's pixels count from one
    high = boxes[:, 2:].int().minimum(limits).maximum(low + 1)
    return torch.cat([low, high], dim=1)


def _apply(
    network: _Network, sums: torch.Tensor, picture: torch.Tensor, pixels: torch.Tensor, side: int
) -> list[torch.Tensor]:
    """A network on squares of pixels [n, 4] of pictures [n]."""
    _, height, width, _ = sums.shape
    flat, begin = sums.flatten(0, 2)[None], picture.int()[:, None] * (height * width)
    count = _AT_ONCE.get(sums.device.type, _AT_ONCE_ELSEWHERE) // side**2
    outputs = []
    for part in map(slice, range(0, len(pixels), count), range(count, len(pixels) + count, count)):
        lookups, areas = area_lookups(pixels[part], (side, side), width, begin[part])
        x = area_means(flat, lookups, areas)[0].unflatten(1, (side, side))
        outputs.append(network(x.permute(0, 3, 1, 2)))
    return [torch.cat(parts) for parts in zip(*outputs, strict=True)]


def _suppress(
    boxes: torch.Tensor, scores: torch.Tensor, group: torch.Tensor, near: float
) -> torch.Tensor:
    """Indices of the surest boxes of each group, in order of scores."""
    from torchvision.ops import nms

    if not len(boxes):
        return group
    return nms(boxes + group[:, None] * (2 * boxes.abs().max()), scores, near)


def _moved(boxes: torch.Tensor, shift: torch.Tensor, *, extra: int) -> torch.Tensor:
    """The squares around boxes whose corners are moved by parts of their sides."""
    side = boxes[:, 2:] - boxes[:, :2] + extra
    moved = boxes + shift * side.repeat(1, 2)
    low, side = moved[:, :2], moved[:, 2:] - moved[:, :2]
    longer = side.amax(dim=1, keepdim=True)
    low = low + (side - longer) * 0.5
    return torch.cat([low, low + longer], dim=1)
