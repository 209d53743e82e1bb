"""The picture of a synthetic clip: one portrait, its mouth, brows and eyes warped frame by frame.

The portrait is scikit-image's `astronaut` (NASA, public domain), which ships in its wheel.
Draws arrays only; what the signals are and where the frames go is decided in `dataset.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import MissingPackageError

SIZE = 256  # pixels, both sides of a frame
FACE_CENTRE = (224.0, 118.0)  # x, y in the portrait [512, 512]
SCALE = 0.80  # portrait pixels per frame pixel at zoom 1
NEUTRAL = 0.35  # the portrait smiles by itself: it shows this valence
HALF = 255.5  # half the portrait, in its pixels
AWAY = 190.0  # portrait pixels to look to the right, where there is no face
BOARD = (139.0, 112.0, 84.0)  # colour of the board that covers the face, RGB
BATCH = 4  # frames drawn at once: few, so that they stay in the processor's cache

# Handles of the warp in portrait pixels: centre x, y; reach in x, y; what the content there moves
# by in x, y per unit of the signal.
VALENCE_HANDLES = (
    (204.0, 141.0, 10.0, 10.0, -2.5, -7.0),  # mouth corners: out and up
    (245.0, 143.0, 10.0, 10.0, 2.5, -7.0),
    (224.0, 150.0, 12.0, 10.0, 0.0, 2.0),  # middle of the lips: the other way
    (214.0, 90.0, 9.0, 6.0, -2.5, -3.5),  # inner brows: apart and up
    (237.0, 92.0, 9.0, 6.0, 2.5, -3.5),
)
EYE_HANDLES = (
    (203.0, 96.0, 9.0, 4.0, 0.0, -2.0),  # upper lids: up
    (247.0, 98.0, 9.0, 4.0, 0.0, -2.0),
    (203.0, 106.0, 9.0, 4.0, 0.0, 1.2),  # lower lids: down
    (247.0, 108.0, 9.0, 4.0, 0.0, 1.2),
)


@dataclass(frozen=True, eq=False)
class Shot:
    """What a camera and a face do over the T frames of a clip; arrays are [T] float64.

    Attributes:
        mouth: valence shown by mouth and brows, about -1..1.
        eyes: eye opening relative to the portrait, 0 = as photographed.
        turn: rotation in the image plane, radians.
        shift_x, shift_y: movement of the face, frame pixels.
        zoom: 1 = face about 115 frame pixels wide.
        light: gain of the whole picture.
        slope: gain added from the left edge to the right edge.
        covered: 0..1, a board in front of the face (1 = face wholly hidden).
        away: 0..1, the camera looks elsewhere (1 = face out of the frame).
        tint: gain of red, green, blue, constant over the clip.
        grain: standard deviation of the sensor noise, grey levels.
        mirrored: the portrait is flipped left to right.
        noise_seed: seed of the sensor noise.
    """

    mouth: np.ndarray
    eyes: np.ndarray
    turn: np.ndarray
    shift_x: np.ndarray
    shift_y: np.ndarray
    zoom: np.ndarray
    light: np.ndarray
    slope: np.ndarray
    covered: np.ndarray
    away: np.ndarray
    tint: tuple[float, float, float]
    grain: float
    mirrored: bool
    noise_seed: int


def load_portrait() -> np.ndarray:
    """Return the portrait [512, 512, 3] uint8, RGB.

    Raises:
        MissingPackageError: scikit-image cannot be imported.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise MissingPackageError(
            "the portrait of the demo clips, which scikit-image ships,", error, "demo"
        ) from error
    return np.asarray(data.astronaut())


def warp_field(handles: tuple[tuple[float, ...], ...]) -> torch.Tensor:
    """Return the displacement [1, 2, 256, 256] (x, y) per unit of a signal, over the portrait.

    A sum of Gaussian bumps, one for each handle, in the units of `grid_sample` (portrait = -1..1).
    """
    x, y = torch.meshgrid(torch.linspace(0, 511, 256), torch.linspace(0, 511, 256), indexing="xy")
    field = torch.zeros(1, 2, 256, 256)
    for cx, cy, reach_x, reach_y, dx, dy in handles:
        bump = torch.exp(-0.5 * (((x - cx) / reach_x) ** 2 + ((y - cy) / reach_y) ** 2))
        field[0, 0] += dx / HALF * bump
        field[0, 1] += dy / HALF * bump
    return field


def draw_frames(shot: Shot, portrait: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the frames of `shot`, each [SIZE, SIZE, 3] uint8 RGB.

    Args:
        portrait: [512, 512, 3] uint8 from `load_portrait`.
    """
    image = torch.from_numpy(portrait.copy()).permute(2, 0, 1).float() * torch.tensor(
        shot.tint
    ).view(3, 1, 1)
    valence_field, eye_field = warp_field(VALENCE_HANDLES), warp_field(EYE_HANDLES)
    across = torch.linspace(-0.5, 0.5, SIZE).view(1, 1, 1, -1)
    rng = np.random.default_rng(shot.noise_seed)
    # Fresh noise for every pixel would cost more than all the rest: cut it from one large sheet.
    sheet = rng.normal(0.5, shot.grain, (2 * SIZE, 2 * SIZE, 1)).astype(np.float32)

    def rows(values: np.ndarray, start: int) -> torch.Tensor:
        return torch.from_numpy(values[start : start + BATCH].astype(np.float32)).view(-1, 1, 1, 1)

    for start in range(0, len(shot.mouth), BATCH):
        where = _camera(shot, slice(start, start + BATCH))
        bend = (
            rows(shot.mouth - NEUTRAL, start) * valence_field + rows(shot.eyes, start) * eye_field
        )
        where -= F.grid_sample(bend, where, align_corners=True).permute(0, 2, 3, 1)
        pictures = F.grid_sample(
            image.expand(len(where), -1, -1, -1),
            where,
            padding_mode="reflection",
            align_corners=True,
        )
        for picture, covered in zip(pictures, shot.covered[start : start + BATCH], strict=True):
            if covered > 0:
                _cover(picture, float(covered))
        pictures *= rows(shot.light, start) + rows(shot.slope, start) * across
        if shot.mirrored:
            pictures = pictures.flip(3)
        for frame in pictures.permute(0, 2, 3, 1).contiguous().numpy():
            top, left = rng.integers(0, SIZE, 2)
            frame += sheet[top : top + SIZE, left : left + SIZE]
            yield np.clip(frame, 0, 255, out=frame).astype(np.uint8)


def _camera(shot: Shot, part: slice) -> torch.Tensor:
    """Return where in the portrait each pixel looks [n, SIZE, SIZE, 2], portrait = -1..1."""
    turn, scale = shot.turn[part], SCALE / shot.zoom[part]
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    half = (SIZE - 1) / 2
    x = FACE_CENTRE[0] - cos * shot.shift_x[part] + sin * shot.shift_y[part]
    y = FACE_CENTRE[1] - sin * shot.shift_x[part] - cos * shot.shift_y[part]
    x = x + AWAY * shot.away[part]
    rows = np.stack([cos * half, -sin * half, x - HALF, sin * half, cos * half, y - HALF], axis=1)
    theta = torch.from_numpy((rows / HALF).astype(np.float32)).view(-1, 2, 3)
    return F.affine_grid(theta, [len(theta), 3, SIZE, SIZE], align_corners=True)


def _cover(picture: torch.Tensor, amount: float) -> None:
    """Slide a wooden board up in front of a picture [3, SIZE, SIZE], in place; amount 0..1."""
    top, side = SIZE - round(amount * SIZE), round(0.06 * SIZE)
    across = torch.arange(SIZE - 2 * side).view(1, -1)
    down = torch.arange(SIZE - top).view(-1, 1)
    grain = 1.0 + 0.12 * torch.sin(across / 3.0) + 0.08 * torch.sin((down + 3.0 * across) / 17.0)
    picture[:, top:, side : SIZE - side] = torch.tensor(BOARD).view(3, 1, 1) * grain
