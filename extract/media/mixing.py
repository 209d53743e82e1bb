"""Decoded sound of any sample format and channel layout as one channel, full scale 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import av
import numpy as np

_FRONT, _BESIDE = 2**-0.5, 0.5  # as in ITU-R BS.775: 3 dB and 6 dB less than the centre
_WEIGHTS = {
    "FC": 1.0,
    **dict.fromkeys(("FL", "FR", "FLC", "FRC", "DL", "DR"), _FRONT),
    **dict.fromkeys(("LFE", "LFE2"), 0.0),
    "AMBI0": 1.0,  # W, the omnidirectional part of ambisonics
}


def mixing_weights(names: Sequence[str]) -> np.ndarray:
    """What each channel counts, [channels] float64; the sum is one.

    Channels without names, and low-frequency ones alone, count alike.

    Args:
        names: FFmpeg's names of the channels.
    """
    named = all(name in _WEIGHTS or _is_place(name) for name in names)
    weights = np.array([_weight(name) if named else 1.0 for name in names])
    if not weights.any():
        weights[:] = 1.0
    return weights / weights.sum()


def _weight(name: str) -> float:
    return _WEIGHTS.get(name, 0.0 if name.startswith("AMBI") else _BESIDE)


def _is_place(name: str) -> bool:
    """Whether a name tells where a channel is heard."""
    return name.isalnum() and not name.startswith(("USR", "NONE", "UNK"))


class Channels:
    """Turns frames of any sample format into arrays.

    By way of FFmpeg's converter to interleaved numbers: PyAV reads beyond the planes of frames that
    keep eight channels or more apart.
    """

    def __init__(self) -> None:
        self._kind: tuple[str, str, int] | None = None
        self._converter: Any = None
        self._weights = np.ones(1)

    def read(self, frame: av.AudioFrame) -> tuple[np.ndarray, np.ndarray]:
        """Samples [n, channels] float64, full scale 1, and what each channel counts [channels].

        What is no number is silence.

        Raises:
            av.FFmpegError: nothing that FFmpeg can convert.
        """
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind != self._kind:
            self._converter = av.AudioResampler(format="dbl")
            self._weights = mixing_weights([channel.name for channel in frame.layout.channels])
            self._kind = kind
        parts = [
            part.to_ndarray().reshape(part.samples, -1) for part in self._converter.resample(frame)
        ]
        samples = np.nan_to_num(np.concatenate(parts), nan=0.0, posinf=0.0, neginf=0.0)
        return samples, self._weights
