"""One extraction, from what a user says: which videos, which streams, where and with what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..cache.index import open_catalog
from ..cache.layout import MARKER
from .annotate import find_disappeared, readings_before
from .annotations.reading import Reading
from .dataset import Dataset, find_dataset
from .options import choose_options
from .plan import Part, sensible_jobs, take_part
from .prepare import make_settings
from .task import ItemLabels, Outcome, Settings

if TYPE_CHECKING:
    from .attempts import Policy


@dataclass
class Extraction:
    """How an extraction went, as far as it is.

    Attributes:
        videos: number of videos so far.
        extracted, complete: of them, those extracted now and those that were complete before.
        rows: frames extracted.
        shards: shards written.
        problems: outcomes of videos that could not be used, wholly or in part.
        labels: what the cache holds of the annotation of each item so far.
    """

    videos: int = 0
    extracted: int = 0
    complete: int = 0
    rows: int = 0
    shards: int = 0
    problems: list[Outcome] = field(default_factory=list)
    labels: list[ItemLabels] = field(default_factory=list)

    @property
    def usable(self) -> int:
        """Number of videos that the cache holds now."""
        return self.extracted + self.complete

    def add(self, outcome: Outcome) -> None:
        """Count one more video."""
        self.videos += 1
        self.labels += outcome.labels
        self.complete += outcome.status == "complete"
        if outcome.status == "extracted":
            self.extracted += 1
            self.rows += outcome.rows
            self.shards += outcome.units
        if outcome.problems:
            self.problems.append(outcome)


@dataclass(frozen=True)
class Job:
    """An extraction that is ready to run.

    Attributes:
        dataset: the videos and their annotations.
        settings: streams, cropping, cache, device.
        jobs: processes of this machine; 1 stays in this process.
        reason: why these streams, for people.
        part: which part of a larger data set it is.
        found: number of videos of the whole data set.
        scheduler: address of a Dask scheduler whose workers extract, in place of `jobs`.
        disappeared: what the cache holds of videos and annotations that are gone, for people.
    """

    dataset: Dataset
    settings: Settings
    jobs: int
    reason: str
    part: Part | None = None
    found: int = 0
    scheduler: str | None = None
    disappeared: tuple[str, ...] = ()

    def run(
        self,
        policy: Policy | None = None,
        *,
        warn: Callable[[str], None] = lambda message: None,
        progress: Callable[[Outcome], None] = lambda outcome: None,
    ) -> Extraction:
        """Extract what is missing; raises what `run.run_extraction` does.

        Args:
            policy: how failures are met.
            warn: told what is odd about the streams, before the first video.
            progress: told of every video.
        """
        from .attempts import DEFAULT
        from .run import run_extraction

        extraction = Extraction()
        for outcome in run_extraction(
            self.dataset,
            self.settings,
            jobs=self.jobs,
            policy=policy or DEFAULT,
            part=self.part,
            scheduler=self.scheduler,
            warn=warn,
        ):
            extraction.add(outcome)
            progress(outcome)
        return extraction


def make_job(
    videos: Path,
    cache: Path,
    *,
    streams: str | None = None,
    config: Path | None = None,
    faces: str = "detect",
    labels: Path | None = None,
    split: Path | None = None,
    reading: Reading | None = None,
    ids: Literal["stem", "path"] = "stem",
    video_stream: int | None = None,
    audio_stream: int | None = None,
    dtype: str | None = None,
    precision: str = "auto",
    device: str = "auto",
    jobs: int | None = None,
    partition: str | None = None,
    scheduler: str | None = None,
) -> Job:
    """Find the videos and work out the streams; loads no network.

    Arguments as in `vapipe.extract_features`; streams with commas.

    Raises:
        ConfigError: unknown streams or options, no such folder or device.
        MediaError: there is no such folder or video.
        WeightsError: weights are missing or wrong.
    """
    part = Part.parse(partition) if partition else None
    options = choose_options(streams, dtype, config)
    catalog = open_catalog(cache) if (cache / MARKER).exists() else None
    dataset = find_dataset(
        videos,
        labels=labels,
        split=split,
        ids=ids,
        reading=reading,
        before=readings_before(catalog) if catalog else None,
    )
    disappeared: tuple[str, ...] = ()
    if videos.is_dir() and catalog and (part is None or part.number == 1):
        disappeared = tuple(find_disappeared(dataset, catalog).lines())
    found = len(dataset.videos)
    if part:
        dataset = take_part(dataset, part)
    settings = make_settings(
        cache,
        options,
        faces=faces,
        device=device,
        precision=precision,
        elsewhere=scheduler is not None,
        video_stream=video_stream,
        audio_stream=audio_stream,
    )
    if scheduler is not None:
        jobs = 1
    jobs = jobs or sensible_jobs(dataset.videos, settings.device, settings.specs)
    return Job(dataset, settings, jobs, options.reason, part, found, scheduler, disappeared)
