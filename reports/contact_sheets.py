"""Contact sheets: faces of a video at the places that extraction stored, its codes, its sound."""

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
from ..errors import CacheError, MediaError, counted
from ..executor import Limits, TaskFailed, run_tasks
from ..extract.faces.crop_geometry import cut_centre, cut_face
from ..extract.media.frames import sample_frames
from ..extract.media.picture import Picture
from ..extract.media.probe import probe
from ..extract.plan import unchanged
from ..extract.video_files import video_files

FACES = 8  # of an item
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
        track: see `FeatureStore.tracks`; 0 for nobody.
        jpeg: the face, or the whole picture where there is none; empty where it cannot be decoded.
    """

    row: int
    time: float
    code: int
    track: int
    jpeg: bytes


@dataclass(frozen=True)
class Sheet:
    """What is shown of an item.

    Attributes:
        item: its id.
        rows: frames T.
        seconds: duration.
        faces: `FACES` rows spread over the video, or fewer of a short one; () where none are cut.
        note: why there are no faces.
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


def choose_stream(report: CacheReport) -> StoredStream | None:
    """The fullest visual stream, of those whose faces can be shown if there are any."""
    filled = {
        stream: (
            not _refused(stream),
            sum(i.cells[number].state == "complete" for i in report.items),
        )
        for number, stream in enumerate(report.streams)
        if stream.modality == "visual"
    }
    return max(filled, key=lambda stream: filled[stream], default=None)


def _refused(stream: StoredStream | None) -> str:
    """Why no faces of a stream can be shown; "" where they can."""
    if stream is None:
        return "the cache has no visual stream"
    crops = stream.config.get("crops")
    if crops is None:
        return f"stream {stream.name} was imported: where its faces are is unknown"
    if crops.get("source") == "crops":
        return f"stream {stream.name} was made of face crops, not of videos; look at those files"
    return ""


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
    stream: StoredStream | None,
    videos: Path | None,
    *,
    n_jobs: int = 1,
    limits: Limits | None = None,
) -> Iterator[Sheet]:
    """One sheet per item; the subjects of a video come together, otherwise in order.

    What cannot be cut is said in the sheet's note; the others go on.

    Args:
        stream: whose faces are shown.
        videos: folder of the videos, None where it is not known.
        n_jobs: processes that cut faces.
        limits: what a video may take in a process of its own; None cuts in this process, which a
            video that breaks the decoder ends.
    """
    by_video: dict[str, list[ItemFacts]] = defaultdict(list)
    for item in items:
        by_video[item.video.id].append(item)
    problem = _refused(stream)
    files = _by_name(videos) if videos and not problem else {}
    done: dict[str, Any] = {}  # video -> its faces, or why there are none
    tasks = []
    for video, group in by_video.items():
        if problem or stream is None:
            done[video] = problem
        elif videos is None:
            done[video] = "name the folder of the videos with --videos DIR to see faces"
        else:
            try:
                path = _file_of(group[0].video, files, videos)
            except MediaError as error:
                done[video] = str(error)
            else:
                ids = tuple(item.id for item in group)
                tasks.append(_CutTask(group[0].video, ids, path, stream))
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


_Faces = dict[str, tuple[tuple[Face, ...], str]]  # item -> its faces, or why there are none


@dataclass(frozen=True)
class _CutTask:
    """The faces of some items of one video."""

    facts: VideoFacts
    items: tuple[str, ...]
    path: Path
    stream: StoredStream


def _explain(task: _CutTask, answer: _Faces | TaskFailed) -> _Faces | str:
    if not isinstance(answer, TaskFailed):
        return answer
    if isinstance(answer.error, MediaError | CacheError):
        return str(answer.error)
    if answer.error is not None:
        raise answer.error
    return f"{task.path}: no faces, since cutting them ended its process ({answer.reason})"


def _cut(store: FeatureStore, task: _CutTask) -> _Faces:
    facts, path, stream = task.facts, task.path, task.stream
    info = probe(path, video_stream=facts.media.get("video", {}).get("index"))
    if len(info.timeline) != facts.rows:
        raise MediaError(
            f"{path}: {counted(len(info.timeline), 'frame')} here, {facts.rows} when it was "
            "extracted; another version of FFmpeg reads it otherwise. Extract it again"
        )
    name, margin = f"{stream.name}@{stream.key}", stream.config["crops"].get("margin")
    frames = list(sample_frames(info, FACES))
    found: _Faces = {}
    for item in task.items:
        codes, boxes = store.status(item, name), store.boxes(item, name)
        tracks = store.tracks(item, name)
        if margin is not None and usable(codes).any() and not np.isfinite(boxes).any():
            problem = (
                f"stream {stream.name} was extracted by an earlier vapipe, which kept no places of "
                "faces; extract it again to see them"
            )
            found[item] = (), problem
            continue
        faces = []
        for frame in frames:
            row, jpeg = frame.row, b""
            if frame.picture is not None:
                box = boxes[row] * (frame.picture.height / info.height)
                jpeg = _encode(_look(frame.picture, box, margin))
            time, code = float(info.timeline.pts[row]), int(codes[row])
            faces.append(Face(row, time, code, int(tracks[row]), jpeg))
        found[item] = tuple(faces), ""
    return found


def _look(picture: Picture, box: np.ndarray, margin: float | None) -> np.ndarray:
    """The face in a box (left, top, width, height), or where there is none the whole picture.

    `margin` is None of streams of whole frames, whose centre is shown.
    """
    if margin is None:
        return cut_centre(picture, size=_SIDE)
    if not np.isfinite(box).all():
        return picture.rgb(_SIDE)
    corners = np.concatenate([box[:2], box[:2] + box[2:]])
    return cut_face(picture, corners, margin=margin, size=_SIDE)


def _encode(pixels: np.ndarray) -> bytes:
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
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
    return float(config["options"]["eps"]) if config.get("encoder") == "logmel" else None


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
