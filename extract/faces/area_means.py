"""Parts of pictures reduced to small sizes by averaging, any number of them at once.

Averages are over the pixels of `interpolate(mode="area")` and exact: differences of sums of
everything above and to the left, four per pixel and channel, whatever the size of the part.
"""

from __future__ import annotations

import torch
from torch.nn import functional


def area_sums(images: torch.Tensor) -> torch.Tensor:
    """Sums [N, H + 1, W + 1, 3] int32 of what lies above and left, of [N, H, W, 3] uint8."""
    padded = functional.pad(images, (0, 0, 1, 0, 1, 0))
    return padded.cumsum(2, dtype=torch.int32).cumsum(1, dtype=torch.int32)


def area_lookups(
    boxes: torch.Tensor, size: tuple[int, int], row: int, begin: torch.Tensor | int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Where the pixels of boxes begin and end.

    Args:
        boxes: [n, 4] int32, left, top, right, bottom.
        size: (h, w) to which they are reduced.
        row: sums per row, W + 1.
        begin: [n] where the sums of the boxes' pictures begin.

    Returns:
        Indices [4, n, h * w] int32 of sums; how many pixels are averaged [n, h * w].
    """
    left, top, right, bottom = boxes.unsqueeze(2).unbind(1)  # [n, 1] each
    y0, y1 = _bins(top, bottom, size[0])
    x0, x1 = _bins(left, right, size[1])
    y, x = torch.stack([y1, y0]) * row + begin, torch.stack([x1, x0])  # [2, n, h], [2, n, w]
    lookups = y[:, None, :, :, None] + x[None, :, :, None, :]  # [2, 2, n, h, w]
    areas = (y1 - y0)[:, :, None] * (x1 - x0)[:, None, :]
    return lookups.flatten(3).flatten(0, 1), areas.flatten(1)


def _bins(low: torch.Tensor, high: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """First pixels of `count` parts between low and high [n, 1], and those behind; [n, count]."""
    step = torch.arange(count, dtype=low.dtype, device=low.device)
    length = high - low
    return low + step * length // count, low + ((step + 1) * length + count - 1) // count


def area_means(sums: torch.Tensor, lookups: torch.Tensor, areas: torch.Tensor) -> torch.Tensor:
    """Averages as MTCNN reads them, -1 to 1.

    Args:
        sums: [N, S, 3] of N pictures.
        lookups: [4, ...] indices into S; areas: [...].

    Returns:
        [N, ..., 3] float32.
    """
    ends = sums.index_select(1, lookups.flatten()).unflatten(1, lookups.shape)
    right, left = (ends[:, :2] - ends[:, 2:]).unbind(1)
    return ((right - left) / areas[..., None] - 127.5) * 0.0078125
