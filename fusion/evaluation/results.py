"""Evaluations and predictions as files."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ...cache.durable import safe_name, slug, write_bytes, write_json
from ...cache.store import FeatureStore
from ...cache.timeline import Valid, usable
from ...errors import ConfigError, RunError
from ..config import TARGETS
from .ccc import ccc
from .gates import write_gates
from .scoring import Evaluation

_AGREES = 1e-3  # predictions are stored with six decimals
EVIDENCE = {"visual": "face", "audio": "sound"}  # modality -> what it looks at
_BOX = ("face_x", "face_y", "face_width", "face_height")
Faces = tuple[np.ndarray, np.ndarray]  # boxes [T, 4] and tracks [T], see `FeatureStore`


def write_evaluation(path: Path, evaluation: Evaluation, store: FeatureStore) -> None:
    """Write evaluation-<partition>.json, predictions per video, and the gates that were taken.

    Beside what is printed, the evaluation holds the moments of each video file, from which
    intervals and tests between runs follow.
    """
    folder = path / "predictions" / evaluation.partition
    write_predictions(folder, evaluation.predictions, store, list(evaluation.frames))
    if evaluation.gates is not None:
        write_gates(path, evaluation.partition, evaluation.gates)
    moments = {name: sums.tolist() for name, sums in evaluation.moments.items()}
    write_json(
        path / f"evaluation-{evaluation.partition}.json",
        {**evaluation.to_json(), "moments": moments},
    )


def write_predictions(
    folder: Path,
    predictions: Mapping[str, np.ndarray],
    store: FeatureStore,
    targets: Sequence[str] = TARGETS,
    evidence: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    faces: Mapping[str, Faces | None] | None = None,
) -> dict[str, Path]:
    """Write one CSV per video; video -> its file.

    Rows are the frames of the video in order: row (from 0), pts (seconds), then the targets, then
    the names of the codes of evidence, such as `detected` or `no_face`, then the box of the face
    in pixels and its track, empty where there is none.

    Args:
        folder: made where it does not exist; files of the same name are replaced.
        predictions: video -> [T, targets].
        evidence: video -> what `find_evidence` says of it; None writes no such columns.
        faces: video -> what `find_faces` says of it; None likewise.
    """
    files = {}
    for video, values in predictions.items():
        beside: dict[str, list[str]] = {}
        for kind, codes in (evidence[video] if evidence else {}).items():
            beside[kind] = [Valid(code).name.lower() for code in codes]
        found = faces[video] if faces else None
        if found is not None:
            for name, edge in zip(_BOX, found[0].T, strict=True):
                beside[name] = ["" if np.isnan(each) else f"{each:.1f}" for each in edge]
            beside["track"] = [str(track or "") for track in found[1].tolist()]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["row", "pts", *targets, *beside])
        columns = zip(store.timeline(video).pts, values, *beside.values(), strict=True)
        for row, (pts, frame, *why) in enumerate(columns):
            writer.writerow([row, f"{pts:.6f}", *(f"{value:.6f}" for value in frame), *why])
        files[video] = folder / f"{file_name(video)}.csv"
        write_bytes(files[video], text.getvalue().encode())
    return files


def find_evidence(store: FeatureStore, video: str, streams: Sequence[str]) -> dict[str, np.ndarray]:
    """What the rows of a video rest on: `face`, `sound` -> [T] codes of `Valid`.

    Where several streams are of one kind, a row's code is that of the first in which it is usable.

    Args:
        streams: `name@key`, those that the predictions are made from.
    """
    found: dict[str, np.ndarray] = {}
    for stream in streams:
        kind = EVIDENCE[store.modality(stream)]
        codes = store.status(video, stream)
        before = found.get(kind, codes)
        found[kind] = np.where(usable(before), before, np.where(usable(codes), codes, before))
    return found


def find_faces(store: FeatureStore, video: str, streams: Sequence[str]) -> Faces | None:
    """Boxes and tracks of a video's faces; of the first stream that has any, all of it.

    Args:
        streams: as in `find_evidence`; None where none of them is of pictures.
    """
    seen = [stream for stream in streams if store.modality(stream) == "visual"]
    known = [stream for stream in seen if store.tracks(video, stream).any()]
    for stream in (known or seen)[:1]:
        return store.boxes(video, stream), store.tracks(video, stream)
    return None


def read_predictions(folder: Path, video: str, targets: Sequence[str] = TARGETS) -> np.ndarray:
    """Read [T, targets] float32 of one video, as `write_predictions` wrote them into the folder.

    Raises:
        RunError: the file is missing or damaged.
    """
    file = folder / f"{file_name(video)}.csv"
    try:
        with file.open() as handle:
            header = handle.readline().strip()
            names = ["row", "pts", *targets]
            if header.split(",")[: len(names)] != names:
                raise ValueError(f"its first line is {header[:40]!r}")
            table = np.loadtxt(handle, delimiter=",", ndmin=2, usecols=range(len(names)))
        if not np.isfinite(table).all():
            raise ValueError("values that are no numbers")
        if not np.array_equal(table[:, 0], np.arange(len(table))):
            raise ValueError("rows are missing or not in order")
    except (OSError, ValueError) as error:
        raise damaged(file, error) from error
    return table[:, 2:].astype(np.float32)


def damaged(file: Path, error: Exception) -> ConfigError:
    """The error about a file of a run that is missing or is not what was written there."""
    return ConfigError(
        f"cannot read {file} ({type(error).__name__}: {error}); it was written with the run: "
        "restore it, or fit again"
    )


def require_agreement(
    path: Path,
    stored: Mapping[str, float],
    predictions: Mapping[str, np.ndarray],
    labels: Mapping[str, np.ndarray],
) -> None:
    """Check that stored predictions have the stored CCC with these labels.

    Args:
        predictions: video -> [T, targets].
        labels: video -> [T, 2], NaN where not annotated.

    Raises:
        RunError: they do not; predictions, CCC and labels belong to different evaluations.
    """
    values = np.concatenate([predictions[video] for video in labels])
    truth = np.concatenate(list(labels.values()))
    for column, target in enumerate(target for target in stored if target != "mean"):
        found = ccc(values[:, column], truth[:, column], np.isfinite(truth[:, column]))
        if not abs(found - stored[target]) <= _AGREES:
            raise RunError(
                f"the predictions in {path} have a CCC of {found:.4f} for {target}, its "
                f"evaluation says {stored[target]:.4f}: its files were changed, or the annotation "
                "was; evaluate the partition again, or fit again"
            )


def file_name(video: str) -> str:
    """The name, without suffix, of files about a video: its id where that can be one."""
    return video if slug(video) == video else safe_name(video)
