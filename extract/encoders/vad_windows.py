"""Computes `vad`: the sound's successive windows through the network, brought to the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ...cache.timeline import Timeline
from ..media.audio import AudioBlock
from .base import AudioEncoder
from .sound import Heard
from .waveform import RowValues, Steps, cut_audio

_WINDOW, _CONTEXT = 512, 64  # samples that a probability is of, and those heard before them
_STEPS = Steps(hop=_WINDOW, field=_WINDOW, chunk=256, context=0)  # 8 s at once
_BEGINNING = np.zeros((1, 1, 128), np.float32)  # the state of the LSTM, hidden or cell


class VadEncoder(AudioEncoder):
    """Silero's network on every whole window of a run of sound, in order."""

    dim = 1

    def __init__(self, name: str, weights: Path) -> None:
        """Load the network, an ONNX file of Silero's."""
        import onnxruntime

        self.name = name
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # too small for more
        self._session = onnxruntime.InferenceSession(
            str(weights), options, providers=["CPUExecutionProvider"]
        )

    def encode(
        self, blocks: Iterable[AudioBlock], timeline: Timeline
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the timeline in order: features [n, 1] float32, codes [n] uint8.

        A row's probability is interpolated between the middles of the two windows around it.
        """
        heard = Heard(timeline)
        rows = RowValues(timeline, heard, _STEPS, self.dim)
        for windows in cut_audio(heard.listen(blocks), _STEPS, 1):
            for window in windows:
                if window.start == window.run[0]:  # a run begins
                    hidden, cell = _BEGINNING, _BEGINNING
                    before = np.zeros(_CONTEXT, np.float32)
                kept = window.samples[window.keep.start * _WINDOW : window.keep.stop * _WINDOW]
                sound = np.concatenate([before, kept])
                pieces = np.lib.stride_tricks.sliding_window_view(sound, _CONTEXT + _WINDOW)
                values, hidden, cell = self._session.run(
                    ["speech_probs", "hn", "cn"],
                    {"input": pieces[::_WINDOW], "h": hidden, "c": cell},
                )
                before = sound[-_CONTEXT:]
                rows.push(window, values.reshape(-1, 1))
                yield from rows.take()
        rows.finish()
        yield from rows.take()
