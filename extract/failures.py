"""Videos that failed, one small file each in the cache, so that later runs pass over them.

Who tries a video writes its file, so nothing is shared between writers. A failure counts as long as
the file, the streams and vapipe are those that failed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..cache.durable import safe_name, wrap_io_errors, write_json
from ..cache.header import read_header
from ..cache.layout import timeline_path
from ..errors import CacheError
from .dataset import Video
from .faces.official import quick_digest
from .task import Settings, Task

FOLDER = "failures"


@dataclass(frozen=True)
class Circumstances:
    """What a failure depends on.

    Attributes:
        file: size and modification time of the video file.
        keys: stream -> key, of all streams asked for.
        crops: folder of official crops, "" where faces are searched.
        version: of vapipe.
        reads: what of the file and beside it is read: streams, subjects, crop files.
    """

    file: Mapping[str, int]
    keys: Mapping[str, str]
    crops: str
    version: str
    reads: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(video: Video, settings: Settings) -> Circumstances:
        """Those of now."""
        facts = video.path.stat()
        file = {"bytes": facts.st_size, "modified_ns": facts.st_mtime_ns}
        crops = settings.crops_dir
        reads = {
            "video_stream": settings.video_stream,
            "audio_stream": settings.audio_stream,
            "subjects": {subject.id: subject.side for subject in video.subjects},
            "crop_files": {s.id: quick_digest(crops, s.id) for s in video.subjects}
            if crops
            else {},
        }
        return Circumstances(file, settings.keys, str(crops or ""), __version__, reads)


@dataclass(frozen=True)
class Failure:
    """How a video failed.

    Attributes:
        reason: for people.
        circumstances: under which it failed.
        trace: traceback of an error that vapipe does not expect.
        media: facts of the file as far as they were found out before.
        host: where it was tried.
    """

    video: str
    path: str
    reason: str
    circumstances: Circumstances
    trace: str = ""
    media: Mapping[str, Any] = field(default_factory=dict)
    host: str = ""


def write_failure(root: Path, failure: Failure) -> None:
    """Note a failure; replaces an earlier one of the video.

    Raises:
        CacheError: the disk refuses.
    """
    write_json(_path(root, failure.video), asdict(failure))


def clear_failure(root: Path, video: str) -> None:
    """Forget that a video failed."""
    with wrap_io_errors(_path(root, video)):
        _path(root, video).unlink(missing_ok=True)


def read_failures(root: Path) -> dict[str, Failure]:
    """All failures noted, by video.

    Raises:
        CacheError: a note is damaged.
    """
    found = {}
    for path in sorted((root / FOLDER).glob("[!.]*.json")):
        try:
            record = json.loads(path.read_text())
            record["circumstances"] = Circumstances(**record["circumstances"])
            failure = Failure(**record)
        except FileNotFoundError:
            continue  # another run has just got through
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CacheError(
                f"cannot read {path}: {error}; delete it, and the video is tried again"
            ) from error
        found[failure.video] = failure
    return found


def passed_over(
    failures: Mapping[str, Failure], tasks: Sequence[Task], settings: Settings
) -> dict[str, Failure]:
    """The failures that still count, of videos of which something is missing."""
    return {
        task.video.id: failures[task.video.id]
        for task in tasks
        if task.incomplete
        and task.video.id in failures
        and failures[task.video.id].circumstances == Circumstances.of(task.video, settings)
    }


def known_media(root: Path, video: str) -> dict[str, Any]:
    """Codec, size and rates of a video from its timeline; {} if it failed before that was written.

    The file is not opened: what ended a worker would end this process, too.
    """
    try:
        (item,) = read_header(timeline_path(root, video)).items
    except CacheError:
        return {}
    return dict(item.facts["media"])


def _path(root: Path, video: str) -> Path:
    return root / FOLDER / f"{safe_name(video)}.json"
