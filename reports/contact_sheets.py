"""Contact sheets: faces of a video cut as a stream's were, its codes over time, its sound.

A crop depends on all frames before it (faces are followed, their places smoothed), so a sheet reads
its video from the beginning and keeps to the first `REACH` frames.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..cache.report import CacheReport, ItemFacts, StoredStream, VideoFacts
from ..cache.store import FeatureStore
from ..cache.timeline import Valid, usable
from ..errors import CacheError, ConfigError, MediaError, counted
from ..executor import Limits, TaskFailed, run_tasks
from ..extract.dataset import subjects_of
from ..extract.faces.crop_config import CropConfig
from ..extract.media.probe import probe
from ..extract.plan import unchanged
from ..extract.spec import crop_facts
from ..extract.video_files import video_files

FACES = 8  # of an item
REACH = 64  # frames of a video that are shown; a search for faces ends just behind them
_SIDE = 96  # pixels of a face
_BINS = 160  # of codes over time
_STRIP = (480, 64)  # pixels of the sound: time, bands
_LOUD = 4.0  # ln(power) shown white; black is the quietest that logmel can say


@dataclass(frozen=True)
class Face:
    """One row of an item.

    Attributes:
        row: index in the timeline.
        time: seconds on the container's clock.
        code: of `Valid`.
        jpeg: the crop, empty where the row has none.
    """

    row: int
    time: float
    code: int
    jpeg: bytes


@dataclass(frozen=True)
class Sheet:
    """What is shown of an item.

    Attributes:
        item: its id.
        rows: frames T.
        seconds: duration.
        faces: `FACES` rows of the first `REACH`, or fewer of a short video; () where none are cut.
        note: why there are no faces, or what is odd about them.
        codes: label of a stream -> its codes over the whole time, a letter for each of at most
            `_BINS` bins: d detected, t tracked, u usable otherwise, m missing; the commonest.
        sound: JPEG of the log-mel energies over the whole time, low bands below; b"" for none.
    """

    item: str
    rows: int
    seconds: float
    faces: tuple[Face, ...] = ()
    note: str = ""
    codes: Mapping[str, str] = field(default_factory=dict)
    sound: bytes = b""


@dataclass(frozen=True)
class Crops:
    """How faces are cut, and why they cannot be.

    Attributes:
        stream: the visual stream whose cropping it is; None where the cache has none.
        config: its cropping, None where it cannot be done again.
        problem: why not, else "".
    """

    stream: StoredStream | None
    config: CropConfig | None
    problem: str = ""


def choose_crops(report: CacheReport) -> Crops:
    """The cropping of the fullest visual stream that can be done again from videos."""
    filled = {
        stream: sum(item.cells[number].state == "complete" for item in report.items)
        for number, stream in enumerate(report.streams)
        if stream.modality == "visual"
    }
    if not filled:
        return Crops(None, None, "the cache has no visual stream")
    refused = []
    for stream in sorted(filled, key=lambda stream: -filled[stream]):
        try:
            return Crops(stream, _crops_of(stream))
        except ConfigError as error:
            refused.append(Crops(stream, None, str(error)))
    return refused[0]


def _crops_of(stream: StoredStream) -> CropConfig:
    facts = stream.config.get("crops")
    if facts is None:
        raise ConfigError(f"stream {stream.name} was imported: how its crops were made is unknown")
    if facts.get("source") == "crops":
        raise ConfigError(
            f"stream {stream.name} was made of face crops, not of videos; look at those files"
        )
    config = CropConfig.from_json(facts)
    facts, made = _entries(_as_now(facts)), _entries(crop_facts(config))
    odd = sorted(name for name in {**facts, **made} if facts.get(name) != made.get(name))
    if odd:
        named = ", ".join(
            f"{name} is {made.get(name, 'not stated')}, was {facts.get(name, 'not stated')}"
            for name in odd
        )
        raise ConfigError(
            f"stream {stream.name} was cropped otherwise than vapipe does here: {named}"
        )
    return config


def _entries(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Facts with the entries of mappings under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in facts.items():
        inner = _entries(value) if isinstance(value, Mapping) else {}
        flat |= {f"{name}.{key}": each for key, each in inner.items()} or {name: value}
    return flat


def _as_now(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a shard says of its crops; the version before this one named the detector otherwise."""
    if facts.get("version") != 2:
        return dict(facts)
    now = {name: value for name, value in facts.items() if name not in ("version", "weights")}
    return {**now, "detector": facts.get("weights", {})}


def choose_items(report: CacheReport, stream: StoredStream | None, count: int) -> list[ItemFacts]:
    """Items that are complete in a stream (or the first one), the fewest usable rows first."""
    if not report.streams:
        return []
    column = report.streams.index(stream or report.streams[0])

    def found(item: ItemFacts) -> tuple[float, float, str]:
        cell, rows = item.cells[column], item.video.rows
        return cell.usable / rows, cell.codes.get(Valid.DETECTED, 0) / rows, item.id

    whole = [item for item in report.items if item.cells[column].state == "complete"]
    return sorted(whole, key=found)[:count]


def make_sheets(
    store: FeatureStore,
    report: CacheReport,
    items: Sequence[ItemFacts],
    crops: Crops,
    videos: Path | None,
    *,
    n_jobs: int = 1,
    limits: Limits | None = None,
) -> Iterator[Sheet]:
    """One sheet per item; the subjects of a video come together, otherwise in order.

    What cannot be cut is said in the sheet's note; the others go on.

    Args:
        videos: folder of the videos, None where it is not known.
        n_jobs: processes that cut faces.
        limits: what a video may take in a process of its own; None cuts in this process, which a
            video that breaks the decoder ends.
    """
    by_video: dict[str, list[ItemFacts]] = defaultdict(list)
    for item in items:
        by_video[item.video.id].append(item)
    files = _by_name(videos) if videos and crops.config else {}
    done: dict[str, Any] = {}  # video -> its faces, or why there are none
    tasks = []
    for video, group in by_video.items():
        if crops.config is None or crops.stream is None:
            done[video] = crops.problem
        elif videos is None:
            done[video] = "name the folder of the videos with --videos DIR to see faces"
        else:
            try:
                path = _file_of(group[0].video, files, videos)
            except MediaError as error:
                done[video] = str(error)
            else:
                stream = f"{crops.stream.name}@{crops.stream.key}"
                ids = tuple(item.id for item in group)
                tasks.append(_CutTask(group[0].video, ids, path, stream, crops.config, REACH))
    cutting = run_tasks(partial(_cut, store), tasks, n_jobs=n_jobs, limits=limits, retries=0)
    with closing(cutting) as cut:
        for video, group in by_video.items():
            while video not in done:  # failures come last
                task, answer = next(cut)
                done[task.facts.id] = _explain(task, answer)
            faces = {} if isinstance(done[video], str) else done[video]
            for item in group:
                shown, odd = faces.get(item.id, ((), done[video]))
                try:
                    sheet = _from_cache(store, report, item)
                except CacheError as error:  # a compressed shard whose features are damaged
                    sheet, odd = Sheet(item.id, item.video.rows, item.video.seconds), str(error)
                yield replace(sheet, faces=shown, note=odd)


def _by_name(folder: Path) -> dict[str, list[Path]]:
    found = defaultdict(list)
    for path in video_files(folder):
        found[path.name].append(path)
    return found


def _file_of(facts: VideoFacts, files: Mapping[str, list[Path]], folder: Path | None) -> Path:
    """The very file that was extracted."""
    name = facts.source["name"]
    same = files.get(name, [])
    for path in same:
        if unchanged(path, dict(facts.source)):
            return path
    if same:
        raise MediaError(
            f"{', '.join(map(str, same))}: changed since it was extracted; run `vapipe extract` "
            "again, or name the folder of the former file"
        )
    raise MediaError(f"no video called {name} in {folder} or below; give its folder with --videos")


_Faces = dict[str, tuple[tuple[Face, ...], str]]  # item -> its faces, and what is odd about them


@dataclass(frozen=True)
class _CutTask:
    """The faces of some items of one video."""

    facts: VideoFacts
    items: tuple[str, ...]
    path: Path
    stream: str  # whose cropping it is
    config: CropConfig
    reach: int


def _explain(task: _CutTask, answer: _Faces | TaskFailed) -> _Faces | str:
    if not isinstance(answer, TaskFailed):
        return answer
    if isinstance(answer.error, MediaError | CacheError):
        return str(answer.error)
    if answer.error is not None:
        raise answer.error
    return f"{task.path}: no faces, since cutting them ended its process ({answer.reason})"


def _cut(store: FeatureStore, task: _CutTask) -> _Faces:
    """Cut faces as extraction does, on one thread: sums split over threads round differently."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _cut_faces(store, task)
    finally:
        torch.set_num_threads(threads)


def _cut_faces(store: FeatureStore, task: _CutTask) -> _Faces:
    from ..extract.faces.crops import read_crops  # torch, which the program itself does not need

    facts, items, path = task.facts, task.items, task.path
    info = probe(path, video_stream=facts.media.get("video", {}).get("index"))
    if len(info.timeline) != facts.rows:
        raise MediaError(
            f"{path}: {counted(len(info.timeline), 'frame')} here, {facts.rows} when it was "
            "extracted; another version of FFmpeg reads it otherwise. Extract it again"
        )
    reach = min(task.reach, facts.rows)
    wanted = sorted({int((place + 0.5) * reach / FACES) for place in range(FACES)})
    subjects = [s for s in subjects_of(facts.id, facts.subjects) if s.id in items]
    faces: dict[str, list[Face]] = {item: [] for item in items}
    codes: dict[str, list[np.ndarray]] = {item: [] for item in items}
    pts = info.timeline.pts
    for batch in read_crops(info, task.config, subjects, rows=reach):
        stop = batch.start + len(batch.codes[items[0]])
        for item in items:
            codes[item].append(batch.codes[item])
            for row in (row for row in wanted if batch.start <= row < stop):
                place = row - batch.start
                code = batch.codes[item][place : place + 1]
                jpeg = _encode(batch.crops[item][place]) if usable(code).all() else b""
                faces[item].append(Face(row, float(pts[row]), int(code[0]), jpeg))
        if stop > wanted[-1]:
            break
    return {
        item: (
            tuple(faces[item]),
            _differing(np.concatenate(codes[item]), store.status(item, task.stream)),
        )
        for item in items
    }


def _differing(made: np.ndarray, stored: np.ndarray) -> str:
    """In words, how codes found here differ from those of the cache."""
    count = int((made != stored[: len(made)]).sum())
    if not count:
        return ""
    return (
        f"{count} of {counted(len(made), 'frame')} have another validity here than in the cache, "
        "which may come of another device: these crops may be off those of the features"
    )


def _encode(crop: np.ndarray) -> bytes:
    """A crop [S, S, 3] as a small JPEG."""
    image = Image.fromarray(crop)
    if image.width > _SIDE:
        image = image.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    return _jpeg(image, 80)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def _from_cache(store: FeatureStore, report: CacheReport, item: ItemFacts) -> Sheet:
    """What the cache alone tells: codes over time and sound."""
    codes: dict[str, str] = {}
    sound = b""
    for stream, cell in zip(report.streams, item.cells, strict=True):
        if cell.state != "complete":
            continue
        name = f"{stream.name}@{stream.key}"
        codes[stream.label] = _letters(store.status(item.id, name))
        eps = _eps(stream.config)
        if not sound and eps is not None:
            sound = _strip(store.read(item.id, name), store.valid(item.id, name), eps)
    return Sheet(item.id, item.video.rows, item.video.seconds, codes=codes, sound=sound)


def _letters(codes: np.ndarray) -> str:
    kinds = np.where(usable(codes), 1, 0)  # of "mutd": 0 missing, 1 usable, 2 tracked, 3 detected
    kinds[codes == Valid.TRACKED] = 2
    kinds[codes == Valid.DETECTED] = 3
    return "".join("mutd"[int(np.bincount(kinds[rows]).argmax())] for rows in _bins(kinds, _BINS))


def _bins(rows: np.ndarray, most: int) -> list[slice]:
    """At most so many stretches of equal length, or as near as can be."""
    bounds = np.linspace(0, len(rows), min(most, len(rows)) + 1).astype(int).tolist()
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _eps(config: Mapping[str, Any]) -> float | None:
    """What logmel added to the power; None of other streams."""
    encoder = config.get("encoder")
    if encoder == "logmel":
        return float(config["options"]["eps"])
    if isinstance(encoder, Mapping) and encoder.get("name") == "logmel":  # the version before
        return float(encoder.get("eps", 1e-6))
    return None


def _strip(features: np.ndarray, valid: np.ndarray, eps: float) -> bytes:
    """Log-mel rows [T, bands] as a picture: time to the right, bands upwards, black if unheard."""
    quiet = float(np.log(eps))
    heard = valid > 0
    starts = [rows.start for rows in _bins(features, _STRIP[0])]
    bands = [band.start for band in _bins(features.T, _STRIP[1])]
    counts = np.add.reduceat(heard.astype(int), starts)[:, None]
    sums = np.add.reduceat(np.where(heard[:, None], features.astype(np.float32), 0), starts)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), quiet)
    levels = np.add.reduceat(means, bands, axis=1) / np.diff([*bands, features.shape[1]])
    grey = np.clip((levels - quiet) / (_LOUD - quiet), 0, 1) * 255
    return _jpeg(Image.fromarray(grey.T[::-1].astype(np.uint8)), 70)


def not_extracted(videos: Path, report: CacheReport) -> list[str]:
    """Video files below a folder of whose name the cache knows none, relative to the folder."""
    known = {video.source["name"] for video in report.videos.values()}
    return [str(path.relative_to(videos)) for path in video_files(videos) if path.name not in known]
