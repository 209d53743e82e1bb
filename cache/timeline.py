"""Time: the presentation times of a video's frames, and the per-row validity codes.

Every stream of a video has exactly one row per frame of its timeline. Nothing here reads media.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np

from ..errors import CacheError, counted


class Valid(enum.IntEnum):
    """Why a row can (1..127) or cannot (0, 128..255) be used; stored as one byte per row."""

    MISSING = 0  # nothing is known of this row
    DETECTED = 1  # a face was found in this frame
    TRACKED = 2  # the face position was carried from neighbouring frames
    CROPPED = 3  # read from a face crop made by others (official crops)
    AUDIO = 4  # the audio of this frame's interval was measured
    IMAGE = 5  # the whole frame was used, no face needed
    IMPORTED = 6  # came from a file of the user, taken as usable
    SILENCE = 7  # as AUDIO, but nothing is heard in it
    NO_FACE = 128  # the frame was decoded, no face was found
    NO_CROP = 129  # the crop folder has no image for this frame
    NO_AUDIO = 130  # the audio track does not cover this frame's interval
    DECODE_ERROR = 131  # the frame could not be decoded


def usable(codes: np.ndarray) -> np.ndarray:
    """Tell which validity codes [...] mark usable rows; bool, same shape."""
    return (codes > 0) & (codes < 128)


def on_other_tracks(tracks: np.ndarray) -> np.ndarray:
    """Tell which rows of an item show a face of another track than most; bool, [T].

    Args:
        tracks: [T] uint16, 0 where there is no face.
    """
    faces = tracks > 0
    return faces & (tracks != np.bincount(tracks[faces], minlength=1).argmax())


@dataclass(frozen=True, eq=False)
class Timeline:
    """Presentation times of the T frames of a video.

    Attributes:
        pts: [T] float64, seconds on the container's clock, never decreasing.
        fps: mean frame rate in hertz; the hop of every stream is 1/fps, never rounded.
    """

    pts: np.ndarray
    fps: float

    def __post_init__(self) -> None:
        """Refuse what would break alignment later."""
        if self.pts.ndim != 1 or not len(self.pts):
            raise CacheError(f"a timeline needs pts of shape [T], T >= 1; got {self.pts.shape}")
        if not np.isfinite(self.pts).all():
            bad = int(np.flatnonzero(~np.isfinite(self.pts))[0])
            raise CacheError(f"timeline: pts[{bad}] is {self.pts[bad]}; every time must be finite")
        steps = np.diff(self.pts)
        if (steps < 0).any():
            row = int(np.flatnonzero(steps < 0)[0])
            raise CacheError(
                f"timeline: pts[{row + 1}] = {self.pts[row + 1]} is before pts[{row}] = "
                f"{self.pts[row]}; sort the presentation times first"
            )
        if not (np.isfinite(self.fps) and self.fps > 0):
            raise CacheError(f"timeline: fps must be positive and finite, got {self.fps}")

    @classmethod
    def from_pts(cls, pts: np.ndarray, nominal_fps: float | None = None) -> Timeline:
        """Build a timeline whose rate is the mean over its own times.

        Args:
            pts: [T] seconds, never decreasing.
            nominal_fps: the container's rate in hertz; used when the times span nothing (T = 1).

        Raises:
            CacheError: as the constructor; or one frame and no nominal rate.
        """
        pts = np.ascontiguousarray(pts, dtype=np.float64)
        span = float(pts[-1] - pts[0]) if len(pts) else 0.0
        if span > 0:
            return cls(pts, (len(pts) - 1) / span)
        if nominal_fps is None:
            raise CacheError(
                f"timeline: {counted(len(pts), 'frame')} without duration, and no rate is known"
            )
        return cls(pts, float(nominal_fps))

    def __len__(self) -> int:
        return len(self.pts)

    def edges(self) -> np.ndarray:
        """Bounds [T+1] in seconds: frame i is shown over [edges[i], edges[i+1])."""
        return np.append(self.pts, self.pts[-1] + 1.0 / self.fps)
