"""Which videos train and which validate: as stored, the papers' folds, k-fold, or from a file."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...cache.header_checks import TARGETS
from ...cache.labels import read_split_file, read_subject_file
from ...cache.store import FeatureStore
from ...errors import ConfigError, counted
from ..config import FitConfig

AFF_WILD2_FOLDS = 6
ONE_OUT = "leave-one-subject-out"
SPLITS = ("stored", "aff-wild2", "k-fold", ONE_OUT)
_SHORT = {"loso": ONE_OUT, "cross-validation": "k-fold", "cv": "k-fold", "abaw": "aff-wild2"}


def split(store: FeatureStore, config: FitConfig) -> tuple[list[str], list[str]]:
    """Divide the annotated videos: annotated training and validation videos, each sorted.

    `stored`: the partitions in the cache. `aff-wild2`: the papers' six folds (`aff_wild2_fold`) of
    the stored training and validation videos. `k-fold`: `folds` folds of all videos of the stored
    training and validation partitions, or of all annotated videos where none is stored; a subject
    is in one fold only. `leave-one-subject-out`: as many folds as there are subjects, fold 0
    validates on the first of their sorted names. Else the path of a `video,partition` file.

    Args:
        config: `split`, `fold`, `folds` and `subjects`.

    Raises:
        ConfigError: nothing is annotated (with a target), a part is empty, the fold does not exist,
            or a subject or split file does not fit the cache.
        LabelError: the split file is wrong.
    """
    videos = [v for v in store.videos() if np.isfinite(store.labels(v)).any()]
    if not videos:
        refused = [r for v in store.videos() if (r := store.label_source(v).get("refused"))]
        if refused:
            raise ConfigError(
                f"none of the {counted(len(store.videos()), 'video')} in {store.root} is "
                f"annotated: {counted(len(refused), 'annotation')} refused, such as {refused[0]}"
            )
        raise ConfigError(
            f"none of the {counted(len(store.videos()), 'video')} in {store.root} is annotated; "
            "`vapipe labels import FOLDER --videos DIR` takes annotations in, and `vapipe extract` "
            "does so by itself from a folder `labels` beside the videos or the layout of Aff-Wild2"
        )
    stored = {video: store.partition(video) for video in videos}
    if config.split in ("stored", "aff-wild2"):
        parts = stored
    elif config.split in ("k-fold", ONE_OUT):
        parts = _k_fold(store, stored, config)
    else:
        parts = _from_file(store, videos, Path(config.split))
    train = _annotated(store, parts, "train", config)
    validation = _annotated(store, parts, "validation", config)
    if config.split == "aff-wild2":
        train, validation = aff_wild2_fold(train, validation, config.fold)
    return train, validation


def aff_wild2_fold(
    train: Sequence[str], validation: Sequence[str], fold: int
) -> tuple[list[str], list[str]]:
    """Give the papers' fold: 0 is the official split, k validates on chunk 5 - k.

    The sorted training list is cut into five consecutive chunks, the last one longer by what is
    left (Aff-Wild2: 71, 71, 71, 71, 72); the official validation set trains in folds 1 to 5.

    Raises:
        ConfigError: no such fold, or fewer than five training videos.
    """
    if not 0 <= fold < AFF_WILD2_FOLDS:
        raise ConfigError(f"split aff-wild2 has the folds 0 to 5, got fold {fold}")
    if fold == 0:
        return sorted(train), sorted(validation)
    ordered, chunks = sorted(train), AFF_WILD2_FOLDS - 1
    if len(ordered) < chunks:
        raise ConfigError(
            f"split aff-wild2 cuts the training videos into {chunks} chunks; there are only "
            f"{len(ordered)}: take split k-fold with fewer folds"
        )
    size, chunk = len(ordered) // chunks, chunks - fold
    held = ordered[chunk * size : None if chunk == chunks - 1 else (chunk + 1) * size]
    return sorted((set(ordered) - set(held)) | set(validation)), held


def subjects_of(store: FeatureStore, videos: Sequence[str], path: str) -> dict[str, str]:
    """Who is seen in each video: from a `video,subject` file, or else one subject per video file.

    Raises:
        LabelError: the file cannot be read, or has no such columns.
        ConfigError: it leaves videos out.
    """
    if not path:
        return {video: store.source(video)["sha256"] for video in videos}
    subjects = read_subject_file(Path(path))
    lacking = [video for video in videos if video not in subjects]
    if lacking:
        raise ConfigError(
            f"{path} names no subject for {len(lacking)} of "
            f"{counted(len(videos), 'annotated video')}: "
            f"{', '.join(lacking[:10])}"
        )
    return subjects


def shared_subjects(
    store: FeatureStore, train: Sequence[str], validation: Sequence[str], path: str
) -> list[str]:
    """The validation videos whose subject is seen in training too, sorted."""
    subjects = subjects_of(store, [*train, *validation], path)
    known = {subjects[video] for video in train}
    return sorted(video for video in validation if subjects[video] in known)


def _k_fold(
    store: FeatureStore, stored: dict[str, str | None], config: FitConfig
) -> dict[str, str | None]:
    """Partition by subject: the largest subjects first, each into the fold that is smallest yet."""
    chosen = [v for v, part in stored.items() if part in ("train", "validation")] or list(stored)
    subjects = subjects_of(store, chosen, config.subjects)
    rows: dict[str, int] = {}
    for video in chosen:
        annotated = int(np.isfinite(store.labels(video)).any(axis=1).sum())
        rows[subjects[video]] = rows.get(subjects[video], 0) + annotated
    alone = config.split == ONE_OUT
    folds = len(rows) if alone else config.folds
    if not 2 <= folds <= len(rows) or not 0 <= config.fold < folds:
        needed = "at least 2 subjects" if alone else f"from 2 to {len(rows)} folds"
        raise ConfigError(
            f"split {config.split} of {counted(len(rows), 'subject')} needs {needed} and a fold "
            f"from 0 to folds - 1; got folds {folds}, fold {config.fold}"
        )
    sizes, fold_of = [0] * folds, {}
    order = sorted(rows) if alone else sorted(rows, key=lambda each: (-rows[each], each))
    for subject in order:
        fold = sizes.index(min(sizes))
        sizes[fold] += rows[subject] or 1
        fold_of[subject] = fold
    return {
        video: "validation" if fold_of[subjects[video]] == config.fold else "train"
        for video in chosen
    }


def _from_file(store: FeatureStore, videos: Sequence[str], path: Path) -> dict[str, str | None]:
    if not path.exists():
        word = re.sub("[^a-z0-9]", "", str(path).lower())
        names = {re.sub("[^a-z0-9]", "", name): name for name in (*SPLITS, *_SHORT)}
        near = [names[each] for each in difflib.get_close_matches(word, names, 1)]
        hint = f"; did you mean `{_SHORT.get(near[0], near[0])}`?" if near else ""
        raise ConfigError(
            f"split {path}: neither one of {', '.join(SPLITS)} nor a file of `video,partition` "
            f"rows{hint}"
        )
    parts = read_split_file(path)
    unknown = [video for video in parts if video not in store.videos()]
    if unknown:
        raise ConfigError(
            f"{path} names {counted(len(unknown), 'video')} that {store.root} does not hold: "
            f"{', '.join(unknown[:10])}; `vapipe cache status` lists what it holds"
        )
    return {video: parts.get(video) for video in videos}


def annotated_targets(store: FeatureStore) -> tuple[str, ...]:
    """What is annotated in a cache; valence and arousal where nothing is."""
    known = np.zeros(len(store.targets()), bool)
    for video in store.videos():
        known |= np.isfinite(store.labels(video)).any(axis=0)
    return tuple(t for t, there in zip(store.targets(), known, strict=True) if there) or TARGETS


def _annotated(
    store: FeatureStore, parts: dict[str, str | None], partition: str, config: FitConfig
) -> list[str]:
    """Videos of a partition; all targets are annotated somewhere in it."""
    videos = sorted(video for video, part in parts.items() if part == partition)
    if not videos:
        there = sorted({part or "no partition" for part in parts.values()})
        raise ConfigError(
            f"no annotated video of {store.root} is in the {partition} partition (the "
            f"{len(parts)} annotated ones are in: {', '.join(there)}); name the partitions in "
            "the annotation folders or a split file and run `vapipe extract` again, or fit with "
            "--split"
        )
    for target in config.learned:
        if not any(np.isfinite(store.labels(v, [target])).any() for v in videos):
            raise ConfigError(
                f"no frame of the {counted(len(videos), f'{partition} video')} in {store.root} "
                "is annotated "
                f"with {target}; {' and '.join(config.learned)} are learned: name others with "
                "--set target_names"
            )
    return videos
