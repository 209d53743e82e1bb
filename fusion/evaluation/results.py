"""Evaluations and predictions as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...cache.durable import safe_name, slug, write_bytes, write_json
from ...cache.store import FeatureStore
from ..config import TARGETS
from .gates import write_gates
from .scoring import Evaluation


def write_evaluation(path: Path, evaluation: Evaluation, store: FeatureStore) -> None:
    """Write evaluation-<partition>.json, predictions per video, and the gates that were taken."""
    write_predictions(path / "predictions" / evaluation.partition, evaluation.predictions, store)
    if evaluation.gates is not None:
        write_gates(path, evaluation.partition, evaluation.gates)
    write_json(path / f"evaluation-{evaluation.partition}.json", evaluation.to_json())


def write_predictions(
    folder: Path, predictions: Mapping[str, np.ndarray], store: FeatureStore
) -> dict[str, Path]:
    """Write one CSV per video; video -> its file.

    Rows are the frames of the video in order: row (from 0), pts (seconds), valence, arousal.

    Args:
        folder: made where it does not exist; files of the same name are replaced.
        predictions: video -> [T, 2].
        store: knows the frames' times.

    Raises:
        CacheError: the disk refuses.
    """
    files = {}
    for video, values in predictions.items():
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["row", "pts", *TARGETS])
        for row, (pts, frame) in enumerate(zip(store.timeline(video).pts, values, strict=True)):
            writer.writerow([row, f"{pts:.6f}", *(f"{value:.6f}" for value in frame)])
        files[video] = folder / f"{file_name(video)}.csv"
        write_bytes(files[video], text.getvalue().encode())
    return files


def file_name(video: str) -> str:
    """The name, without suffix, of files about a video: its id where that can be one."""
    return video if slug(video) == video else safe_name(video)
