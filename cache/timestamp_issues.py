"""What is unusual about a video's presentation times, in words. Nothing of it breaks alignment."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import counted

KINDS = (
    "times are no numbers",
    "times go back",
    "equal times",
    "gaps",
    "variable rate",
    "late start",
    "starts before zero",
    "other rate than announced",
)
_START_S = 0.1  # later first frames are worth a word
_GAP_STEPS, _GAP_S = 2.5, 0.1  # a gap is longer than both: usual steps, seconds
_UNEVEN, _UNEVEN_S = 0.1, 0.002  # a step is uneven when off by more than both; containers round
_UNEVEN_SHARE = 0.01  # of the steps; fewer are single dropped frames
_RATE = 0.01  # by which the mean rate may differ from the announced one


class TimestampIssue(NamedTuple):
    """One oddity: a kind of `KINDS`, and the figures."""

    kind: str
    text: str


def find_timestamp_issues(
    pts: np.ndarray, announced_fps: float | None = None
) -> list[TimestampIssue]:
    """Look for oddities in presentation times.

    Takes any times, also those that a `Timeline` refuses, since others write caches, too.

    Args:
        pts: [T] seconds, T >= 1.
        announced_fps: the rate in hertz that the container names, None where it names none.

    Returns:
        At most one entry per kind, in the order of `KINDS`; none for an ordinary video.
    """
    if lost := int((~np.isfinite(pts)).sum()):
        return [
            TimestampIssue("times are no numbers", f"{lost} of {len(pts)}; extract the video again")
        ]
    steps = np.diff(pts)
    found = [*_order(pts, steps), *_steps(pts, steps)]
    if pts[0] > _START_S:
        found.append(TimestampIssue("late start", f"the first frame comes at {pts[0]:.3f} s"))
    if pts[0] < -_START_S:
        found.append(
            TimestampIssue("starts before zero", f"the first frame comes at {pts[0]:.3f} s")
        )
    span = float(pts[-1] - pts[0])
    if announced_fps and span > 0:
        fps = (len(pts) - 1) / span
        if abs(fps / announced_fps - 1) > _RATE:
            text = f"{fps:.3f} frames/s on average, the file announces {announced_fps:.3f}"
            found.append(TimestampIssue("other rate than announced", text))
    return found


def _order(pts: np.ndarray, steps: np.ndarray) -> list[TimestampIssue]:
    """Times that do not grow."""
    found = []
    back = np.flatnonzero(steps < 0)
    if len(back):
        row = int(back[0])
        text = f"{len(back)}x, first from {pts[row]:.3f} to {pts[row + 1]:.3f} s (frame {row + 1})"
        found.append(TimestampIssue("times go back", text))
    if equal := int((steps == 0).sum()):
        found.append(
            TimestampIssue(
                "equal times", f"{counted(equal, 'frame')} at the time of the one before"
            )
        )
    return found


def _steps(pts: np.ndarray, steps: np.ndarray) -> list[TimestampIssue]:
    """Gaps, and steps of different lengths."""
    forward = steps[steps > 0]
    if not len(forward):
        return []
    usual = float(np.median(forward))
    longest = max(_GAP_STEPS * usual, _GAP_S)
    found = []
    gaps = np.flatnonzero(steps > longest)
    if len(gaps):
        row = int(gaps[np.argmax(steps[gaps])])
        text = f"{len(gaps)}x without a frame, at most {steps[row]:.2f} s, at {pts[row]:.2f} s"
        found.append(TimestampIssue("gaps", text))
    even = forward[forward <= longest]
    uneven = float((np.abs(even - usual) > max(_UNEVEN * usual, _UNEVEN_S)).sum()) / len(steps)
    if uneven > _UNEVEN_SHARE:
        low, high = even.min() * 1000, even.max() * 1000
        text = f"steps of {low:.1f} to {high:.1f} ms, {uneven:.0%} off the usual {usual * 1000:.1f}"
        found.append(TimestampIssue("variable rate", text))
    return found
