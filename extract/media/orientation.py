"""How decoded pictures are turned and mirrored for display."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer, Type


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a picture: its axes are swapped, then reversed.

    Attributes:
        swap: whether rows become columns.
        flip_x: whether left and right are exchanged, after that.
        flip_y: whether top and bottom are.
    """

    swap: bool = False
    flip_x: bool = False
    flip_y: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Orientation | None:
        """From a frame's display matrix (ISO/IEC 14496-12, 6.2.2); nearest of the eight.

        None where it has none: some streams say it with key frames only.
        """
        # Not `frame.side_data`, which makes frame and data hold each other: frames then stay in
        # memory until Python looks for such circles, some hundred of them.
        container: Any = SideDataContainer
        for data in container(frame):
            if data.type == Type.DISPLAYMATRIX:
                a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5].tolist()
                swap = abs(b) + abs(c) > abs(a) + abs(d)
                return cls(swap, (c if swap else a) < 0, (b if swap else d) < 0)
        return None

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """A picture [H, W, 3] as displayed."""
        if self.swap:
            picture = picture.swapaxes(0, 1)
        picture = picture[:: -1 if self.flip_y else 1, :: -1 if self.flip_x else 1]
        return np.ascontiguousarray(picture)

    def stored(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the displayed picture lies in the decoded one, as parts of the sides."""
        x, y = 1 - x if self.flip_x else x, 1 - y if self.flip_y else y
        return (y, x) if self.swap else (x, y)

    @property
    def mirrored(self) -> bool:
        """Whether a mirror is needed beside a turn."""
        return self.swap ^ self.flip_x ^ self.flip_y

    @property
    def rotation(self) -> int:
        """Degrees clockwise (0, 90, 180, 270) of the turn that follows the mirror, if any.

        The mirror exchanges left and right of the decoded picture.
        """
        if self.swap:
            return 90 if self.flip_x else 270
        return 180 if self.flip_y else 0
