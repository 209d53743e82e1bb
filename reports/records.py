"""What a run's folder says of a partition: options, scores, predictions, gates, curves."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import RunError
from ..fusion.config import TARGETS, FitConfig
from ..fusion.evaluation.gates import Gates, read_gates
from ..fusion.evaluation.results import damaged, read_predictions
from ..fusion.evaluation.robustness import read_points
from ..fusion.papers.published import published
from ..fusion.runs.recorded import require_run


@dataclass(frozen=True)
class RunRecord:
    """A run and its evaluation on one partition.

    Attributes:
        name: what the report calls it.
        path: its folder.
        config: config.json.
        cache: cache.json.
        environment: environment.json.
        metrics: lines of metrics.jsonl, one per epoch and network.
        evaluation: evaluation-<partition>.json.
        predictions: video -> [T, 2] float32.
        gates: None where the run has none of this partition.
        points: of the robustness curves.
    """

    name: str
    path: Path
    config: dict[str, Any]
    cache: dict[str, Any]
    environment: dict[str, Any]
    metrics: list[dict[str, Any]]
    evaluation: dict[str, Any]
    predictions: dict[str, np.ndarray]
    gates: Gates | None
    points: list[dict[str, Any]]

    @property
    def targets(self) -> tuple[str, ...]:
        """What it predicts, in the order of the columns."""
        return tuple(self.evaluation["frames"])

    @property
    def system(self) -> str:
        """What the figures of papers belong to: the head, with preset and M where it has them."""
        preset, recursions = (
            self.config["head_options"].get("preset"),
            self.config.get("recursions"),
        )
        name = f"{self.config['head']}:{preset}" if preset else self.config["head"]
        return f"{name}, M = {recursions}" if recursions else name

    @property
    def published(self) -> dict[str, float] | None:
        """What others report for exactly these settings: target -> CCC, and `mean`."""
        videos = self.cache["videos"]
        counts = len(videos["train"]), len(videos["validation"])
        partition = self.evaluation["partition"]
        pair = published(FitConfig.from_json(self.config), counts, partition)
        if pair is None:
            return None
        return {**dict(zip(TARGETS, pair, strict=True)), "mean": sum(pair) / 2}


def read_record(name: str, path: Path, partition: str) -> RunRecord:
    """Read a run's folder.

    Raises:
        RunError: not a run, not finished, not evaluated on the partition, or a file of it is
            damaged; says which command helps.
    """
    require_run(path)
    if not (path / "evaluation-validation.json").is_file():
        raise RunError(
            f"the run {path} is not finished (no evaluation-validation.json in it); "
            f"`vapipe fit --resume {path}` resumes it"
        )
    if not (path / f"evaluation-{partition}.json").is_file():
        raise RunError(
            f"the run {path} was not evaluated on the partition {partition}; "
            f"`vapipe evaluate {path} --partition {partition} --out {path}` does it"
        )
    config, cache, environment, evaluation = (
        _read(path / file)
        for file in (
            "config.json", "cache.json", "environment.json", f"evaluation-{partition}.json"
        )
    )  # fmt: skip
    _require(path / "config.json", config, "head", "head_options", "window")
    _require(path / "cache.json", cache, "path", "streams", "videos", "digest")
    _require(path / f"evaluation-{partition}.json", evaluation, "ccc", "per_video", "frames")
    folder = path / "predictions" / partition
    return RunRecord(
        name=name,
        path=path,
        config=config,
        cache=cache,
        environment=environment,
        metrics=_read_lines(path / "metrics.jsonl"),
        evaluation=evaluation,
        predictions={
            v: read_predictions(folder, v, list(evaluation["frames"]))
            for v in evaluation["per_video"]
        },
        gates=read_gates(path, partition),
        points=read_points(path, partition),
    )


def video_ccc(records: Sequence[RunRecord], video: str) -> float:
    """The CCC of a video, the mean over runs and targets; infinite where it has none."""
    scores = [c for record in records for c in record.evaluation["per_video"][video].values()]
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else math.inf


def gates_command(record: RunRecord) -> str:
    """The command that stores a run's gates."""
    return f"vapipe evaluate {record.path} --partition {record.evaluation['partition']} --gates"


def frame_gates(record: RunRecord, video: str) -> np.ndarray:
    """The gates [T, C] of a video, as the run has them stored.

    Raises:
        RunError: it has none, or of other rows than the predictions.
    """
    values = record.gates.values.get(video) if record.gates else None
    if values is None or len(values) != len(record.predictions[video]):
        raise RunError(
            f"the gates of {record.path} do not fit its predictions of {video}; "
            f"`{gates_command(record)}` makes them anew"
        )
    return values


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text())
        if not isinstance(value, dict):
            raise ValueError("no JSON object")
    except (OSError, ValueError) as error:
        raise damaged(file, error) from error
    return value


def _require(file: Path, value: Mapping[str, Any], *names: str) -> None:
    lacking = [name for name in names if name not in value]
    if lacking:
        raise damaged(file, ValueError(f"without {', '.join(lacking)}"))


def _read_lines(file: Path) -> list[dict[str, Any]]:
    try:
        records = [json.loads(line) for line in file.read_text().splitlines()]
        for record in records:
            record["network"], record["epoch"], record["ccc"]["mean"], record["loss"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(file, error) from error
    return records
