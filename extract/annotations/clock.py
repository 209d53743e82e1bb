"""Brings samples to the frames of a video, by their times, numbers or order."""

from __future__ import annotations

import numpy as np

from ...cache.labels import SURPLUS_ALLOWED, interpolate
from ...cache.timeline import Timeline
from ...errors import LabelError, counted
from .reading import Reading
from .samples import Key, Samples

_RATES = (1, 2, 4, 5, 8, 10, 12.5, 15, 16, 20, 23.976, 24, 25, 29.97, 30, 50, 59.94, 60, 100, 120)
_GAP_STEPS = 3.0  # of samples in time: a jittered sample may come this many median steps late
_GAP_FRAMES = 1.5  # of numbered frames: one that is missing was not annotated
_SLACK_S, _SLACK_SHARE = 1.0, 0.05  # by which times may miss the video's length: the smaller one


def at_frames(
    samples: Samples, timeline: Timeline, zero: float, reading: Reading
) -> tuple[dict[Key, np.ndarray], list[str]]:
    """Give every frame its value.

    A frame at the time of a sample takes its value, one between two samples that are no further
    apart than the gap lies on the line between them. Elsewhere the nearest sample counts within one
    median step; beyond it, and where that sample is not annotated, there is no annotation.

    Args:
        samples: what the file says.
        timeline: the video's.
        zero: what the annotators' clock calls 0, on the container's clock in seconds.
        reading: interpolation, gap, rate and delay.

    Returns:
        (target, annotator) -> [T] float64, NaN where not annotated; and what is to be told.

    Raises:
        LabelError: the samples cannot be of this video, or only with other options.
    """
    pts, rows = timeline.pts - zero, len(timeline)
    at = pts + reading.delay
    duration = float(timeline.edges()[-1]) - zero
    if samples.clock == "whole":
        return {key: np.full(rows, values[0]) for key, values in samples.values.items()}, []
    if samples.clock == "interval":
        return _intervals(samples, at), []
    notes: list[str] = []
    if samples.clock in ("rows", "frames"):
        numbers = np.arange(samples.count)
        if samples.clock == "rows":
            _check_rows(samples, rows, duration, notes)
        else:
            numbers = _from_zero(samples, rows)
        where = np.arange(rows, dtype=float)
        if reading.delay:
            where = np.interp(at, pts, where) + np.maximum(at - pts[-1], 0) * timeline.fps
        step = float(np.median(np.diff(numbers))) if samples.count > 1 else 1.0
        gap = reading.gap * timeline.fps if reading.gap else _GAP_FRAMES * step
        x, reach = numbers.astype(float), step - 0.5
    else:
        x = samples.times
        if samples.clock == "rate":
            assert reading.rate is not None
            x = np.arange(samples.count) / reading.rate
        step = float(np.median(np.diff(x))) if samples.count > 1 else 1 / timeline.fps
        _check_times(samples, x, step, timeline, duration, notes)
        gap, where, reach = reading.gap or _GAP_STEPS * step, at, step
    nearest = reading.interpolation == "nearest"
    return {
        key: interpolate(x, values, where, gap=gap, reach=reach, nearest=nearest)
        for key, values in samples.values.items()
    }, notes


def _intervals(samples: Samples, at: np.ndarray) -> dict[Key, np.ndarray]:
    """One value from a start to an end, in seconds."""
    order = np.argsort(samples.times[:, 0], kind="stable")
    starts, stops = samples.times[order].T
    wrong = np.flatnonzero((stops < starts) | (np.append(starts[1:], np.inf) < stops - 1e-9))
    if len(wrong):
        start, stop = starts[wrong[0]], stops[wrong[0]]
        raise LabelError(
            f"{samples.name}: the interval from {start:g} to {stop:g} s ends before it begins, or "
            "after the next one begins; one value holds at a time"
        )
    own = np.maximum(np.searchsorted(starts, at, side="right") - 1, 0)
    inside = (starts[own] <= at) & (at < stops[own])
    return {k: np.where(inside, values[order][own], np.nan) for k, values in samples.values.items()}


def _from_zero(samples: Samples, rows: int) -> np.ndarray:
    """Frame numbers counted from 0."""
    numbers, base = samples.times.astype(int), samples.base
    first, last = int(numbers[0]), int(numbers[-1])
    if base is None:
        if first == 0:
            base = 0
        elif last >= rows or (first == 1 and last != rows - 1):
            base = 1
        else:
            raise LabelError(
                f"{samples.name}: frames {first} to {last} of a video of {rows}; does the first "
                "frame have the number 0 or 1? Name the column: --columns frame0,... or frame1,..."
            )
    if last - base >= rows + SURPLUS_ALLOWED or first < base:
        raise LabelError(
            f"{samples.name}: frames {first} to {last}, counted from {base}, for a video of {rows} "
            "frames; surplus rows mean another video or frame rate. Check that annotation and "
            "video belong together"
        )
    return numbers - base


def _check_rows(samples: Samples, rows: int, duration: float, notes: list[str]) -> None:
    """Whether the rows can be those of the frames, one by one."""
    count = samples.count
    surplus = count - rows
    short = min(rows - count, max(rows - count - samples.blank, 0))
    allowed = min(SURPLUS_ALLOWED, max(1, rows // 20))
    if surplus > SURPLUS_ALLOWED or short > allowed:
        what = (
            f"more than {SURPLUS_ALLOWED} surplus rows mean another video or frame rate"
            if surplus > 0
            else f"a lack of more than {counted(allowed, 'row')} means another video or rate"
        )
        rate = likely_rate(count + samples.blank, duration)
        advice = "Check that annotation and video belong together"
        if rate >= 1:
            unused = [note for note in samples.notes if note.endswith("not used")]
            times = f"name that of the times with --columns ({', '.join(unused)})" if unused else ""
            advice = (
                f"If they are of this video and evenly spaced: --rate {rate:g}. Else "
                f"{times or 'give them a column of times'}"
            )
        raise LabelError(
            f"{samples.name}: {count} annotated rows for a video of {rows} frames; {what}. {advice}"
        )
    if surplus > 0:
        notes.append(f"{counted(surplus, 'label row')} beyond the last of {rows} frames dropped")
    elif short > 0:
        notes.append(f"labels end {counted(short, 'row')} before the last of {rows} frames")


def _check_times(
    samples: Samples,
    x: np.ndarray,
    step: float,
    timeline: Timeline,
    duration: float,
    notes: list[str],
) -> None:
    """Whether samples at these times can be of the video."""
    slack = max(2.5 * step, min(_SLACK_S, _SLACK_SHARE * duration))
    late = float(x[-1]) - duration
    if late > max(slack, SURPLUS_ALLOWED / timeline.fps) or x[0] < -slack or x[0] > duration:
        raise LabelError(
            f"{samples.name}: annotated from {x[0]:g} to {x[-1]:g} s, and the video lasts "
            f"{duration:.1f} s; surplus rows mean another video, or another unit of time. "
            f"{_advice(samples, duration)}"
        )
    if samples.clock == "rate" and late < -slack:
        raise LabelError(
            f"{samples.name}: {samples.count} rows last {x[-1]:.1f} s at this --rate, and the "
            f"video {duration:.1f} s. {_advice(samples, duration)}"
        )
    if x[0] > slack or late < -slack:
        notes.append(f"annotated from {x[0]:.1f} to {x[-1]:.1f} of {duration:.1f} s")


def _advice(samples: Samples, duration: float) -> str:
    rate = likely_rate(samples.count, duration)
    if samples.clock == "rate":
        return f"Rows over the whole video: --rate {rate:g}"
    return (
        "Name the unit, --columns time_s,... or time_ms,...; or for rows over the whole video "
        f"leave the times out, --columns -,... --rate {rate:g}"
    )


def likely_rate(count: int, duration: float) -> float:
    """Rows per second of rows that cover a video; a usual rate where one is near."""
    rate = count / duration
    near = min(_RATES, key=lambda usual: abs(usual / rate - 1))
    return float(near) if abs(near / rate - 1) < 0.03 else round(rate, 3)
