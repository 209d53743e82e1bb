"""Where everything lies in a cache folder, and the functions that put it there.

    vapipe-cache.json                          marks the folder as a cache
    current.json                               stream -> key of the last extraction
    locks/                                     who writes, packs, removes; empty files
    index.json                                 listing of the shards; can be deleted
    failures/<video>.json                      why a video could not be extracted
    log/<run>.jsonl                            what a run of extraction did
    quarantine/                                damaged shards that verify set aside
    timeline/<video>.h5                        one per video file: pts, subjects, source facts
    labels/<item>.h5                           one per annotated subject
    features/<stream>-<key>/<item>.h5          one per subject (visual) or video (audio),
    features/<stream>-<key>/@pack-<n>-<x>.h5   or packed: many of them

Folder and file names are made by `durable.safe_name`; the truth about what a shard holds is in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CacheError, counted
from .durable import PARTIAL_SUFFIX, safe_name, slug, wrap_io_errors, write_json
from .header import Item
from .header_checks import PARTITIONS, TARGETS
from .locks import FOLDER as LOCKS
from .locks import make_locks, noting
from .shard import ShardWriter, write_shard
from .timeline import Timeline

MARKER = "vapipe-cache.json"
CURRENT = "current.json"
PACK_PREFIX = "@pack-"  # of shards that hold many items; `safe_name` never begins so
FORMAT = 1
DTYPES = {"float16": "<f2", "float32": "<f4"}


def create_cache(root: Path) -> None:
    """Make `root` a cache folder, or check that it is one.

    Raises:
        CacheError: it is a file, holds other things, or was made by a newer vapipe.
    """
    if root.exists() and not root.is_dir():
        raise CacheError(f"{root} is a file; give --cache a folder")
    if not (root / MARKER).exists():
        found = [path.name for path in root.iterdir()] if root.exists() else []
        foreign = sorted(name for name in found if not name.endswith(PARTIAL_SUFFIX))
        if foreign and not (root / MARKER).exists():  # another process may just have made it
            raise CacheError(
                f"{root} is not a vapipe cache but holds {counted(len(foreign), 'other entry')} "
                f"({', '.join(foreign[:3])} ...); give --cache a new or empty folder"
            )
        write_json(root / MARKER, {"format": "vapipe-cache", "version": FORMAT})
    check_cache(root)
    with wrap_io_errors(root / LOCKS):
        make_locks(root)


def check_cache(root: Path) -> None:
    """Check that `root` is a cache that this vapipe reads.

    Raises:
        CacheError: it is missing, is something else, or has another format version.
    """
    marker = root / MARKER
    if not marker.is_file():
        raise CacheError(
            f"{root} is not a vapipe cache (no {MARKER} in it); "
            "make one with `vapipe extract --videos DIR`, or name yours with --cache"
        )
    try:
        version = json.loads(marker.read_text())["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CacheError(f"cannot read {marker}: {error}; write it again or restore it") from error
    if version != FORMAT:
        raise CacheError(
            f"{root} has cache format {version}, this vapipe reads {FORMAT}; "
            "use the vapipe that made it, or extract again into a new folder"
        )


def write_current(root: Path, keys: Mapping[str, str]) -> None:
    """Note the keys (stream -> key) that an extraction uses; other streams stay as noted."""
    with noting(root):
        write_json(root / CURRENT, {**read_current(root), **keys})


def read_current(root: Path) -> dict[str, str]:
    """The key that each stream was last extracted with.

    Raises:
        CacheError: the note is damaged.
    """
    path = root / CURRENT
    try:
        current = json.loads(path.read_text())
        if not all(isinstance(key, str) for key in current.values()):
            raise ValueError("a key is no text")
        return current
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise CacheError(
            f"cannot read {path}: {error}; delete it, the next `vapipe extract` writes it"
        ) from error


def timeline_path(root: Path, video: str) -> Path:
    """Path of a video's timeline shard."""
    return root / "timeline" / f"{safe_name(video)}.h5"


def labels_path(root: Path, item: str) -> Path:
    """Path of an item's label shard."""
    return root / "labels" / f"{safe_name(item)}.h5"


def features_path(root: Path, stream: str, key: str, item: str) -> Path:
    """Path of the features of one item in one stream under one key."""
    return root / "features" / feature_folder(stream, key) / f"{safe_name(item)}.h5"


def feature_folder(stream: str, key: str) -> str:
    """Name of the folder of a stream's features under one key."""
    return f"{slug(stream)}-{key[:16]}"


def write_timeline(
    root: Path,
    video: str,
    timeline: Timeline,
    *,
    subjects: Sequence[str],
    source: Mapping[str, Any],
    sides: Mapping[str, str] | None = None,
    media: Mapping[str, Any] | None = None,
) -> None:
    """Store a video's presentation times.

    Args:
        timeline: its T presentation times.
        subjects: item ids of the people in it; they share the timeline and the audio rows.
        source: {"name", "bytes", "sha256"} of the video file and the index "video_stream" of the
            stream in it; a change makes features stale.
        sides: item id -> "left" or "right", of the subjects that are not the main one.
        media: JSON-able facts for people (codec, size, rates).
    """
    facts = {
        "fps": timeline.fps,
        "subjects": list(subjects),
        "sides": dict(sides or {}),
        "source": dict(source),
        "media": dict(media or {}),
    }
    with write_shard(
        timeline_path(root, video),
        kind="timeline",
        items=[Item(video, len(timeline), facts)],
        arrays={"pts": ("<f8", ())},
    ) as shard:
        shard.append(pts=timeline.pts)


def write_labels(
    root: Path,
    item: str,
    labels: np.ndarray,
    *,
    partition: str | None,
    source: Mapping[str, Any],
    targets: Sequence[str] = TARGETS,
) -> None:
    """Store an item's annotation and the partition it belongs to.

    Args:
        labels: [T, targets] float32, NaN where not annotated.
        partition: "train", "validation", "test" or None (unknown).
        source: facts of the annotation file ({} when there is none).
        targets: what the columns are.

    Raises:
        CacheError: wrong shape or partition, or the disk refuses.
    """
    if labels.ndim != 2 or labels.shape[1] != len(targets):
        raise CacheError(
            f"{item}: labels must be [T, {len(targets)}] ({', '.join(targets)}), got {labels.shape}"
        )
    if partition is not None and partition not in PARTITIONS:
        raise CacheError(f"{item}: partition `{partition}` is none of {', '.join(PARTITIONS)}")
    facts: dict[str, Any] = {"partition": partition, "source": dict(source)}
    if tuple(targets) != TARGETS:
        facts["targets"] = list(targets)
    with write_shard(
        labels_path(root, item),
        kind="labels",
        items=[Item(item, len(labels), facts)],
        arrays={"labels": ("<f4", (len(targets),))},
        provenance={name: facts[name] for name in ("targets",) if name in facts},
    ) as shard:
        shard.append(labels=labels)


def stacked_layers(config: Mapping[str, Any] | None) -> list[int]:
    """Numbers of the layers that lie side by side in the rows of a stream; empty where none do.

    Args:
        config: of the stream, as its shards keep it.
    """
    options = (config or {}).get("options") or {}
    return list(options["layer"]) if options.get("stack") is True else []


def write_features(
    root: Path,
    item: str,
    *,
    stream: str,
    key: str,
    modality: str,
    rows: int,
    dim: int,
    source: Mapping[str, Any],
    config: Mapping[str, Any],
    dtype: str = "float16",
    versions: Mapping[str, str] | None = None,
    faces: bool = False,
) -> AbstractContextManager[ShardWriter]:
    """Open a writer for the features of one item; append(features=[n, D], valid=[n]) in row order.

    Args:
        item: the subject's id for visual streams, the video's id for audio streams.
        key: full stream key (hex digest of everything that determines the values).
        rows: T of the video's timeline.
        dim: feature dimension D.
        source: {"name", "bytes"} of the video file and the facts of its `Source`.
        config: what the key is the digest of.
        versions: library versions the values were made with.
        faces: whether append also takes box=[n, 4] (left, top, width, height of the face in pixels
            of the displayed frame, NaN where there is none) and track=[n] (from 1, see
            `FeatureStore.tracks`; 0 where there is none).

    Raises:
        CacheError: see `write_shard`.
    """
    return write_shard(
        features_path(root, stream, key, item),
        kind="features",
        stream=stream,
        key=key,
        items=[Item(item, rows, {"source": dict(source)})],
        arrays={
            "features": (DTYPES[dtype], (dim,)),
            "valid": ("|u1", ()),
            **({"box": ("<f4", (4,)), "track": ("<u2", ())} if faces else {}),
        },
        provenance={"modality": modality, "config": dict(config), "versions": dict(versions or {})},
    )
