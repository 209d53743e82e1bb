"""Augmented views of crops: what training may see in place of the plain crop.

The papers train on random 40-pixel squares of 48-pixel crops and validate on the centre one; a
frozen cache holds a few such views as streams of their own, `NAME~VIEW`, beside `NAME`.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError

PART = 40 / 48  # side of a view as a part of the crop's side
_RANDOM = re.compile(r"random(\d+)")


@dataclass(frozen=True)
class View:
    """A fixed way to look at the crops of an item.

    Attributes:
        name: `whole` (the crop as it is), `centre`, `flip` (the centre, mirrored), or `randomN`:
            a square at a place, mirrored or not, that the item's id and N decide.
    """

    name: str = "whole"

    def __post_init__(self) -> None:
        """Refuse unknown names."""
        if self.name not in ("whole", "centre", "flip") and not _RANDOM.fullmatch(self.name):
            raise ConfigError(
                f"no view is called `{self.name}`; there are whole, centre, flip, random1, "
                "random2 ..."
            )

    def apply(self, crops: np.ndarray, item: str) -> np.ndarray:
        """Cut the view out of crops [n, S, S, 3]; [n, S', S', 3], the same place in all."""
        if self.name == "whole":
            return crops
        size = crops.shape[1]
        side = round(size * PART)
        down, right, mirrored = self._place(size - side, item)
        cut = crops[:, down : down + side, right : right + side]
        return np.ascontiguousarray(cut[:, :, ::-1] if mirrored else cut)

    def margin(self, margin: float) -> float:
        """By how much a view is wider than the face box, given by how much the crop is."""
        return margin if self.name == "whole" else (1 + margin) * PART - 1

    def _place(self, room: int, item: str) -> tuple[int, int, bool]:
        """Pixels left out above and to the left, and whether the view is mirrored."""
        if not _RANDOM.fullmatch(self.name):
            return room // 2, room // 2, self.name == "flip"
        seed = hashlib.sha256(f"{self.name}/{item}".encode()).digest()
        down, right, mirrored = np.random.default_rng(list(seed)).integers([room + 1] * 2 + [2])
        return int(down), int(right), bool(mirrored)


WHOLE = View()
