"""Predictions of a run row by row, each from its frame and those before: what causal runs allow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from ...cache.timeline import usable
from ...errors import RunError
from ...numerics import inferring
from ..runs.folder import Run

CAUSAL_HEADS = ("concat", "lfan")  # that see each frame by itself
_SAME = 1e-5  # outputs that differ by more depend on what was changed


def require_causal(run: Run) -> None:
    """Refuse a run whose predictions change with what comes later; found by trying it.

    Raises:
        RunError: says why, and what to fit instead.
    """
    length = max(2, min(run.config.window, 64))
    rng = np.random.default_rng(0)
    streams = {
        role: rng.standard_normal((1, length, facts["dim"])).astype(np.float32)
        for role, facts in run.streams.items()
    }
    before = _run(run, streams, None)
    half = length // 2
    for values in streams.values():
        values[:, half:] += 1.0
    after = _run(run, streams, None)
    if np.abs(after - before)[:half].max() <= _SAME:
        return
    head, why = run.config.head, "its TCN is centred (causal = false)"
    if run.config.causal:
        why = f"its head {head} takes whole windows, frames to come included"
    raise RunError(
        f"the run {run.path} cannot predict live: {why}. Runs of the heads "
        f"{' and '.join(CAUSAL_HEADS)} with a causal TCN can: `vapipe fit --head "
        f"{head if head in CAUSAL_HEADS else CAUSAL_HEADS[0]} --set causal=true`"
    )


def _run(
    run: Run, streams: Mapping[str, np.ndarray], valid: Mapping[str, np.ndarray] | None
) -> np.ndarray:
    """Predictions [L, targets] of one window."""
    with inferring():
        output = run.model(
            {role: torch.from_numpy(x).to(run.device) for role, x in streams.items()},
            None
            if valid is None
            else {role: torch.from_numpy(x).to(run.device) for role, x in valid.items()},
        )
    values: np.ndarray = output[0].cpu().numpy()
    return values


class LivePredictor:
    """Predicts the newest row from the rows so far, as `scoring.predict` does of a whole video.

    A row's prediction is the mean over the windows that it lies in, each begun without a past.
    What differs is the end: a whole video's last window ends with its last row, wherever it begins,
    so rows of the last window may have other values there.
    """

    def __init__(self, run: Run) -> None:
        """Start without rows.

        Raises:
            RunError: as `require_causal`.
        """
        require_causal(run)
        self._run = run
        self._rows: dict[str, list[np.ndarray]] = {role: [] for role in run.streams}
        self._valid: dict[str, list[bool]] = {role: [] for role in run.streams}
        self._first = 0  # row that the lists begin with
        self._next = 0

    def push(self, row: Mapping[str, tuple[np.ndarray, int]]) -> np.ndarray:
        """Predictions [targets] of the next row: role -> features [D], code."""
        config = self._run.config
        for role, (features, code) in row.items():
            self._rows[role].append(features)
            self._valid[role].append(bool(usable(np.array(code))))
        now = self._next
        self._next += 1
        first = max(0, -(-(now - config.window + 1) // config.stride)) * config.stride
        starts = range(first, now + 1, config.stride)
        while self._first < first:
            self._first += 1
            for role in self._rows:
                del self._rows[role][0], self._valid[role][0]
        return np.stack([self._window(start) for start in starts]).mean(axis=0, dtype=np.float64)

    def _window(self, start: int) -> np.ndarray:
        past = slice(start - self._first, None)
        streams = {role: np.stack(rows[past])[None] for role, rows in self._rows.items()}
        valid = {role: np.array(rows[past])[None] for role, rows in self._valid.items()}
        values: np.ndarray = _run(self._run, streams, valid)[-1]
        return values
