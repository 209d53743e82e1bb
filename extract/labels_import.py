"""Takes annotations into a cache whose videos are extracted already."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from ..cache.index import open_catalog, write_index
from ..cache.layout import check_cache
from ..cache.locks import writing
from .annotate import readings_before, take_labels
from .annotations.reading import Reading
from .dataset import Dataset, find_dataset
from .task import Outcome


def import_labels(
    folder: Path,
    videos: Path,
    cache: Path,
    *,
    split: Path | None = None,
    ids: Literal["stem", "path"] = "stem",
    reading: Reading | None = None,
) -> tuple[Dataset, list[Outcome]]:
    """Store the annotations of a folder for the videos that the cache holds; extracts nothing.

    Returns:
        What was found, and an outcome per video that the cache holds.

    Raises:
        CacheError: no cache, or it cannot be written.
        ConfigError: no such folder or videos.
    """
    check_cache(cache)
    catalog = open_catalog(cache)
    dataset = find_dataset(
        videos,
        labels=folder,
        split=split,
        ids=ids,
        reading=reading,
        before=readings_before(catalog),
    )
    outcomes = []
    with writing(cache):
        for video in dataset.videos:
            if video.id in catalog.timelines:
                there = Outcome(video.id, "complete", rows=catalog.timelines[video.id].rows)
                outcomes.append(take_labels(there, video, dataset, cache, catalog))
    write_index(cache)
    return dataset, outcomes
