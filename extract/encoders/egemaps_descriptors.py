"""Computes `egemaps`: openSMILE over whole runs of sound, or over a window around each frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ...cache.timeline import Timeline, usable
from ..media.audio import RATE, AudioBlock
from .base import AudioEncoder
from .sound import Heard, Run, in_runs, row_windows

HOP = 160  # samples between openSMILE's frames
_SHORTEST = 960  # samples; openSMILE gives nothing for less
_LOUDEST = 32767 / 32768  # openSMILE reads 16 bits and wraps around beyond them
_FLUX = "spectralFlux_sma3"
# Their frames have 60 ms, all others 20 ms, and openSMILE numbers both by where they begin.
_LONG = {"F0semitone", "jitterLocal", "shimmerLocal", "HNRdBACF", "logRelF0"}
_LONG |= {f"F{formant}amplitude" for formant in (1, 2, 3)}


class Descriptors(AudioEncoder):
    """Values are openSMILE's own, of the frame whose centre is nearest; none are mixed.

    A mean of F0 (0 where nothing is voiced) over voiced and unvoiced frames would be neither.
    """

    dim = 25

    def __init__(self, name: str) -> None:
        """Start openSMILE."""
        self.name = name
        self._smile = _smile("LowLevelDescriptors")
        self._middles = np.array([_middle(name) for name in self._smile.feature_names])

    def encode(
        self, blocks: Iterable[AudioBlock], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All rows of the timeline at once: features [T, 25] float32, codes [T] uint8."""
        heard = Heard(timeline)
        runs = [
            (run.start, _describe(self._smile, run.cut(run.start, run.stop)))
            for run, ended in in_runs(heard.listen(blocks), Run)
            if ended
        ]
        codes = heard.codes(slice(0, len(timeline)))
        features = np.zeros((len(timeline), self.dim), np.float32)
        if runs:
            begins = np.concatenate([start + HOP * np.arange(len(each)) for start, each in runs])
            values = np.concatenate([each for _, each in runs])
            for middle in np.unique(self._middles):
                columns = self._middles == middle
                near = _nearest(begins + middle, timeline.pts * RATE)
                features[:, columns] = values[near][:, columns]
        features[~usable(codes)] = 0
        yield features, codes


class Functionals(AudioEncoder):
    """openSMILE's functionals of the sound around each row, silence where there is none."""

    dim = 88

    def __init__(self, name: str, window: float) -> None:
        """Start openSMILE; the window is in seconds."""
        self.name = name
        self._smile = _smile("Functionals")
        self._length = round(window * RATE)

    def encode(
        self, blocks: Iterable[AudioBlock], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the timeline in order: features [n, 88] float32, codes [n] uint8."""
        for codes, windows in row_windows(blocks, timeline, self._length):
            features = np.zeros((len(codes), self.dim), np.float32)
            for row, sound in zip(np.flatnonzero(usable(codes)), windows, strict=True):
                features[row] = _describe(self._smile, sound)
            yield features, codes


def _smile(level: str) -> Any:
    """An openSMILE of one level of features."""
    import opensmile

    return opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=getattr(opensmile.FeatureLevel, level),
    )


def _describe(smile: Any, sound: np.ndarray) -> np.ndarray:
    """Values [F, D] float32 of a run of sound."""
    enough = np.pad(sound, (0, max(0, _SHORTEST - len(sound))))
    return smile.process_signal(enough.clip(-1, _LOUDEST), RATE).to_numpy(np.float32)


def _middle(name: str) -> int:
    """From the beginning of openSMILE's frame to the middle of what it hears, in samples."""
    if name == _FLUX:  # the difference between the frame and the one before
        return HOP // 2
    return 3 * HOP if name.startswith(tuple(_LONG)) else HOP


def _nearest(places: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Index of the place nearest to each moment, of two as near the earlier; places rise."""
    right = np.searchsorted(places, moments).clip(1, max(1, len(places) - 1))
    left = right - 1
    right = right.clip(0, len(places) - 1)
    return np.where(moments - places[left] <= places[right] - moments + 1e-3, left, right)
