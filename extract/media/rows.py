"""Which row of the timeline a picture is: rows are the pictures that are shown, in order of time.

Where packets tell (`rows_of_packets`), nothing is decoded; else a decoder is asked.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np

from ...errors import counted

# Pictures that wait for earlier ones. Decoders deliver in order of presentation; only files whose
# times contradict that order need any.
REORDER = 8
_NEAR = 0.75  # of a frame's interval: a refused packet so near to a picture lacks no row


@dataclass
class PacketLog:
    """What the packets of a video stream say, in the order they are stored.

    Attributes:
        pts: presentation times in ticks, None where there is none.
        dts: decoding times, likewise.
        shown: number of pictures that each shows; `pictures.UNSURE` where it does not tell.
        discard: whether an edit list leaves it out.
        key: whether decoding can begin there.
    """

    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    shown: list[int] = field(default_factory=list)
    discard: list[bool] = field(default_factory=list)
    key: list[bool] = field(default_factory=list)

    def first_key(self) -> int:
        """The first packet where decoding can begin, 0 where none is marked."""
        return self.key.index(True) if True in self.key else 0


@dataclass
class PictureLog:
    """What a decoder gives for these packets.

    Attributes:
        packets: of every picture in turn, the packet that it is made of.
        pts: its presentation time in ticks, None where there is none.
        dts: the decoding time that came with it, likewise.
        refused: packets that it calls damaged.
    """

    packets: list[int] = field(default_factory=list)
    pts: list[int | None] = field(default_factory=list)
    dts: list[int | None] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a video.

    Attributes:
        ticks: [T] int64 presentation times, sorted.
        places: row of every packet, or where `by_order` of every picture that a decoder gives in
            turn; -1 for none.
        by_order: see there.
        notes: what the user should know of how they were found.
    """

    ticks: np.ndarray
    places: np.ndarray
    by_order: bool
    notes: tuple[str, ...] = ()

    @property
    def has_left_out(self) -> bool:
        """Whether pictures that are shown have no row, since time goes back."""
        return self.by_order and bool((self.places < 0).any())

    def row_of(self, number: int) -> int:
        """The row of a packet, or of a picture, by its number; -1 for none."""
        return int(self.places[number]) if 0 <= number < len(self.places) else -1


def rows_of_packets(
    log: PacketLog, *, delayed: bool, first: int | None, timed: bool
) -> Rows | None:
    """The rows as the packets tell them.

    Args:
        log: the packets.
        delayed: whether the decoder reorders pictures.
        first: the packet whose picture a decoder shows first; None where it refuses packets
            before.
        timed: whether the container stores presentation times.

    Returns:
        None where packets cannot be trusted: they do not tell what they show, or times are
        missing, there twice, go back, or contradict the order of the pictures.
    """
    if any(not 0 <= count <= 1 for count in log.shown):
        return None
    times = log.pts if timed else log.dts
    shown = [
        number
        for number, (count, discard) in enumerate(zip(log.shown, log.discard, strict=True))
        if count and not discard
    ]
    ticks = [times[number] for number in shown]
    known = [tick for tick in ticks if tick is not None]
    stored = [tick for tick in log.dts if tick is not None]
    if (
        len(known) < len(ticks)
        or len(set(known)) < len(known)
        or any(later < earlier for earlier, later in pairwise(stored))
        or (delayed and (not timed or log.pts == log.dts))
    ):
        return None
    begin = log.first_key() if first is None else first
    start = times[begin]
    kept = [n for n, tick in zip(shown, known, strict=True) if start is None or tick >= start]
    values = np.array([times[number] for number in kept], np.int64)
    order = np.argsort(values)
    places = np.full(len(log.pts), -1)
    places[np.array(kept, np.int64)[order]] = np.arange(len(kept))
    unseen = len(shown) - len(kept)
    return Rows(values[order], places, False, _unseen(unseen and (log.first_key() or unseen)))


def rows_of_pictures(
    packets: PacketLog, pictures: PictureLog, *, rate: Fraction, base: Fraction, timed: bool
) -> Rows:
    """The rows as a decoder shows them, and one for each packet in their midst that it refuses.

    Args:
        packets: the packets.
        pictures: what the decoder gives.
        rate: nominal frames per second.
        base: seconds per tick.
        timed: whether the container stores presentation times.
    """
    step = float(1 / (rate * base))
    refused = [n for n in pictures.refused if not packets.discard[n] and n > packets.first_key()]
    notes = list(_unseen(packets.first_key()))
    if all(time is None for time in (*packets.pts, *packets.dts)):
        count = len(pictures.packets)
        notes.append(
            f"the file stores no times: its pictures are placed at {float(rate):.5g} frames per "
            "second, its nominal rate; put it into MP4 with the right one if that is wrong"
        )
        ticks = np.round(np.arange(count) * step).astype(np.int64)
        return Rows(ticks, np.arange(count), True, tuple(notes))
    if not timed:
        return Rows(*_by_decoding_times(packets, pictures, refused, step), True, tuple(notes))
    guessed = best_effort(pictures.pts, pictures.dts)
    odd = sum(g is None or g != pts for g, pts in zip(guessed, pictures.pts, strict=True))
    if odd:
        notes.append(
            f"the times of {odd} of {counted(len(guessed), 'picture')} are missing or contradict "
            "their order: they are placed where a player shows them"
        )
    times = _filled(guessed, step)
    order = np.argsort(times, kind="stable")
    is_near = np.abs(order - np.arange(len(order))).max() <= REORDER
    if odd and is_near:
        times = np.maximum.accumulate(times)  # the decoder's order is the right one
        order = np.arange(len(times))
    elif not is_near:
        order = longest_rise(times)
        back = np.flatnonzero(np.diff(times) < 0)
        notes.append(
            f"time goes back at {counted(len(back), 'picture')}, first at picture "
            f"{back[0] + 1} of {len(times)} (recordings spliced?): "
            f"{counted(len(times) - len(order), 'picture')} without a place left out"
        )
    ticks = times[order]
    holes = _holes([packets.pts[n] for n in refused], ticks, step)
    rows = np.searchsorted(holes, ticks, side="right") + np.arange(len(ticks))
    places = np.full(len(times), -1)
    places[order] = rows
    return Rows(np.sort(np.concatenate([ticks, holes])), places, True, tuple(notes))


def _by_decoding_times(
    packets: PacketLog, pictures: PictureLog, refused: Sequence[int], step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ticks and places in containers that store no other times (AVI): the n-th at the n-th."""
    lost = set(refused) - set(pictures.packets)
    bearing = sorted([(n, False) for n in pictures.packets] + [(n, True) for n in lost])
    times = [packets.dts[number] if number >= 0 else None for number, _ in bearing]
    ticks = np.sort(_filled(times, step))
    return ticks, np.flatnonzero([not is_lost for _, is_lost in bearing])


def best_effort(pts: Sequence[int | None], dts: Sequence[int | None]) -> list[int | None]:
    """When players show pictures: `guess_correct_pts` of FFmpeg's libavcodec/decode.c.

    Decoding times count where presentation times have failed to rise more often than these.
    """
    guessed: list[int | None] = []
    last_pts = last_dts = None
    faulty_pts = faulty_dts = 0
    for presented, decoded in zip(pts, dts, strict=True):
        if decoded is not None:
            faulty_dts += last_dts is not None and decoded <= last_dts
            last_dts = decoded
        elif presented is not None:
            last_dts = presented
        if presented is not None:
            faulty_pts += last_pts is not None and presented <= last_pts
            last_pts = presented
        elif decoded is not None:
            last_pts = decoded
        trusted = faulty_pts <= faulty_dts or decoded is None
        guessed.append(presented if trusted and presented is not None else decoded)
    return guessed


def _filled(times: Sequence[int | None], step: float) -> np.ndarray:
    """[N] int64; pictures without a time follow the one before by a step."""
    known = [number for number, time in enumerate(times) if time is not None]
    if not known:
        return np.round(np.arange(len(times)) * step).astype(np.int64)
    filled = [float(times[known[0]] or 0) - step * (known[0] + 1)]
    for time in times:
        filled.append(filled[-1] + step if time is None else time)
    return np.round(filled[1:]).astype(np.int64)


def longest_rise(times: np.ndarray) -> np.ndarray:
    """Indices of a longest part of a sequence that rises."""
    ends: list[int] = []  # lowest last time of a part of each length
    last: list[int] = []  # its index
    before = np.full(len(times), -1)
    for index, time in enumerate(times.tolist()):
        length = bisect_left(ends, time)
        before[index] = last[length - 1] if length else -1
        ends[length : length + 1] = [time]
        last[length : length + 1] = [index]
    chain = last[-1:]
    while chain and before[chain[-1]] >= 0:
        chain.append(int(before[chain[-1]]))
    return np.array(chain[::-1], int)


def _holes(refused: Sequence[int | None], ticks: np.ndarray, step: float) -> np.ndarray:
    """Times of refused packets between pictures, where a picture is missing."""
    times = np.array(sorted({time for time in refused if time is not None}), np.int64)
    after = np.searchsorted(ticks, times)
    later = ticks[np.minimum(after, len(ticks) - 1)]
    earlier = ticks[np.maximum(after - 1, 0)]
    near = np.minimum(np.abs(later - times), np.abs(times - earlier))
    return times[(near >= _NEAR * step) & (times > ticks[0])]


def _unseen(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (
        f"{counted(count, 'packet')} before the first key frame cannot be shown: no rows of that",
    )
